"""Correct: the tests marked `gpu`, each by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tools.gpu.job import Job

WEIGHT = 2.0
TESTS = Path(__file__).parents[2] / "tests"
MARK = "pytest.mark.gpu"


def files() -> list[Path]:
    """Test files that hold a test marked `gpu`: the others are not even imported."""
    return [p for p in sorted(TESTS.rglob("test_*.py")) if MARK in p.read_text()]


def run(job: Job) -> dict:
    """How each test ended; those that time did not allow are not in it."""
    report = job.out / "correct.xml"
    log = job.out / "correct.log"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}"]
    with log.open("w") as file:
        try:
            subprocess.run(
                [*command, *map(str, files())],
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=job.seconds_left,
                cwd=TESTS.parent,
            )
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
    return {"ended": ended, "tests": _outcomes(report) if report.is_file() else {}}


def _outcomes(report: Path) -> dict[str, str]:
    kinds = {"failure": "failed", "error": "failed", "skipped": "left out"}
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        tags = [kinds[child.tag] for child in case if child.tag in kinds]
        name = f"{case.get('classname').removeprefix('tests.')}::{case.get('name')}"
        found[name] = tags[0] if tags else "passed"
    return found


def table(result: dict) -> str:
    """Counts, and every test that did not pass."""
    ends = list(result["tests"].values())
    counts = ", ".join(f"{ends.count(k)} {k}" for k in ("passed", "failed", "left out"))
    lines = [f"Tests on the device: {counts}" + ("." if result["ended"] else "; stopped by time.")]
    lines += [f"- {name}: {end}" for name, end in result["tests"].items() if end != "passed"]
    return "\n".join(lines)
