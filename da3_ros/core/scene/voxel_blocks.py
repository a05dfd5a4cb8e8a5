"""Voxels stored sparsely: blocks of 8x8x8, found through sorted keys.

A block is named by three integers, its position in units of eight voxels. They are looked up
relative to a base near the camera, so that the map may lie anywhere (UTM, ECEF). Everything
is a tensor, so that the same lines run on the CPU and on CUDA.
"""

from __future__ import annotations

import torch

from da3_ros.core.colormap import UNCOLORED

SIDE = 8
"""Voxels along one edge of a block."""
VOXELS = SIDE**3
_KEY_BITS = 21
_REACH = 1 << (_KEY_BITS - 1)
"""Blocks must be nearer to the base than this, along each axis."""


class VoxelBlocks:
    """At most `max_blocks` blocks of signed distance, weight and color.

    coords: (n, 3) int64, block positions. tsdf, weight: (n, 512) float32, signed distance
    in truncations and summed confidence (0: never seen). color: (n, 512, 3) float16, 0..255;
    grey where no picture was fused.
    Voxel (x, y, z) of a block is element (x * 8 + y) * 8 + z.
    """

    def __init__(self, max_blocks: int, device: str | torch.device = "cpu"):
        self.max_blocks = max_blocks
        self.device = torch.device(device)
        self.count = 0
        self.dropped = 0
        self.base = torch.zeros(3, dtype=torch.int64, device=self.device)
        self._coords = torch.zeros((0, 3), dtype=torch.int64, device=self.device)
        self._tsdf = torch.zeros((0, VOXELS), device=self.device)
        self._weight = torch.zeros((0, VOXELS), device=self.device)
        self._color = torch.zeros((0, VOXELS, 3), dtype=torch.float16, device=self.device)
        self._index()

    @property
    def coords(self) -> torch.Tensor:
        """(n, 3) int64 positions of the blocks there are."""
        return self._coords[: self.count]

    @property
    def tsdf(self) -> torch.Tensor:
        """(n, 512) float32 of their voxels, in truncations."""
        return self._tsdf[: self.count]

    @property
    def weight(self) -> torch.Tensor:
        """(n, 512) float32 of their voxels; 0: never seen."""
        return self._weight[: self.count]

    @property
    def color(self) -> torch.Tensor:
        """(n, 512, 3) float16 of their voxels, 0..255; grey without a picture."""
        return self._color[: self.count]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        held = (self._coords, self._tsdf, self._weight, self._color, self._keys, self._slots)
        return sum(t.numel() * t.element_size() for t in held)

    def find(self, coords: torch.Tensor) -> torch.Tensor:
        """Rows (...) int64 of block positions (..., 3); -1 where there is no such block."""
        if self.count == 0:
            return torch.full(coords.shape[:-1], -1, dtype=torch.int64, device=self.device)
        keys = self._keys_of(coords)
        at = torch.searchsorted(self._keys, keys).clamp_(max=self.count - 1)
        found = (self._keys[at] == keys) & self._in_reach(coords)
        return torch.where(found, self._slots[at], -1)

    def unique(self, coords: torch.Tensor) -> torch.Tensor:
        """Block positions (m, 3) of positions (n, 3): each once, those in reach of the base."""
        keys = torch.unique(self._keys_of(coords[self._in_reach(coords)]))
        mask = (1 << _KEY_BITS) - 1
        parts = [keys >> (2 * _KEY_BITS), (keys >> _KEY_BITS) & mask, keys & mask]
        return torch.stack(parts, dim=-1) - _REACH + self.base

    def recentre(self, centre: torch.Tensor) -> int:
        """Keep the base near `centre` (3,), in block units. Returns how many blocks are then out
        of reach, and lost."""
        centre = torch.floor(centre).to(torch.int64)
        if (centre - self.base).abs().max() < _REACH // 2:
            return 0
        self.base = centre
        kept = torch.nonzero(self._in_reach(self.coords))[:, 0]
        for values in (self._coords, self._tsdf, self._weight, self._color):
            values[: len(kept)] = values[kept]
        lost = self.count - len(kept)
        self.dropped += lost
        self.count = len(kept)
        self._index()
        return lost

    def _in_reach(self, coords: torch.Tensor) -> torch.Tensor:
        return ((coords - self.base).abs() < _REACH).all(dim=-1)

    def _keys_of(self, coords: torch.Tensor) -> torch.Tensor:
        """One int64 per block position (..., 3) in reach."""
        x, y, z = (coords.to(torch.int64) - self.base + _REACH).unbind(dim=-1)
        return (((x << _KEY_BITS) | y) << _KEY_BITS) | z

    def allocate(self, coords: torch.Tensor, centre: torch.Tensor) -> None:
        """Add the blocks (m, 3) that are missing; beyond `max_blocks` the farthest go.

        centre: (3,) position in block units that distances are measured from. `dropped`
        counts every block that had to go, old or new.
        """
        new = coords[self.find(coords) < 0]
        if len(new) == 0:
            return
        excess = self.count + len(new) - self.max_blocks
        free = torch.arange(self.count, self.count + len(new), device=self.device)
        if excess > 0:
            new, free = self._make_room(new, centre, excess)
        self._grow(min(self.count + len(new), self.max_blocks))
        self._coords[free] = new
        self._tsdf[free] = 0.0
        self._weight[free] = 0.0
        self._color[free] = UNCOLORED
        self.count = max(self.count, int(free.max()) + 1 if len(free) else 0)
        self._index()

    def _make_room(self, new, centre, excess):
        """The new blocks that stay and the rows they get: fresh ones first, then dropped ones'."""
        everything = torch.cat([self.coords, new])
        squared = (everything - centre).square().sum(dim=1)
        farthest = torch.topk(squared, excess).indices
        self.dropped += excess
        evicted = farthest[farthest < self.count]
        kept = torch.ones(len(new), dtype=torch.bool, device=self.device)
        kept[farthest[farthest >= self.count] - self.count] = False
        fresh = torch.arange(self.count, self.max_blocks, device=self.device)
        new = new[kept]
        return new, torch.cat([evicted, fresh])[: len(new)]

    def _grow(self, needed: int) -> None:
        capacity = len(self._coords)
        if needed <= capacity:
            return
        # Doubling keeps the cost of growing small against the cost of filling.
        more = min(max(needed, 2 * capacity, 256), self.max_blocks) - capacity
        for name in ("_coords", "_tsdf", "_weight", "_color"):
            old = getattr(self, name)
            setattr(self, name, torch.cat([old, old.new_zeros((more, *old.shape[1:]))]))

    def _index(self) -> None:
        self._keys, self._slots = torch.sort(self._keys_of(self.coords))


def local_voxels(device: torch.device) -> torch.Tensor:
    """(512, 3) float64 positions of a block's voxels in voxels, in storage order."""
    axis = torch.arange(SIDE, dtype=torch.float64, device=device)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(VOXELS, 3)
