"""Frames of several cameras, gathered into instants of the rig."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from da3_ros.core.frame import Frame

PATIENCE_NS = 1_000_000_000
"""A camera is silent when another one has gone on by more than this since it sent; its clock is
apart when its stamps differ by more than this from those of most others."""

MOST_WAITING, MOST_WAITING_BYTES = 1000, 1 << 29
"""Frames that wait for other cameras, and bytes of their pictures. A rig of eight cameras with
1280x720 px at 20 Hz has 440 MB after a second; stamps that hardly move would have no end."""


class RigSynchroniser:
    """Frames of one instant have stamps within `tolerance_ns` of the oldest of them.

    An instant is complete when no missing frame can come any more: every other camera has
    sent one that is too new for it, or is not waited for. One camera alone never waits, and
    nobody waits any more when too much does.
    """

    def __init__(self, cameras: Sequence[str], tolerance_ns: int):
        self._tolerance_ns = tolerance_ns
        self._waiting: dict[str, deque[Frame]] = {name: deque() for name in cameras}
        self._refused: list[Frame] = []
        self._newest_ns: dict[str, int] = {}
        # When a camera sent last: the newest stamps of all, and the first of the others since.
        self._seen: dict[str, dict[str, int]] = {name: {} for name in cameras}
        self._since: dict[str, dict[str, int]] = {name: {} for name in cameras}

    def add(self, name: str, frame: Frame) -> list[tuple[Frame, ...]]:
        """Take a frame of a camera; returns the instants that are now complete, oldest first."""
        newest_ns = self._newest_ns
        newest_ns[name] = max(frame.stamp_ns, newest_ns.get(name, frame.stamp_ns))
        self._seen[name], self._since[name] = dict(newest_ns), {}
        for other in self._since.keys() - {name}:
            self._since[other].setdefault(name, frame.stamp_ns)
        self._waiting[name].append(frame)
        for odd in self.apart():
            self._refused += self._waiting[odd]
            self._waiting[odd].clear()
        instants = []
        while instant := self._complete():
            instants.append(instant)
        return instants

    @property
    def memory(self) -> tuple:
        """What decides on the frames that come. When a silent camera was heard last does not."""
        heard = {
            name: (self._newest_ns.get(name), self._seen[name], self._since[name])
            for name in self._waiting
            if not self._is_silent(name)
        }
        return self._waiting, self._refused, heard

    def flush(self) -> list[tuple[Frame, ...]]:
        """The instants of all frames that still wait: no more will come."""
        instants = []
        while heads := [line[0].stamp_ns for line in self._waiting.values() if line]:
            instants.append(self._take(min(heads) + self._tolerance_ns))
        return instants

    def silent(self) -> list[str]:
        """Cameras that are not waited for, because the others have gone on without them."""
        return [name for name in self._waiting if self._is_silent(name)]

    def apart(self) -> dict[str, float]:
        """Cameras with a clock of their own, and by how many seconds it is ahead of the others'."""
        return {name: ns / 1e9 for name in self._waiting if (ns := self._ahead_ns(name))}

    def take_refused(self) -> list[Frame]:
        """Frames of cameras with a clock of their own, which are of no instant; each once."""
        refused, self._refused = self._refused, []
        return refused

    def _complete(self) -> tuple[Frame, ...] | None:
        heads = [line[0].stamp_ns for line in self._waiting.values() if line]
        if not heads:
            return None
        oldest = min(heads)
        latest = oldest + self._tolerance_ns
        lacks = any(
            not line and not self._is_past(name, latest) for name, line in self._waiting.items()
        )
        return None if lacks and not self._is_full() else self._take(latest)

    def _is_full(self) -> bool:
        frames = [frame for line in self._waiting.values() for frame in line]
        return len(frames) > MOST_WAITING or _bytes(frames) > MOST_WAITING_BYTES

    def _take(self, latest: int) -> tuple[Frame, ...]:
        """The frames of the instant that ends at the stamp `latest`."""
        lines = [line for line in self._waiting.values() if line and line[0].stamp_ns <= latest]
        return tuple(line.popleft() for line in lines)

    def _is_past(self, name: str, latest: int) -> bool:
        if self._is_silent(name) or self._ahead_ns(name):
            return True
        return self._newest_ns.get(name, latest) > latest

    def _is_silent(self, name: str) -> bool:
        since = self._since[name]
        return any(self._newest_ns[other] - ns > PATIENCE_NS for other, ns in since.items())

    def _ahead_ns(self, name: str) -> int:
        """0 where its clock agrees with most others', or where there are no two to compare with.

        When a camera sends, frames of the others are at most a moment ahead of its own: by more,
        one of the two clocks is apart, and which one is told by the other cameras.
        """
        others = [c for c in self._newest_ns if c != name and not self._is_silent(c)]
        if len(others) < 2 or name not in self._newest_ns or self._is_silent(name):
            return 0
        ahead = [self._lead_ns(name, other) for other in others]
        behind = [-self._lead_ns(other, name) for other in others]
        far = [ns for ns in ahead if ns > PATIENCE_NS] or [ns for ns in behind if -ns > PATIENCE_NS]
        return far[0] if 2 * len(far) > len(others) else 0

    def _lead_ns(self, name: str, other: str) -> int:
        """How far `name` was ahead of `other` when that one sent last."""
        seen = self._seen[other]
        return seen[name] - seen[other] if name in seen else 0


def _bytes(frames: list[Frame]) -> int:
    return sum(frame.image.nbytes for frame in frames)
