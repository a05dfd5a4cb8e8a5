"""Where training windows come from: rendered on the fly, or files of a renderer beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tools.training.render_pool import scaled
from tools.training.windows import SIZE_ODDS, SIZES, Drawn, Windows, draw_windows, training_atlas

VIEWS = 6
TEXTURES = 160
"""Of one atlas."""

KEPT = 512
"""Windows of one size that are kept for reuse."""

TEXTURE_LIFE = 400
"""Steps after which new textures are drawn."""

RESCAN_STEPS = 100


class Drawing(IterableDataset):
    """Windows that are drawn but not rendered, `fresh` at a time, for ever: 10 ms each."""

    def __init__(self, seed: int, fresh: int, scale: float):
        self.seed, self.fresh, self.scale = seed, fresh, scale

    def __iter__(self) -> Iterator[Drawn]:
        worker = get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            size = scaled(SIZES[rng.choice(len(SIZES), p=SIZE_ODDS)], self.scale)
            yield draw_windows(rng, TEXTURES, self.fresh, VIEWS, size)


class LiveSource:
    """Renders `fresh` windows per step on the training device and reuses the recent ones.

    workers: processes that think up scenes beside the training; 0: none, it does so itself.
    """

    def __init__(self, seed: int, device, fresh: int, scale: float, workers: int = 0):
        self.rng = np.random.default_rng(seed)
        self.device, self.fresh = device, fresh
        drawing = Drawing(seed, fresh, scale)
        context = "spawn" if workers else None  # a fork of a process with CUDA hangs
        self.drawn = iter(
            DataLoader(drawing, None, num_workers=workers, multiprocessing_context=context)
        )
        self.kept: dict[tuple, list[Windows]] = {}
        self.steps = 0

    def sample(self, count: int, generator: torch.Generator) -> Windows:
        """`count` windows of one size."""
        if self.steps % TEXTURE_LIFE == 0:
            self.atlas = training_atlas(self.rng, TEXTURES).to(self.device)
        self.steps += 1
        drawn = next(self.drawn)
        kept = self.kept.setdefault(drawn.size, [])
        kept.append(drawn.render(self.atlas, self.rng))
        while sum(map(len, kept)) > max(KEPT, self.fresh):
            kept.pop(0)
        everything = Windows.cat(kept)
        return everything[torch.randint(len(everything), (count,), generator=generator)]


class PoolSource:
    """Draws from all files of a folder, also from those that come while training."""

    def __init__(self, folder: Path, device):
        self.folder, self.device = folder, device
        self.shards: dict[str, list[Windows]] = {}
        self.read: set[str] = set()
        self.steps = 0

    def sample(self, count: int, generator: torch.Generator) -> Windows:
        """`count` windows of one size."""
        if self.steps % RESCAN_STEPS == 0:
            self._scan()
        self.steps += 1
        shards = [s for same_size in self.shards.values() for s in same_size]
        if not shards:
            raise FileNotFoundError(f"no windows in {self.folder}; run tools.training.render_pool")
        first = shards[_draw(len(shards), generator)]
        same_size = self.shards[_size(first)]
        drawn = []
        for _ in range(count):
            shard = same_size[_draw(len(same_size), generator)]
            i = _draw(len(shard), generator)
            drawn.append(shard[i : i + 1])
        return Windows.cat(drawn).to(self.device)

    def _scan(self):
        for path in sorted(self.folder.glob("*.pt")):
            if path.name not in self.read:
                self.read.add(path.name)
                shard = Windows.load(path)
                self.shards.setdefault(_size(shard), []).append(shard)


def _size(windows: Windows) -> tuple:
    return tuple(windows.images.shape[2:4])


def _draw(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))
