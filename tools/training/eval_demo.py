"""Measure da3-demo (or any checkpoint) on held-out scenes and on the real kitchen.

    python -m tools.training.eval_demo                       # prints a markdown table
    python -m tools.training.eval_demo --model FOLDER --res 168

Held-out scenes come from seeds that training never draws; the kitchen (7-Scenes RedKitchen) is
read from ../shared/data where that folder exists, and was never trained on. All numbers are of
the reference view, the one that the node publishes. Posed depth is metric, nothing is fitted:
its scale comes from the given camera distances, as in the node.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from da3_ros.net.checkpoint import load_network
from tools.training.evaluate import constant_depth, measure
from tools.training.held_out import JUDGED_SEED, never_drawn
from tools.training.kitchen import FOLDER, kitchen_windows
from tools.training.windows import Windows

VIEWS = (1, 2, 4, 6)
CONSTANT_DEPTH = 2.0
"""What a guess without looking says, m: about the median of rooms."""

COLUMNS = (
    "abs_rel", "delta1", "scale_error", "abs_rel_aligned", "delta1_aligned", "rotation_deg",
    "translation",
)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="da3-demo")
    parser.add_argument("--windows", type=int, default=48, help="windows per line of the table")
    parser.add_argument("--res", type=int, default=168, help="width of the pictures, px")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(2)
    network = load_network(args.model, args.device)
    width = args.res // 14 * 14
    height = round(width * 0.75 / 14) * 14
    scenes = held_out(args.windows, height, width).to(args.device)
    print(table("held-out scenes", network, lambda n: first_views(scenes, n)))
    if not FOLDER.exists():
        print(f"\nThe kitchen is not measured: {FOLDER.name} is not beside the project.")
        return
    print(table("kitchen", network, lambda n: real(n, args, height, width)))


def real(views, args, height, width) -> Windows:
    return kitchen_windows(views, args.windows, height, width).to(args.device)


def held_out(count: int, height: int, width: int) -> Windows:
    """Windows of six views along a path, from scenes and textures of their own seed."""
    return Windows.cat(list(never_drawn(JUDGED_SEED, count, max(VIEWS), (height, width))))


def first_views(windows: Windows, views: int) -> Windows:
    """The first views of each window, the middle one as reference."""
    middle = views // 2
    order = [middle, *(k for k in range(views) if k != middle)]
    return Windows(*(getattr(windows, f)[:, order] for f in windows.__dataclass_fields__))


def table(name: str, network, windows_of) -> str:
    """Markdown: one line per number of views, posed and unposed, and the constant guess."""
    lines = [f"| {name} | views | " + " | ".join(COLUMNS) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
    guess = constant_depth(windows_of(4), CONSTANT_DEPTH)
    lines.append(_line(f"constant {CONSTANT_DEPTH:g} m", "", guess))
    for posed in (True, False):
        for views in VIEWS:
            row = measure(network, windows_of(views), posed=posed)
            lines.append(_line("posed" if posed else "unposed", views, row))
    return "\n".join(lines)


def _line(label, views, row):
    cells = ("" if np.isnan(row.get(c, np.nan)) else f"{row[c]:.3f}" for c in COLUMNS)
    return f"| {label} | {views} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
