"""The windows by which a run is judged while it goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tools.training.windows import Windows, random_windows, training_atlas

HELD_OUT_SEED = 10**6
HELD_OUT_WINDOWS = 40


def held_out_windows(folder: Path, scale: float, device, count: int) -> Windows:
    """The same windows of 4 views for every run, rendered once."""
    height, width = (max(1, round(side * scale / 14)) * 14 for side in (84, 112))
    path = folder / f"held_out_{height}x{width}_{count}.pt"
    if not path.exists():
        rng = np.random.default_rng(HELD_OUT_SEED)
        atlas = training_atlas(rng, 160).to(device)
        parts = [random_windows(rng, atlas, 1, 4, height, width) for _ in range(count)]
        Windows.cat(parts).save(path)
    windows = Windows.load(path).to(device)
    # The pipeline's reference is the middle of the window.
    return Windows(*(getattr(windows, f)[:, [2, 0, 1, 3]] for f in windows.__dataclass_fields__))
