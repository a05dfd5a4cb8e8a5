"""The one command for a GPU, rehearsed on the CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tools.gpu import correct, fast, train
from tools.gpu.cases import Case, count_flops
from tools.gpu.job import share_of
from tools.training.train import _arguments as training_arguments

ROOT = Path(__file__).parents[2]


def command(out, *words):
    return subprocess.run(
        [sys.executable, "-m", "tools.gpu", "--rehearse", "--out", str(out), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
    )


def test_it_measures_writes_and_goes_on_where_it_was(tmp_path):
    done = command(tmp_path)
    assert done.returncode == 0, done.stderr
    tests = json.loads((tmp_path / "correct.json").read_text())
    assert tests["ended"] and set(tests["tests"].values()) <= {"passed", "left out"}
    trained = json.loads((tmp_path / "train.json").read_text())
    assert trained["ended"] and trained["curve"] and (tmp_path / "best_fp16.pt").is_file()
    rows = json.loads((tmp_path / "fast.json").read_text())["rows"]
    assert set(rows) == {c.key for c in fast.wanted(tiny=True)}
    for row in rows.values():
        assert min(row["ms"].values()) > 0 and row["gflop"] > 0
    stages = json.loads((tmp_path / "where.json").read_text())
    assert all(set(s) == {"encode", "aggregate", "decode"} for s in stages.values())
    report = (tmp_path / "report.md").read_text()
    assert "A rehearsal: its numbers mean nothing" in report and "| da3-small | 3 |" in report

    again = command(tmp_path, "--only", "fast", "where")
    assert "fast: done before" in again.stderr and "where: done before" in again.stderr


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
        folder.mkdir()
        torch.save({"w": torch.ones(count)}, folder / "best.pt")
        said = train.bring_home(folder, tmp_path)
        assert (tmp_path / "best_fp16.pt").is_file() == kept and ("too large" in said) != kept


def test_time_that_is_left_over_goes_to_the_others():
    assert share_of(90.0, 1.0, 3.0) == 30.0 and share_of(80.0, 2.0, 2.0) == 80.0


def test_work_is_counted_without_doing_it():
    """Blocks: 12 C^2 products per token; seven see all views, four the new one, and heads."""
    tokens = 27 * 36 + 1
    blocks = 2 * 12 * 384**2 * tokens * (7 * 4 + 4)
    assert blocks < count_flops(Case("da3-small", 4)) < 3 * blocks
