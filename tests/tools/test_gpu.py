"""The one command for a GPU, rehearsed on the CPU."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bare_imports import canonical, with_needs
from small_networks import HEAD, NARROW
from torch import nn
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEventAvg

from da3_ros.net.checkpoint import random_network
from tools.bench.streaming import Stream
from tools.gpu import __main__ as command
from tools.gpu import attention, beside, cases, correct, fast, goals, train, ways, where
from tools.gpu.__main__ import open_results, run_part
from tools.gpu.cases import Case
from tools.gpu.command import GRACE, run_until
from tools.gpu.job import Job, share_of
from tools.gpu.results import Results
from tools.training.train import _arguments as training_arguments
from tools.upstream import reduced

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rehearse(monkeypatch):
    """The command, in this process, which goes on listening as it did."""
    monkeypatch.setattr(command, "_heed_signals", lambda: None)
    return lambda out, *words: command.main(["--rehearse", "--out", str(out), *words])


def job(out, seconds=1800.0):
    return Job(open_results(out, "cpu"), "cpu", True, time.monotonic() + seconds)


def parts(out):
    return json.loads((out / "results.json").read_text())["parts"]


def test_it_measures_writes_and_goes_on_where_it_was(tmp_path, rehearse, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert rehearse(first, "--only", "goals", "correct", "ways", "train") == 0
    tests = parts(first)["correct"]["result"]
    assert tests["ended"] and set(tests["tests"].values()) <= {"passed", "left out"}
    trained = parts(first)["train"]["result"]
    assert trained["ended"] and trained["curve"] and (first / "best_fp16.pt").is_file()
    for part, wanted in (("goals", goals.wanted(tiny=True)), ("ways", ways.wanted(tiny=True))):
        rows = parts(first)[part]["result"]["rows"]
        assert set(rows) == {c.key for c in wanted}
        for row in rows.values():
            assert min(row["ms"].values()) > 0 and row["gflop"] > 0 and row["first_ms"] > 0

    capsys.readouterr()
    assert rehearse(second, "--resume", str(first), "--only", "goals", "where", "beside") == 0
    said = capsys.readouterr().err
    assert "goals: done before" in said and "where: done, " in said
    stages = parts(second)["where"]["result"]["stages"]
    assert all(set(s) == {"encode", "aggregate", "decode"} for s in stages.values())
    assert set(parts(second)["beside"]["result"]["ms"]) == set(beside.MODES)
    report = (second / "report.md").read_text()
    assert "A rehearsal: its numbers mean nothing" in report and "| da3-small | 3 |" in report
    for part in ("goals", "correct", "ways", "where", "beside", "train"):
        assert f"## {part}" in report
    # No more come home from a machine that is lent, and none from deeper folders.
    assert len(list(second.iterdir())) <= 8 and all(f.is_file() for f in second.iterdir())


def test_what_is_worth_most_comes_first():
    """And all of it has a share of the nine minutes."""
    assert list(command.PARTS)[:3] == ["goals", "correct", "ways"]
    assert all(part.WEIGHT > 0 for part in command.PARTS.values())


def test_what_time_cut_short_is_done_again(tmp_path, capsys):
    for _ in range(2):
        late = job(tmp_path, seconds=-1)
        assert run_part("correct", late)
        assert parts(tmp_path)["correct"]["state"] == "unfinished"
        assert "stopped by time" in (tmp_path / "report.md").read_text()
    assert "done before" not in capsys.readouterr().err


def test_training_that_ended_badly_is_done_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "words", lambda *_: ["--no-such-word"])
    for _ in range(2):
        assert not run_part("train", job(tmp_path))
    assert "done before" not in capsys.readouterr().err
    assert parts(tmp_path)["train"]["state"] == "failed"


def test_a_failed_test_is_run_again_and_counts_as_a_failure():
    passed = {"ended": True, "tests": {"a": "passed", "b": "left out"}}
    assert correct.state(passed) == "done"
    assert correct.state({"ended": True, "tests": {"a": "passed", "b": "failed"}}) == "failed"
    assert correct.state({"ended": True, "tests": {}}) == "failed"


def test_an_interrupted_run_of_tests_says_what_it_had_found(tmp_path):
    file, report = tmp_path / "test_long.py", tmp_path / "report.xml"
    file.write_text(
        "import time\nfrom pathlib import Path\ndef test_a(): pass\n"
        f"def test_b(): Path({str(tmp_path / 'begun')!r}).touch(); time.sleep(1800)\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", str(file)]
    found, seconds = {}, GRACE
    while not found:  # as long as this machine needs
        seconds += 5
        assert run_until(words, tmp_path / "log", seconds) is None
        found = correct._outcomes(report) if (tmp_path / "begun").exists() else {}
    assert {k.split("::")[-1]: v for k, v in found.items()}["test_a"] == "passed"


def test_nothing_that_a_command_started_outlives_it(tmp_path, monkeypatch):
    """Not even what does not listen."""
    monkeypatch.setattr("tools.gpu.command.GRACE", 1.0)
    start = f"trap '' INT; sleep 1800 & echo $! > {tmp_path / 'child'}; "
    assert run_until(["bash", "-c", start + "exit 3"], tmp_path / "log", 1800) == 3
    wait_for_the_end_of(tmp_path / "child")
    seconds = 2.0
    while not (tmp_path / "child").exists():  # as long as this machine needs
        assert run_until(["bash", "-c", start + "sleep 1800"], tmp_path / "log", seconds) is None
        seconds += 5
    wait_for_the_end_of(tmp_path / "child")


def wait_for_the_end_of(file):
    state = Path(f"/proc/{int(file.read_text())}/stat")
    file.unlink()
    end = time.monotonic() + 600
    while state.exists() and state.read_text().split(") ")[1][0] != "Z":
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_result_before_does_not_hide_a_failure(tmp_path, monkeypatch):
    result = {"peak_tflops": 1.0, "rows": {}, "left_out": ["da3-small 3"]}
    open_results(tmp_path, "cpu").put("fast", result, "unfinished")
    monkeypatch.setattr(fast, "attempt", lambda *_: {}["no such row"])
    assert not run_part("fast", job(tmp_path))
    report = (tmp_path / "report.md").read_text()
    assert "Failed: KeyError: 'no such row'" in report and "Not measured, time was over" in report


def test_one_row_that_cannot_be_measured_costs_no_other(tmp_path, monkeypatch):
    """It is tried again, after those that were not tried."""
    measure = fast.measure
    broken, sound = (Case("da3-small", n, process_res=56) for n in (3, 4))

    def fails(case, networks, job):
        if case == broken:
            raise RuntimeError("no kernel for this\nand more lines")
        return measure(case, networks, job)

    monkeypatch.setattr(fast, "measure", fails)
    monkeypatch.setattr(fast, "wanted", lambda tiny: [broken, sound])
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


def test_every_picture_is_rendered_once(monkeypatch):
    """For all rows; smaller here, so that it takes no minutes."""
    monkeypatch.setattr(cases, "CAMERA", cases.CAMERA.scaled(width=16, height=12))
    cases.room_view.cache_clear()
    shown = {shape: set() for shape in cases.SHAPES}
    for case in fast.wanted(tiny=False):
        frames = case.frames(case.views + 2)
        shown[case.shape] |= {f.image.tobytes() for f in frames}
    assert all(case.camera == cases.camera(case.shape, 16) for case in fast.GOALS)
    count = max(fast.VIEWS) + 2
    assert [len(pictures) for pictures in shown.values()] == [count] * len(cases.SHAPES)
    assert cases.room_view.cache_info().misses == count * len(cases.SHAPES)
    cases.room_view.cache_clear()


def test_nothing_is_needed_that_is_not_listed():
    """tools/gpu/wheels.txt: what a machine has, with all that it needs, and what is brought."""
    text = (ROOT / "tools" / "gpu" / "wheels.txt").read_text()
    named = re.search(r"needs besides (.*?) and what these need", text, re.DOTALL).group(1)
    there = with_needs(re.findall(r"[\w-]+", named))
    brought = {canonical(r) for r in re.findall(r"^([\w-]+)==", text, re.MULTILINE)}
    code = f"""
