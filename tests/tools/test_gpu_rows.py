"""What tools.gpu measures and how, row by row, on the CPU."""

import json
import time
from dataclasses import replace

import pytest
import torch
from small_networks import HEAD, NARROW
from torch import nn
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEventAvg

from da3_ros.net.checkpoint import random_network
from tools.bench.streaming import Stream
from tools.gpu import attention, cases, fast, goals, ways, where
from tools.gpu.__main__ import open_results, run_part
from tools.gpu.cases import Case
from tools.gpu.job import Job
from tools.upstream import reduced


def job(out):
    return Job(open_results(out, "cpu"), "cpu", True, time.monotonic() + 1800)


def parts(out):
    return json.loads((out / "results.json").read_text())["parts"]


@pytest.fixture
def alone(monkeypatch):
    """Where the published network cannot be had."""

    def no_such_package(*_):
        raise ImportError("no module named depth_anything_3")

    monkeypatch.setattr(cases, "same_weights", no_such_package)


def test_one_row_that_cannot_be_measured_costs_no_other(tmp_path, monkeypatch, alone):
    """It is tried again, after those that were not tried. The other one is compiled; for nothing,
    since compiling takes minutes."""
    measure = fast.measure
    broken = Case("da3-demo", 2, process_res=56)
    sound = replace(broken, how=cases.COMPILED)

    def fails(case, networks, job):
        if case == broken:
            raise RuntimeError("no kernel for this\nand more lines")
        return measure(case, networks, job)

    monkeypatch.setattr(fast, "measure", fails)
    monkeypatch.setattr(fast, "wanted", lambda tiny: [broken, sound])
    with torch.compiler.set_stance("force_eager"):
        assert not run_part("fast", job(tmp_path))
    rows = parts(tmp_path)["fast"]["result"]["rows"]
    assert rows[broken.key]["failed"] == "RuntimeError: no kernel for this"
    assert "ms" in rows[sound.key]
    assert "RuntimeError: no kernel for this" in (tmp_path / "report.md").read_text()

    new = Case("da3-small", 5, process_res=56)
    assert fast.to_do([broken, sound, new], rows) == [new, broken]
    rows[broken.key] = {"failed": "out of memory"}
    assert fast.to_do([broken, sound, new], rows) == [new]
    assert fast.state({"rows": rows, "left_out": []}) == "done"


def test_a_way_that_breaks_its_process_costs_no_other(tmp_path, monkeypatch):
    """What comes after it is measured by another process; what was cut short is not measured."""
    rows = [Case("da3-large", 8, how=how) for how in cases.WAYS]
    row = {"ms": {"ours": 1.0, "published": 2.0}, "first_ms": 3, "gflop": 1.0, "peak_mib": {}}
    good, failed = (fast.row_of(rows[0]) | more for more in (row, {"failed": "no kernel"}))
    one, two, three, four = (c.key for c in rows)
    answers = [({one: good}, -11), ({three: failed}, 0), ({}, None)]
    asked = []

    def in_a_process(goal, job, seconds):
        asked.append([c.key for c in goal])
        return answers[len(asked) - 1]

    monkeypatch.setattr(ways, "in_a_process", in_a_process)
    monkeypatch.setattr(ways, "wanted", lambda tiny: rows)
    assert not run_part("ways", job(tmp_path))
    assert asked == [[one, two, three, four], [three, four], [four]]
    result = parts(tmp_path)["ways"]["result"]
    assert "status -11" in result["rows"][two]["failed"] and result["left_out"] == [four]
    assert list(result["rows"]) == [one, two, three]


def test_ours_is_measured_where_the_published_network_cannot_run(tmp_path, alone):
    case = Case("da3-demo", 2, process_res=56)
    row = fast.attempt(case, {}, job(tmp_path))
    assert list(row["ms"]) == ["ours"] and row["ms"]["ours"] > 0
    assert "| nan | nan |" in fast.table({"peak_tflops": 1, "rows": {"a": row}, "left_out": []})


