"""Frames of several cameras, gathered into instants of the rig."""

from __future__ import annotations

from collections import deque

from da3_ros.core.frame import Frame

PATIENCE_NS = 1_000_000_000
"""A camera that lags behind the others by more than this is not waited for."""


class RigSynchroniser:
    """Frames of one instant have stamps within `tolerance_ns` of the oldest of them.

    An instant is complete when no missing frame can come any more: every other camera has
    sent one that is too new for it, or is silent. One camera alone never waits.
    """

    def __init__(self, cameras: list[str], tolerance_ns: int):
        self._tolerance_ns = tolerance_ns
        self._waiting: dict[str, deque[Frame]] = {name: deque() for name in cameras}
        self._newest_ns: dict[str, int] = {}

    def add(self, name: str, frame: Frame) -> list[tuple[Frame, ...]]:
        """Take a frame of a camera; returns the instants that are now complete, oldest first."""
        if not self._newest_ns:
            self._newest_ns = dict.fromkeys(self._waiting, frame.stamp_ns)
        self._waiting[name].append(frame)
        self._newest_ns[name] = max(frame.stamp_ns, self._newest_ns[name])
        # Whenever they were heard last: they are the same as if they never had been.
        self._newest_ns.update(dict.fromkeys(self.silent(), 0))
        instants = []
        while instant := self._complete():
            instants.append(instant)
        return instants

    def flush(self) -> list[tuple[Frame, ...]]:
        """The instants of all frames that still wait: no more will come."""
        instants = []
        while heads := [line[0].stamp_ns for line in self._waiting.values() if line]:
            instants.append(self._take(min(heads) + self._tolerance_ns))
        return instants

    def silent(self) -> list[str]:
        """Cameras that are not waited for, because the others are far ahead of them."""
        return [name for name in self._waiting if self._is_silent(name)]

    def _complete(self) -> tuple[Frame, ...] | None:
        heads = [line[0].stamp_ns for line in self._waiting.values() if line]
        if not heads:
            return None
        oldest = min(heads)
        latest = oldest + self._tolerance_ns
        if any(
            not line and not self._is_past(name, latest) for name, line in self._waiting.items()
        ):
            return None
        return self._take(latest)

    def _take(self, latest: int) -> tuple[Frame, ...]:
        """The frames of the instant that ends at the stamp `latest`."""
        lines = [line for line in self._waiting.values() if line and line[0].stamp_ns <= latest]
        return tuple(line.popleft() for line in lines)

    def _is_past(self, name: str, latest: int) -> bool:
        return self._is_silent(name) or self._newest_ns[name] > latest

    def _is_silent(self, name: str) -> bool:
        ahead = max(self._newest_ns.values(), default=0)
        return ahead - self._newest_ns.get(name, ahead) > PATIENCE_NS
