"""Train: da3-demo goes on for as long as there is time; what comes out is kept if it is small."""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

from tools.gpu.command import GRACE, run_until
from tools.gpu.job import Job
from tools.gpu.results import DONE, FAILED

WEIGHT = 6.0
LARGEST_CHECKPOINT = 16 * 2**20
"""Bytes of the file that is brought home."""

TO_SAVE = 20.0 + GRACE
"""Seconds kept for the last evaluation."""


def run(job: Job) -> dict:
    """tools.training.train on the device; the best weights in fp16, and the curve."""
    minutes = 0.02 if job.tiny else max(0.01, (job.seconds_left - TO_SAVE) / 60)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "tools.training.train"]
        command += words(folder, minutes, job.device, job.tiny)
        status = run_until(command, job.out / "training.log", job.seconds_left)
        curve = folder / "curves.csv"
        rows = list(csv.DictReader(curve.open())) if curve.is_file() else []
        weights = bring_home(folder, job.out)
    return {
        "ended": status == 0,
        "minutes": round(minutes, 2),
        "curve": rows,
        "weights": weights,
    }


def state(result: dict) -> str:
    """Done when it ended by itself, and well."""
    return DONE if result["ended"] else FAILED


def words(folder: Path, minutes: float, device: str, tiny: bool) -> list[str]:
    """What the training is told."""
    size = ("--scale", "1.5")
    if tiny:
        size = ("--scale", "0.5", "--views-per-step", "4", "--motion-steps", "2")
        size += ("--held-out", "2", "--threads", "1")
    how = ("--start", "da3-demo", *size)
    return [str(folder), "--minutes", str(minutes), "--device", device, *how]


def bring_home(folder: Path, out: Path) -> str:
    """What became of the weights, in words."""
    import torch

    best = folder / "best.pt"
    if not best.is_file():
        return "none: nothing was saved"
    state = torch.load(best, weights_only=True, map_location="cpu")
    small = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    torch.save(small, out / "best_fp16.pt")
    size = (out / "best_fp16.pt").stat().st_size
    if size > LARGEST_CHECKPOINT:
        (out / "best_fp16.pt").unlink()
        return f"too large to bring home: {size / 2**20:.1f} MiB"
    return f"best_fp16.pt, {size / 2**20:.1f} MiB"


def table(result: dict) -> str:
    """The last row of the curve."""
    lines = [f"Trained for {result['minutes']} min; weights: {result['weights']}."]
    if not result["ended"]:
        lines.append("It did not end well: see training.log.")
    if result["curve"]:
        lines += [f"- {k}: {v}" for k, v in result["curve"][-1].items()]
    return "\n".join(lines)
