"""The one command for a GPU, rehearsed on the CPU."""

import importlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from bare_imports import canonical, with_needs

from tools.gpu import __main__ as command
from tools.gpu import beside, correct, fast, train, ways
from tools.gpu.__main__ import open_results, run_part
from tools.gpu.command import GRACE, run_until
from tools.gpu.job import Job, share_of
from tools.gpu.results import Results
from tools.training.train import _arguments as training_arguments

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rehearse(monkeypatch):
    """The command, and the programs that it starts but for pytest, in this process: imports take
    longer than all that they do. It goes on listening to signals as it did."""

    def run_here(words, log, seconds):
        python, m, module, *words = words
        importlib.import_module(module).main(words)
        return 0

    for part in (ways, train):
        monkeypatch.setattr(part, "run_until", run_here)
    monkeypatch.setattr(command, "_heed_signals", lambda: None)
    return lambda out, *words: command.main(["--rehearse", "--out", str(out), *words])


def job(out, seconds=1800.0):
    return Job(open_results(out, "cpu"), "cpu", True, time.monotonic() + seconds)


def parts(out):
    return json.loads((out / "results.json").read_text())["parts"]


def test_it_measures_writes_and_goes_on_where_it_was(tmp_path, rehearse, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert rehearse(first, "--only", "correct", "ways", "train") == 0
    tests = parts(first)["correct"]["result"]
    assert tests["ended"] and set(tests["tests"].values()) <= {"passed", "left out"}
    trained = parts(first)["train"]["result"]
    assert trained["ended"] and trained["curve"] and (first / "best_fp16.pt").is_file()
    rows = parts(first)["ways"]["result"]["rows"]
    assert set(rows) == {c.key for c in ways.wanted(tiny=True)}
    for row in rows.values():
        assert min(row["ms"].values()) > 0 and row["gflop"] > 0 and row["first_ms"] > 0

    capsys.readouterr()
    assert rehearse(second, "--resume", str(first), "--only", "ways", "where", "beside") == 0
    said = capsys.readouterr().err
    assert "ways: done before" in said and "where: done, " in said
    stages = parts(second)["where"]["result"]["stages"]
    assert all(set(s) == {"encode", "aggregate", "decode"} for s in stages.values())
    assert set(parts(second)["beside"]["result"]["ms"]) == set(beside.MODES)
    report = (second / "report.md").read_text()
    assert (
        "A rehearsal: its numbers mean nothing" in report and "| da3-small, CUDA graphs" in report
    )
    for part in ("correct", "ways", "where", "beside", "train"):
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


def test_training_that_ended_badly_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "words", lambda *_: ["--no-such-word"])
    assert not run_part("train", job(tmp_path))
    assert parts(tmp_path)["train"]["state"] == "failed"
    assert not job(tmp_path).results.is_done("train")


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


def test_results_of_another_device_are_not_gone_on_with(tmp_path):
    one, other = (Results(tmp_path, device, {}) for device in ("one", "other"))
    one.put("fast", {}, "done")
    assert Results(tmp_path, "one", {}).is_done("fast") and not other.is_done("fast")


def test_parts_that_a_program_of_before_has_kept_are_measured_again(tmp_path):
    """Where it kept less than a table shows now; the others stay."""
    row = {"preset": "da3-small", "views": 3, "shape": "", "how": "", "ms": {"ours": 1.0}}
    rows = {"peak_tflops": 1.0, "rows": {"a": row | {"gflop": 1, "peak_mib": {}}}, "left_out": []}
    before = Results(tmp_path, open_results(tmp_path, "cpu")._device, {})
    before.put("where", {"stages": {}, "left_out": []}, "done")
    before.put("fast", rows, "done")
    before.put("train", {"minutes": 1, "weights": "none", "ended": True, "curve": []}, "done")
    results = open_results(tmp_path, "cpu")
    results.put_failure("correct", "no such file")
    assert not results.is_done("where") and results.of("fast") is None
    assert results.is_done("train") and "Trained for 1 min" in results.report()


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
