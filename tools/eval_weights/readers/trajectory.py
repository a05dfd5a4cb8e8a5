"""Poses at the stamps of pictures, from a list of poses at stamps of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.core import poses

LONGEST_GAP_NS = 100_000_000
"""Between two poses that one is taken from between."""

NO_POSE = f"no pose on both sides of them within {LONGEST_GAP_NS // 1_000_000} ms"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """stamps_ns: (M,) int64, in any order. T_world: (M, 4, 4) of whatever moves."""

    stamps_ns: np.ndarray
    T_world: np.ndarray

    def __post_init__(self):
        order = np.argsort(self.stamps_ns, kind="stable")
        object.__setattr__(self, "stamps_ns", self.stamps_ns[order])
        object.__setattr__(self, "T_world", self.T_world[order])

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """(4, 4); None where it would be guessed."""
        after = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if after < len(self.stamps_ns) and self.stamps_ns[after] == stamp_ns:
            return self.T_world[after]
        if after in (0, len(self.stamps_ns)):
            return None
        begin, end = self.stamps_ns[after - 1 : after + 1]
        if end - begin > LONGEST_GAP_NS:
            return None
        fraction = (stamp_ns - begin) / (end - begin)
        return poses.interpolate(*self.T_world[after - 1 : after + 1], fraction)
