"""Cameras of 10, 12 or 14 bits in pictures of 16, whose numbers are the sensor's own.

No message says how many of the bits are used, and of 65,535 such pictures would be almost black.
One picture alone does not tell either: dark ones would be made bright, and brightness would jump
from each to the next. The largest number of all pictures so far tells, and only ever grows.
"""

from __future__ import annotations

import numpy as np

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that sensors have."""


class BitDepth:
    """How many of 16 bits one camera uses, by all of its pictures so far.

    bits: one of `DEPTHS`; 0 before the first picture of 16 bits.
    """

    def __init__(self):
        self.bits = 0

    def full_range(self, values: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, C) uint16 of the next picture, its highest used bit moved to the top;
        itself where that is there already. Of four channels the last, alpha, does not count.
        """
        if self.bits == DEPTHS[-1]:
            return values
        peak = int((values if values.ndim == 2 else values[..., :3]).max())
        self.bits = max(self.bits, next(bits for bits in DEPTHS if peak < 1 << bits))
        return values if self.bits == DEPTHS[-1] else values << (DEPTHS[-1] - self.bits)

    def change(self, before: int) -> str:
        """What to say where `bits` was `before`, ahead of the last picture; mostly nothing."""
        if self.bits == before or not before and self.bits == DEPTHS[-1]:
            return ""
        used = f"{before} before, " if before else ""
        return (
            f"images use {self.bits} of their 16 bits so far ({used}by their largest value): "
            f"{(1 << self.bits) - 1:,} is taken for white from here on; if that is wrong, let the "
            "driver use the highest bits, or send 8"
        )
