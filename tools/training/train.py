"""Train the built-in model da3-demo on procedural scenes.

    python -m tools.training.train RUN --minutes 90                 # here, resumes what RUN holds
    python -m tools.training.train RUN --minutes 60 --device cuda
    python -m tools.training.train RUN --minutes 60 --device cuda --size large --scale 2
    python -m tools.training.train RUN --minutes 90 --start da3-demo --shape-only --scale 2
    python -m tools.training.train RUN --dry-run                    # everything, tiny: a table
    torchrun --nproc-per-node 2 -m tools.training.train RUN --minutes 90 --threads 1    # two cores

RUN gets `state.pt` (to resume, every minute), `best.pt` (averaged weights, best on held-out scenes)
and `curves.csv`; it stops by the clock, evaluation included. `tools.training.finish` makes a model
of it. With --pool, windows come from files of tools.training.render_pool instead of being rendered
on the fly.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from tools.training.dry_run import dry_run
from tools.training.held_out import HELD_OUT_WINDOWS
from tools.training.run import Run
from tools.training.sizes import SIZES

DEFAULTS = {
    "cpu": {"views_per_step": 16, "fresh": 1, "workers": 0},
    "cuda": {"views_per_step": 768, "fresh": 16, "workers": 8},
}
"""By device: what keeps it busy. On a GPU, rendering a window is expected to cost as much as
learning from eight."""


def main(arguments: Sequence[str] | None = None):
    args = _arguments(arguments)
    torch.manual_seed(args.seed)
    if args.dry_run:
        print(dry_run(args))
        return
    run = Run(args)
    run.resume()
    while run.steps == run.began or run.schedule.has_time:
        run.step()
        run.checkpoint()
    if run.schedule.evaluated < run.schedule.spent:
        run.evaluate_and_save()


def _arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--minutes", type=float, help="all that takes time, in all resumes")
    parser.add_argument(
        "--dry-run", action="store_true", help="all stages once, and what they cost"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=SIZES, default="small", help="of the network")
    parser.add_argument("--start", help="trained weights to begin with, as da3-demo")
    parser.add_argument(
        "--shape-only", action="store_true", help="no scale is taught, small things weigh more"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pool", type=Path, help="folder of rendered windows")
    parser.add_argument("--fresh", type=int, help="windows rendered anew per step")
    parser.add_argument("--workers", type=int, help="processes that think up scenes")
    parser.add_argument("--scale", type=float, default=1.0, help="picture size; 1 is 84x112 px")
    parser.add_argument(
        "--early", type=float, default=0.2, help="share of the time with mostly one view"
    )
    parser.add_argument("--motion-steps", type=int, default=2500, help="of the first stage")
    parser.add_argument("--views-per-step", type=int)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument(
        "--held-out", type=int, default=HELD_OUT_WINDOWS, help="windows, to judge by"
    )
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile: minutes first, for long runs"
    )
    args = parser.parse_args(arguments)
    if not args.dry_run and not (args.minutes and args.minutes > 0):
        parser.error("--minutes above 0, or --dry-run, is needed")
    for name, value in DEFAULTS["cuda" if args.device.startswith("cuda") else "cpu"].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


if __name__ == "__main__":
    main()
