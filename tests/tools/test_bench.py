"""The benchmark's parts, on the smallest case: its numbers are what they say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_networks import HEAD, NARROW

from da3_ros.net.checkpoint import random_network
from da3_ros.synthetic.room import CAMERA
from tools.bench import cache, node_overhead, upstream_peer
from tools.bench.flops import count_flops
from tools.bench.streaming import Case, Stream, matmul_peak, measure, room_frames
from tools.upstream import reduced

STAGES = ("encode", "aggregate", "decode", "scale")


@pytest.fixture(scope="module")
def row():
    return measure(Case("da3-small", 3, 112), "cpu", False)


def test_both_were_timed_and_agree(row):
    assert row["ms"].keys() == {"ours", "bf16"} and min(row["ms"].values()) > 0
    for who, (least, most) in row["spread_ms"].items():
        assert least <= row["ms"][who] <= most
    # Random weights magnify rounding.
    assert row["depth_error"]["mean"] < 0.05


def test_the_published_package_is_timed_as_torch_ships(monkeypatch):
    """Our precision takes TF32 away from all of a process, on a GPU from its heads, too."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    seen = []
    model = SimpleNamespace(inference=lambda *_, **__: seen.append(torch.backends.cudnn.allow_tf32))
    upstream_peer.infer(model, room_frames(1), 56)
    assert seen == [True] and not torch.backends.cudnn.allow_tf32


def test_stages_are_parts_of_the_whole(row):
    assert sum(row["stages_ms"][s] for s in STAGES) < row["spread_ms"]["ours"][1]


def test_work_and_memory_are_counted(row):
    # Seven blocks over 3 views, four over the new one: 12 C^2 products per token.
    tokens = 6 * 8 + 1
    blocks = 2 * 12 * 384**2 * tokens * (7 * 3 + 4) / 1e9
    assert blocks < row["gflop"] < 1.5 * blocks
    assert row["mib_per_frame"] == pytest.approx((tokens + 1) * 384 * 4 / 2**20, abs=0.01)
    assert matmul_peak("cpu") > 0


def test_work_is_counted_without_doing_it():
    """Blocks: 12 C^2 products per token; seven see all views, four the new one, and heads."""
    tokens = 27 * 36 + 1
    blocks = 2 * 12 * 384**2 * tokens * (7 * 4 + 4)
    assert blocks < count_flops("da3-small", 4, 504, CAMERA) < 3 * blocks


@pytest.mark.parametrize("preset, branches", [("da3nested-giant-large", 1), ("da3metric-large", 0)])
def test_all_that_is_kept_of_a_frame_is_weighed(preset, branches):
    """Of each branch patches, class and a copy of the latter; of one with one view four levels."""
    network = random_network(reduced(preset, NARROW, HEAD))
    stream = Stream(network, Case(preset, 2, 56), room_frames(3))
    stream.step()
    patches = 3 * 4
    rows = branches * (patches + 2) + (patches + 2) + 4 * patches
    assert stream.mib_per_frame() == rows * NARROW * 4 / 2**20


def test_a_stream_keeps_no_more_than_its_window():
    found = cache.measure(frames=60)
    assert found["most_encodings"] == 4 and list(found["resident_mib"]) == [60]


def test_what_a_frame_costs_besides_the_network():
    found = node_overhead.measure(runs=12)
    least, most = found["ms_spread"]
    assert 0 < least <= found["ms_median"] <= most
    assert np.isfinite(most)
