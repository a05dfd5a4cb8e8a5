"""Windows of scenes, textures and paths that training never draws, by their seeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tools.training.windows import Windows, random_windows, training_atlas

HELD_OUT_SEED = 10**6
"""Of the windows by which a run is judged while it goes on."""

JUDGED_SEED = 2 * 10**6
"""Of those by which weights are judged in the end."""

HELD_OUT_WINDOWS = 40


def never_drawn(
    seed: int, count: int, views: int, size: tuple[int, int], device="cpu"
) -> Iterator[Windows]:
    """`count` scenes, one window of `views` pictures along a path in each. size: height, width."""
    rng = np.random.default_rng(seed)
    atlas = training_atlas(rng, 160).to(device)
    for _ in range(count):
        yield random_windows(rng, atlas, 1, views, *size)


def held_out_windows(folder: Path, scale: float, device, count: int) -> Windows:
    """The same windows of 4 views for every run, rendered once."""
    height, width = (max(1, round(side * scale / 14)) * 14 for side in (84, 112))
    path = folder / f"held_out_{height}x{width}_{count}.pt"
    if not path.exists():
        parts = never_drawn(HELD_OUT_SEED, count, 4, (height, width), device)
        Windows.cat(list(parts)).save(path)
    windows = Windows.load(path).to(device)
    # The pipeline's reference is the middle of the window.
    return Windows(*(getattr(windows, f)[:, [2, 0, 1, 3]] for f in windows.__dataclass_fields__))
