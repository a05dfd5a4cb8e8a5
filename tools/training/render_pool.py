"""Render training windows to files, for training on a machine whose renderer is the bottleneck.

python -m tools.training.render_pool POOL --seed 1 --shards 100
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from tools.training.windows import SIZE_ODDS, SIZES, Windows, random_windows, training_atlas

WINDOWS_PER_SHARD = 48


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--scale", type=float, default=1.0, help="picture size against SIZES")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.pool.mkdir(parents=True, exist_ok=True)
    for i in range(args.shards):
        rng = np.random.default_rng((args.seed, i))
        height, width = scaled(SIZES[rng.choice(len(SIZES), p=SIZE_ODDS)], args.scale)
        atlas = training_atlas(rng, 160)
        parts = [
            random_windows(rng, atlas, 1, args.views, height, width)
            for _ in range(WINDOWS_PER_SHARD)
        ]
        name = f"{height}x{width}_{args.seed}_{i:05d}.pt"
        Windows.cat(parts).save(args.pool / name)


def scaled(size, scale: float):
    """(height, width) times `scale`, in whole patches."""
    return tuple(max(1, round(side * scale / 14)) * 14 for side in size)


if __name__ == "__main__":
    main()
