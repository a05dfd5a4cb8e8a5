"""One command for the day that a GPU is at hand: correct, fast, where the time goes, train.

    python -m tools.gpu                           # all of it, 9 minutes, into $OUT or out/gpu
    python -m tools.gpu --only fast where --minutes 4
    python -m tools.gpu --rehearse                # every line of it on a CPU, with tiny settings

Nothing is fetched: tools/gpu/wheels.txt lists what to bring. A part that is done is not done
again in the same folder; `fast` goes on row by row. report.md holds all tables, and a part that
fails says so there and does not stop the others.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback
from pathlib import Path

import torch

from tools.gpu import correct, fast, train, where
from tools.gpu.job import Job, read_json, share_of, write_json

PARTS = {"correct": correct, "fast": fast, "where": where, "train": train}


def main() -> int:
    """The number of parts that failed."""
    arguments = _arguments()
    device = "cpu" if arguments.rehearse else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print("torch sees no CUDA device here; --rehearse runs all of it on the CPU")
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * arguments.minutes
    names = arguments.only or list(PARTS)
    failed = 0
    for i, name in enumerate(names):
        to_come = sum(PARTS[n].WEIGHT for n in names[i:])
        seconds = share_of(end - time.monotonic(), PARTS[name].WEIGHT, to_come)
        job = Job(arguments.out, device, arguments.rehearse, time.monotonic() + seconds)
        failed += not _run(name, job)
    write_report(arguments.out, device)
    print((arguments.out / "report.md").read_text())
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("OUT", "out/gpu"))
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), metavar="PART")
    parser.add_argument("--out", type=Path, default=default, help="folder (%(default)s)")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts (%(default)s)")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, tiny")
    return parser.parse_args()


def _run(name: str, job: Job) -> bool:
    """Run a part unless its result is there; whether it did what it should."""
    path = job.out / f"{name}.json"
    if read_json(path) is not None:
        print(f"{name}: done before", file=sys.stderr)
        return True
    print(f"{name}: at most {job.seconds_left:.0f} s", file=sys.stderr)
    start = time.monotonic()
    try:
        result = PARTS[name].run(job)
    except Exception as error:  # one part's fault must not cost the others their time
        traceback.print_exc()
        (job.out / f"{name}.failed").write_text("".join(traceback.format_exception(error)))
        return False
    if name != "fast" or not result["left_out"]:
        write_json(path, result)
    (job.out / f"{name}.md").write_text(PARTS[name].table(result) + "\n")
    print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return True


def write_report(out: Path, device: str) -> None:
    """report.md, of all parts that have run in this folder."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    lines = [f"# {name}, torch {torch.__version__}"]
    if device == "cpu":
        lines.append("\nA rehearsal: its numbers mean nothing.")
    for part in PARTS:
        table, failure = out / f"{part}.md", out / f"{part}.failed"
        if table.is_file():
            lines += [f"\n## {part}\n", table.read_text().strip()]
        elif failure.is_file():
            lines += [f"\n## {part}\n", "Failed: " + failure.read_text().strip().splitlines()[-1]]
    (out / "report.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
