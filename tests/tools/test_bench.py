"""The benchmark's parts, on the smallest case: its numbers are what they say."""

import numpy as np
import pytest
import torch

from da3_ros.net.attention import attend
from tools.bench import cache, node_overhead
from tools.bench.streaming import Case, count_flops, matmul_peak, measure

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


def test_stages_are_parts_of_the_whole(row):
    assert sum(row["stages_ms"][s] for s in STAGES) < row["spread_ms"]["ours"][1]


def test_work_and_memory_are_counted(row):
    # Seven blocks over 3 views, four over the new one: 12 C^2 products per token.
    tokens = 6 * 8 + 1
    blocks = 2 * 12 * 384**2 * tokens * (7 * 3 + 4) / 1e9
    assert blocks < row["gflop"] < 1.5 * blocks
    assert row["mib_per_frame"] == pytest.approx((tokens + 1) * 384 * 4 / 2**20, abs=0.01)
    assert matmul_peak("cpu") > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_counted_whichever_kernel_runs(dtype):
    q, k = torch.randn(2, 4, 600, 64, dtype=dtype).unbind(0)
    with torch.inference_mode():
        assert count_flops(lambda: attend(q[None], k[None], k[None])) == 4 * 4 * 600 * 600 * 64


def test_a_stream_keeps_no_more_than_its_window():
    found = cache.measure(frames=60)
    assert found["most_encodings"] == 4 and list(found["resident_mib"]) == [60]


def test_what_a_frame_costs_besides_the_network():
    found = node_overhead.measure(runs=12)
    least, most = found["ms_spread"]
    assert 0 < least <= found["ms_median"] <= most
    assert np.isfinite(most)
