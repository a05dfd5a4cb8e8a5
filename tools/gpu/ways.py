"""The goals in all other ways in which the node can run: CUDA graphs, compiled, both.

Each goal in a process of its own, which may hang or break without harm to the rest: compiling
takes minutes and a C++ compiler, and a recording that fails leaves torch's memory in disorder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tools.gpu import cases, fast, goals
from tools.gpu.cases import Case
from tools.gpu.command import GRACE, run_until
from tools.gpu.job import Job
from tools.gpu.results import UNFINISHED, Results, read_json

WEIGHT = 24.0
TO_START = 20.0 + GRACE
"""Seconds in which a process cannot measure anything."""

state, table = fast.state, fast.table


def wanted(tiny: bool) -> list[Case]:
    """Every goal in every way; in a rehearsal one, and not compiled, which takes minutes."""
    ways = (cases.AHEAD,) if tiny else cases.WAYS
    return [replace(goal, how=how) for goal in goals.wanted(tiny) for how in ways]


def run(job: Job) -> dict:
    """Rows measured before are kept; what a failure left unmeasured is for the next process."""
    rows = wanted(job.tiny)
    result = job.results.of("ways") or fast.no_rows(rows, job)
    to_come = fast.to_do(rows, result["rows"])
    while to_come and (job.tiny or job.has(TO_START)):
        goal = [c for c in to_come if replace(c, how="") == replace(to_come[0], how="")]
        found, ended = in_a_process(goal, job, job.seconds_left * len(goal) / len(to_come))
        lost = [c for c in goal if c.key not in found]
        if lost and ended:
            broken = lost.pop(0)
            why = f"its process ended with status {ended}: see ways.log"
            found[broken.key] = fast.row_of(broken) | {"failed": why}
        for case in goal:
            if case.key in found:
                fast.put_row(result, case, found[case.key], rows)
        job.results.put("ways", result, UNFINISHED)
        again = lost if fast.has_failed({"rows": found}) else []
        to_come = again + [c for c in to_come if c not in goal]
    return result


def in_a_process(goal: Sequence[Case], job: Job, seconds: float) -> tuple[dict, int | None]:
    """Rows of one preset by their keys, and the status of the process; None: time was over."""
    first = goal[0]
    with tempfile.TemporaryDirectory() as folder:
        words = [folder, str(seconds - GRACE), job.device, first.preset, first.shape]
        words += [str(first.views), str(first.process_res), *(c.how for c in goal)]
        command = [sys.executable, "-m", "tools.gpu.ways", *words]
        ended = run_until(command, job.out / "ways.log", seconds)
        kept = read_json(Path(folder, "results.json")) or {"parts": {}}
    return kept["parts"].get("ways", {}).get("result", {}).get("rows", {}), ended


def main(words: Sequence[str] | None = None) -> None:
    """One goal's process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    for name in ("device", "preset", "shape"):
        parser.add_argument(name)
    for name in ("views", "process_res"):
        parser.add_argument(name, type=int)
    parser.add_argument("how", nargs="+")
    a = parser.parse_args(words)
    results = Results(a.folder, a.device, {"ways": table})
    job = Job(results, a.device, a.device == "cpu", time.monotonic() + a.seconds)
    rows = [Case(a.preset, a.views, a.shape, a.process_res, how) for how in a.how]
    fast.measure_rows("ways", rows, job, go_on=False)


if __name__ == "__main__":
    main()
