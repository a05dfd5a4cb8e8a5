"""One command for the day that a GPU is at hand: the goals, correct, fast, where time goes, train.

    python -m tools.gpu                           # all of it, 9 minutes, into $OUT or out/gpu
    python -m tools.gpu --only goals where --minutes 3
    python -m tools.gpu --resume earlier          # goes on with what that folder holds
    python -m tools.gpu --rehearse                # every line of it on a CPU, with tiny settings

Nothing is fetched: tools/gpu/wheels.txt lists what to bring. A part that is done is not done
again in the same folder; what failed or was cut short is, and rows go on one by one.
report.md and results.json hold all that was found so far, after every row; at most five files
lie beside them. A part that fails says so there and does not stop the others.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from tools.gpu import beside, correct, fast, goals, train, ways, where
from tools.gpu.job import Job, share_of
from tools.gpu.results import FAILED, Results, take_over

PARTS = {
    "goals": goals,
    "correct": correct,
    "ways": ways,
    "where": where,
    "beside": beside,
    "fast": fast,
    "train": train,
}
"""What is worth most comes first: time, or the machine, may end before all is done."""


def main(words: Sequence[str] | None = None) -> int:
    """The number of parts that failed."""
    arguments = _arguments(words)
    device = "cpu" if arguments.rehearse else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print("torch sees no CUDA device here; --rehearse runs all of it on the CPU")
        return 1
    _heed_signals()
    if arguments.resume:
        take_over(arguments.resume, arguments.out)
    results = open_results(arguments.out, device)
    end = time.monotonic() + 60 * arguments.minutes
    names = arguments.only or list(PARTS)
    failed = 0
    for i, name in enumerate(names):
        to_come = sum(PARTS[n].WEIGHT for n in names[i:])
        seconds = share_of(end - time.monotonic(), PARTS[name].WEIGHT, to_come)
        job = Job(results, device, arguments.rehearse, time.monotonic() + seconds)
        failed += not run_part(name, job)
    print(results.report())
    return failed


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("OUT", "out/gpu"))
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), metavar="PART")
    parser.add_argument("--out", type=Path, default=default, help="folder (%(default)s)")
    parser.add_argument("--resume", type=Path, help="folder with the files of an earlier run")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts (%(default)s)")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, tiny")
    arguments = parser.parse_args(words)
    if arguments.resume and not (arguments.resume / "results.json").is_file():
        parser.error(f"--resume {arguments.resume}: there is no results.json")
    return arguments


def _heed_signals() -> None:
    """Ctrl-C works, here and in what is started, also where a shell in the background has had it
    ignored; and a polite end from outside leaves nothing running."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def open_results(out: Path, device: str) -> Results:
    """The results of this machine's cuda or cpu in a folder."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    if device == "cpu":
        name = f"A rehearsal: its numbers mean nothing. {name}"
    return Results(out, name, {name: part.table for name, part in PARTS.items()})


def run_part(name: str, job: Job) -> bool:
    """Run a part unless it is done; whether it did what it should."""
    if job.results.is_done(name):
        print(f"{name}: done before", file=sys.stderr)
        return True
    print(f"{name}: at most {job.seconds_left:.0f} s", file=sys.stderr)
    start = time.monotonic()
    try:
        free(job.device)
        result = PARTS[name].run(job)
    except Exception as error:  # one part's fault must not cost the others their time
        traceback.print_exc()
        job.results.put_failure(name, "".join(traceback.format_exception(error)))
        return False
    state = PARTS[name].state(result)
    job.results.put(name, result, state)
    print(f"{name}: {state}, {time.monotonic() - start:.0f} s", file=sys.stderr)
    return state != FAILED


def free(device: str) -> None:
    """Give back what the part before held: other processes need the device's memory, too."""
    gc.collect()
    if device == "cuda":
        # After a fault torch may not be able to; that is not the fault of the part that comes.
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
