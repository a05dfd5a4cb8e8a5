"""How long images and their camera infos wait for each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """The newest `count` wait; more of them while their stamps are within `span_ns` of the newest
    and their pictures hold at most `size` bytes together.
    """

    count: int
    span_ns: int = 0
    size: int = 0

    def excess(self, waiting: Sequence[tuple[int, int]]) -> int:
        """How many of the oldest wait no longer. waiting: stamp in ns and bytes, oldest first."""
        total, kept = 0, 0
        for stamp_ns, size in reversed(waiting):
            total += size
            is_near = abs(waiting[-1][0] - stamp_ns) <= self.span_ns and total <= self.size
            if kept >= self.count and not is_near:
                break
            kept += 1
        return len(waiting) - kept
