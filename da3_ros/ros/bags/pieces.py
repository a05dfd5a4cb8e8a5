"""A long bag in pieces: where it is cut, and how much before its beginning a piece looks at.

A piece is a stretch of recording time. Its run begins earlier, so that it remembers at the
beginning what a run of the whole bag would: at first frames are only collected, which settles
which of them are kept; then windows are processed too, which settles their metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from da3_ros.core.config import Config
from da3_ros.ros.bags.bag import Span

SECOND = 1_000_000_000
COLLECT_NS = 20 * SECOND
"""Stretch in which frames are only collected."""
SETTLE_NS = 5 * SECOND
SETTLE_WINDOWS = 14
"""How long, beyond the oldest frame of a window, windows are processed before a piece begins, and
at least how many: two periods of the points that are followed (core/scale/parallax.py), and the
windows after them that are remembered (core/scale/misfit.py)."""


class Phase(Enum):
    """What a run does with what it reads."""

    COLLECT = "frames are collected, no window is processed"
    SETTLE = "windows are processed, nothing is written"
    WRITE = "results are written"


@dataclass(frozen=True)
class Piece:
    """From `start_ns` on, before `stop_ns`; None: from the beginning, to the end."""

    start_ns: int | None = None
    stop_ns: int | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.start_ns or 0}-{self.stop_ns or 'end'}"

    def phases(self, config: Config, period_ns: int) -> list[tuple[int, Phase]]:
        """Recording time at which each phase begins. period_ns: from image to image."""
        if self.start_ns is None:
            return [(0, Phase.WRITE)]
        windows_ns = SETTLE_WINDOWS * config.window.stride * period_ns
        age_ns = round(config.window.max_age * SECOND)
        settle = self.start_ns - max(SETTLE_NS, windows_ns) - age_ns
        times = settle - COLLECT_NS, settle, self.start_ns
        return list(zip((max(0, t) for t in times), Phase))


WHOLE = Piece()


def cut(span: Span, seconds: float) -> tuple[Piece, ...]:
    """Pieces of a bag's recording time; the last one is as long as what is left, and joined to
    the one before it where that is less than half a piece.
    """
    step = round(seconds * SECOND)
    starts = list(range(span.start_ns + step, span.stop_ns - step // 2, step))
    return tuple(Piece(*ends) for ends in zip([None, *starts], [*starts, None]))


def put_together(pieces: Sequence[Piece], misfits: Sequence[bool]) -> tuple[Piece, ...]:
    """The pieces, with each boundary k (behind piece k) taken out where `misfits` says so."""
    joined = [pieces[0]]
    for piece, misfit in zip(pieces[1:], misfits):
        if misfit:
            joined[-1] = Piece(joined[-1].start_ns, piece.stop_ns)
        else:
            joined.append(piece)
    return tuple(joined)