import sys
import bare_imports
bare_imports.forget_all_but({there | brought | {"da3-ros"}!r})
import tools.gpu.__main__, tools.training.train
from tools import upstream
upstream.import_upstream()
import depth_anything_3.api
import pytest
files = map(str, tools.gpu.correct.files())
sys.exit(pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", "-m", "gpu", *files]))
"""
    path = os.pathsep.join(
        [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "test_on_device.py" in done.stdout


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


def test_results_of_another_device_are_not_gone_on_with(tmp_path):
    one, other = (Results(tmp_path, device, {}) for device in ("one", "other"))
    one.put("fast", {}, "done")
    assert Results(tmp_path, "one", {}).is_done("fast") and not other.is_done("fast")


def test_without_a_gpu_it_says_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    words = [sys.executable, "-m", "tools.gpu", "--out", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 1 and "no CUDA device here; --rehearse" in done.stdout


def test_files_with_tests_for_a_gpu_are_found():
    names = {f.name for f in correct.files()}
    assert {"test_on_device.py", "test_splat.py", "test_pipeline.py"} <= names
    assert "test_layers.py" not in names


def test_outcomes_are_told_apart(tmp_path):
    file = tmp_path / "test_three.py"
    file.write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n"
        "def test_c(): pytest.skip('no')\n"
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", str(file)]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=1800)
    found = {k.split("::")[-1]: v for k, v in correct._outcomes(report).items()}
    assert found == {"test_a": "passed", "test_b": "failed", "test_c": "left out"}
    text = correct.table({"ended": True, "tests": found})
    assert "1 passed, 1 failed, 1 left out." in text and "test_b: failed" in text


def test_the_training_it_starts_knows_its_words(tmp_path):
    for tiny in (True, False):
        known = training_arguments(train.words(tmp_path, 1.0, "cpu", tiny))
        assert known.minutes == 1.0 and known.start == "da3-demo" and known.run == tmp_path


def test_weights_come_home_small_or_not_at_all(tmp_path):
    assert train.bring_home(tmp_path / "training", tmp_path) == "none: nothing was saved"
    for count, kept in ((1000, True), (9 * 2**20, False)):
        folder = tmp_path / "training"
        folder.mkdir(exist_ok=True)
        torch.save({"w": torch.ones(count)}, folder / "best.pt")
        said = train.bring_home(folder, tmp_path)
        assert (tmp_path / "best_fp16.pt").is_file() == kept and ("too large" in said) != kept


def test_time_that_is_left_over_goes_to_the_others():
    assert share_of(90.0, 1.0, 3.0) == 30.0 and share_of(80.0, 2.0, 2.0) == 80.0