def test_every_picture_is_rendered_once(monkeypatch):
    """For all rows; smaller here, so that it takes no minutes."""
    monkeypatch.setattr(cases, "CAMERA", cases.CAMERA.scaled(width=16, height=12))
    cases.room_view.cache_clear()
    shown = {shape: set() for shape in cases.SHAPES}
    for case in fast.wanted(tiny=False):
        frames = case.frames(case.views + 2)
        shown[case.shape] |= {f.image.tobytes() for f in frames}
    count = max(fast.VIEWS) + 2
    assert [len(pictures) for pictures in shown.values()] == [count] * len(cases.SHAPES)
    assert cases.room_view.cache_info().misses == count * len(cases.SHAPES)
    cases.room_view.cache_clear()


def test_the_goals_are_measured_in_every_way_a_node_can_run():
    assert [c.key for c in goals.wanted(tiny=False)] == [
        "da3-large 8 504x378",
        "da3-small 4 504x378",
    ]
    assert [c.key for c in ways.wanted(tiny=False)[:4]] == [
        "da3-large 8 504x378 CUDA graphs",
        "da3-large 8 504x378 CUDA graphs, next picture sent ahead",
        "da3-large 8 504x378 compiled",
        "da3-large 8 504x378 compiled, CUDA graphs",
    ]
    rows = [c for part in (goals, ways, fast) for c in part.wanted(tiny=False)]
    assert len({c.key for c in rows}) == len(rows) == 2 + 8 + 28
    assert {(c.preset, c.views) for c in rows if c.how} == {("da3-large", 8), ("da3-small", 4)}


def test_what_is_compiled_is_compiled_once():
    """And what is not stays as it is: those rows come first."""
    network = random_network(reduced("da3-small", NARROW, HEAD))
    case = Case("da3-small", 2, process_res=56)
    made = []
    for how in ("", cases.GRAPHS, cases.COMPILED, cases.COMPILED_GRAPHS):
        cases.step(network, replace(case, how=how), case.frames(4))
        made.append(network.backbone.blocks[0]._compiled_call_impl)
    assert made[0] is made[1] is None and made[2] is made[3] is not None
    assert list(cases.WAYS) == sorted(cases.WAYS, key=lambda how: cases.COMPILED in how)


def test_kernels_for_attention_that_are_not_there_are_said():
    found = attention.measure("cpu", tiny=True)["a few tokens"]
    assert found["torch's choice"] > 0 and found["cuDNN"] is None
    assert "| no |" in "\n".join(attention.table({"a few tokens": found}))


def test_pictures_are_a_window_ahead_of_the_network():
    case = Case("da3-small", 2, process_res=56)
    frames = case.frames(4)
    stream = Stream(random_network(reduced("da3-small", NARROW, HEAD)), case, frames)
    begun = []
    stream.pipeline.begin = begun.append
    ahead = cases.SentAhead(stream)
    for _ in range(3):
        done = ahead.step().window
        assert done is begun[-2] and begun[-1].frames[-1].stamp_ns > done.frames[-1].stamp_ns


def test_memory_of_one_is_without_the_weights_of_the_other():
    ours, theirs = nn.Linear(512, 512, bias=False), nn.Linear(512, 1024, bias=False)
    shared = nn.Linear(256, 1024, bias=False)
    ours.shared = theirs.shared = shared
    ours.also = shared  # counted once
    peaks = {"ours": 100 * 2**20, "published": 200 * 2**20}
    found = fast.own_memory(peaks, {"ours": ours, "published": theirs})
    assert found == {"ours": 100 - 2, "published": 200 - 1}


def test_time_on_a_gpu_is_counted_once():
    """Operators are charged with the time of their kernels."""
    operator, kernel = FunctionEventAvg(), FunctionEventAvg()
    for event, kind in ((operator, DeviceType.CPU), (kernel, DeviceType.CUDA)):
        event.key, event.count = kind.name, where.RUNS
        event.device_type, event.self_device_time_total = kind, 2000 * where.RUNS
    assert where.heaviest([operator, kernel], on_gpu=True) == {"CUDA": [2.0, 1]}
    assert set(where.heaviest([operator, kernel], on_gpu=False)) == {"CPU", "CUDA"}
