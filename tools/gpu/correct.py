"""Correct: the tests marked `gpu`, each by name."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

from tools.gpu.command import ROOT, run_until
from tools.gpu.job import Job
from tools.gpu.results import DONE, FAILED, UNFINISHED

WEIGHT = 9.0
TESTS = ROOT / "tests"
MARK = "pytest.mark.gpu"


def files() -> list[Path]:
    """Test files that hold a test marked `gpu`: the others are not even imported."""
    return [p for p in sorted(TESTS.rglob("test_*.py")) if MARK in p.read_text()]


def run(job: Job) -> dict:
    """How each test ended; those that time did not allow are not in it."""
    report = job.out / "correct.xml"
    report.unlink(missing_ok=True)  # an earlier run's says nothing of this one
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}"]
    chosen = files()[:1] if job.tiny else files()
    status = run_until([*command, *map(str, chosen)], job.out / "correct.log", job.seconds_left)
    tests = _outcomes(report) if report.is_file() else {}
    return {"ended": status is not None, "tests": tests}


def state(result: dict) -> str:
    """Failed as soon as one test has."""
    tests = result["tests"].values()
    if "failed" in tests or (result["ended"] and not tests):
        return FAILED
    return DONE if result["ended"] else UNFINISHED


def _outcomes(report: Path) -> dict[str, str]:
    kinds = {"failure": "failed", "error": "failed", "skipped": "left out"}
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        if case.get("name") is None:  # the one that was interrupted
            continue
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
