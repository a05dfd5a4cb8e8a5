"""What became of every frame: received = published + dropped by reason + pending."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

Key = tuple[str, int]
"""Frame id and stamp_ns: what tells one frame from all others."""


class Drop(Enum):
    """Why a frame was not published; the value is its name in the status message."""

    BAD_IMAGE = "bad_image"
    BLANK_IMAGE = "blank_image"
    BAD_CAMERA_INFO = "bad_camera_info"
    BAD_HEADER = "bad_header"
    NO_CAMERA_INFO = "no_camera_info"
    NO_POSE = "no_pose"
    QUEUE_FULL = "queue_full"
    DUPLICATE_STAMP = "duplicate_stamp"
    OUT_OF_ORDER = "out_of_order"
    NOT_MOVED = "not_moved"
    NO_WINDOW = "no_window"
    NEIGHBOUR_ONLY = "neighbour_only"
    BUSY = "busy"
    NO_LISTENERS = "no_listeners"
    INFERENCE_FAILED = "inference_failed"
    INTERNAL_ERROR = "internal_error"
    TIME_JUMP = "time_jump"
    STOPPED = "stopped"


@dataclass
class _Pending:
    windows: int = 0
    left: bool = False
    reason: Drop = Drop.NO_WINDOW


@dataclass(frozen=True)
class Counts:
    """All counters at one instant."""

    received: int
    published: int
    pending: int
    dropped: dict[str, int]
    windows: int

    def __add__(self, other: Counts) -> Counts:
        """Of two stretches of time together; `other` is the later one, and what is pending at its
        end is pending."""
        return self._joined(other, lambda a, b: a + b)

    def __sub__(self, before: Counts) -> Counts:
        """What came since then."""
        return self._joined(before, lambda a, b: a - b, pending=self.pending)

    def _joined(
        self, other: Counts, join: Callable[[int, int], int], pending: int | None = None
    ) -> Counts:
        return Counts(
            join(self.received, other.received),
            join(self.published, other.published),
            other.pending if pending is None else pending,
            {reason: join(n, other.dropped.get(reason, 0)) for reason, n in self.dropped.items()},
            join(self.windows, other.windows),
        )


class FrameCounts:
    """Counts each frame exactly once. Used from every thread of the node.

    A frame may be in several windows, and may leave the sliding window while one of them
    is still in the network: what became of it is known when neither can publish it any more.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """All counters to zero, nothing pending."""
        with self._lock:
            self._pending: dict[Key, _Pending] = {}
            self._received = self._published = self._windows = 0
            self._had_window = False
            self._dropped: Counter[Drop] = Counter()

    def receive(self, key: Key) -> bool:
        """A frame came in. False, and counted as a duplicate, when it is pending already."""
        with self._lock:
            self._received += 1
            if key in self._pending:
                self._dropped[Drop.DUPLICATE_STAMP] += 1
                return False
            self._pending[key] = _Pending()
            return True

    def drop(self, key: Key, reason: Drop) -> None:
        """The frame will not be published. No effect on one that is counted already."""
        with self._lock:
            self._drop(key, reason)

    def refuse(self, reason: Drop) -> None:
        """A message came in that could not even become a frame."""
        with self._lock:
            self._received += 1
            self._dropped[reason] += 1

    def leave(self, keys: Iterable[Key]) -> bool:
        """Frames left the sliding window: no later window will hold them. Whether any is lost for
        want of a window, and there has been none at all so far.
        """
        with self._lock:
            before = self._dropped[Drop.NO_WINDOW]
            for key in keys:
                if key in self._pending:
                    self._pending[key].left = True
                    self._settle(key)
            return self._dropped[Drop.NO_WINDOW] > before and not self._had_window

    def end(self) -> bool:
        """No frame comes any more, and no window; returns the same as `leave`."""
        with self._lock:
            before = self._dropped[Drop.NO_WINDOW]
            for key in list(self._pending):
                self._drop(key, self._pending[key].reason)
            return self._dropped[Drop.NO_WINDOW] > before and not self._had_window

    def queue(self, keys: Iterable[Key], beside: Iterable[Key] = ()) -> None:
        """A window that would publish these frames waits for the network.

        beside: frames that it looks at, too.
        """
        with self._lock:
            self._had_window = True
            for key in keys:
                if key in self._pending:
                    self._pending[key].windows += 1
            for pending in map(self._pending.get, beside):
                if pending and pending.reason is Drop.NO_WINDOW:
                    pending.reason = Drop.NEIGHBOUR_ONLY

    def publish(self, keys: Iterable[Key]) -> None:
        """A queued window was published."""
        with self._lock:
            self._windows += 1
            for key in keys:
                if self._pending.pop(key, None):
                    self._published += 1

    def give_up(self, keys: Iterable[Key], reason: Drop) -> None:
        """A queued window was not published, and why."""
        with self._lock:
            for key in keys:
                pending = self._pending.get(key)
                if pending and pending.windows:
                    pending.windows -= 1
                    pending.reason = reason
                    self._settle(key)

    def drop_all(self, reason: Drop) -> None:
        """Nothing that is pending will be published."""
        with self._lock:
            for key in list(self._pending):
                self._drop(key, reason)

    def pending(self) -> dict[Key, _Pending]:
        """Frames of which it is not known what becomes of them."""
        with self._lock:
            return copy.deepcopy(self._pending)

    def counts(self) -> Counts:
        """All of them now."""
        with self._lock:
            dropped = {reason.value: self._dropped[reason] for reason in Drop}
            return Counts(
                self._received, self._published, len(self._pending), dropped, self._windows
            )

    def _settle(self, key: Key) -> None:
        pending = self._pending[key]
        if pending.left and not pending.windows:
            self._drop(key, pending.reason)

    def _drop(self, key: Key, reason: Drop) -> None:
        if self._pending.pop(key, None):
            self._dropped[reason] += 1
