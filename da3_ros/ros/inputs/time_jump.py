"""When a stamp means that time started over: a looped bag, a simulator that was reset."""

from __future__ import annotations

JUMP_NS = 1_000_000_000
"""A message older than the newest of its stream by more than this is no straggler."""


def jump_back(newest_ns: int, stamp_ns: int) -> float:
    """Seconds by which time jumped back; 0 when it did not."""
    back_ns = newest_ns - stamp_ns
    return back_ns / 1e9 if back_ns > JUMP_NS else 0.0
