"""When a stamp means that time started over, and when that somebody has another clock.

A looped bag or a simulator that is reset goes back in time and stays there. Where two clocks
publish one stream, its stamps go back and forth: one of them is followed, the other one named.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

JUMP_NS = 1_000_000_000
"""A message older than the newest of its stream by more than this is not a straggler."""

QUIET_NS = 2_000_000_000
"""When the other clock has gone on for longer than this, the one that was followed has ended."""

FUTURE_NS = 10_000_000_000
"""No step leads a stream farther ahead of the node's clock than it was before, and this."""


class StampVerdict(Enum):
    """What a stamp says about the time of its stream."""

    IN_TIME = 0
    JUMP = 1  # time was set, what came before is of another time
    OTHER_CLOCK = 2  # of a clock that is not followed


class StreamClock:
    """Time of one stream of messages: `judge` each stamp, then `follow` those that are taken.

    now: the node's clock, 0 where it has none; a stream that has kept to it is held to it, and no
    other gets ahead of it by more than `FUTURE_NS` at once. near: asked where stamps are of two
    clocks, for a stamp that the right clock is near to; where nobody knows one (None), the clock
    that is ahead is followed.

    early_ns: the stamp judged last, where it is the first of another clock and only too far ahead
    of the node's: that one may be about to follow, as when a player skips a gap. Else None.
    """

    def __init__(
        self,
        near: Callable[[], int | None] = lambda: None,
        now: Callable[[], int] = lambda: 0,
    ):
        self.newest_ns: int | None = None
        self.early_ns: int | None = None
        self._near, self._now = near, now
        self._keeps_to_clock = False
        self._ahead_ns = 0  # of the node's clock
        self._left_ns = self._since_ns = 0  # before the last jump back, and just after it
        self._other_ns: int | None = None
        self._other_since_ns = 0  # the other clock when ours was heard last
        self._other_was_early = False  # and only that, when it was heard first

    @property
    def memory(self) -> tuple:
        """What decides on the stamps that come; a jump is past once it is quiet."""
        gone_ns = 0 if self.newest_ns is None else self.newest_ns - self._since_ns
        jump = (self._left_ns, self._since_ns) if gone_ns <= QUIET_NS else None
        return self.newest_ns, jump, self._other_ns, self._other_since_ns

    def restart(self) -> None:
        """Time starts over, whatever it is."""
        self.newest_ns = None

    def follow(self, stamp_ns: int) -> None:
        """The message is taken."""
        self.newest_ns = stamp_ns if self.newest_ns is None else max(self.newest_ns, stamp_ns)
        now_ns = self._now()
        self._keeps_to_clock = _is_near(stamp_ns, now_ns)
        self._ahead_ns = max(0, stamp_ns - now_ns)
        if self._other_ns is not None:
            self._other_since_ns = self._other_ns

    def judge(self, stamp_ns: int) -> tuple[StampVerdict, float]:
        """What the stamp says, and how many seconds it is ahead of the stream."""
        self.early_ns = None
        if self.newest_ns is None:
            return StampVerdict.IN_TIME, 0.0
        step_ns = stamp_ns - self.newest_ns
        if abs(step_ns) <= JUMP_NS:
            return StampVerdict.IN_TIME, 0.0
        if self._keeps_to_clock and self._is_now(stamp_ns):  # after a pause
            return StampVerdict.IN_TIME, 0.0
        if self._other_was_early and self._is_in_step(stamp_ns):
            self._other_ns, self._other_was_early = None, False  # the node's clock has followed
        is_near_other = self._other_ns is not None and (
            abs(stamp_ns - self._other_ns) < abs(step_ns)
        )
        is_held = self._keeps_to_clock and self._is_now(self.newest_ns)
        is_early = self._is_of_the_future(stamp_ns)
        if self._is_first_of_other(stamp_ns):
            self._other_was_early = is_early
            self.early_ns = stamp_ns if is_early else None
        if is_near_other or is_held or is_early:
            verdict = self._go_on_elsewhere(stamp_ns)
        elif step_ns < 0:
            self._left_ns, self._since_ns = self.newest_ns, stamp_ns
            verdict = self._jump()
        else:
            verdict = self._go_forward(stamp_ns)
        return verdict, step_ns / 1e9

    def _is_now(self, stamp_ns: int) -> bool:
        return _is_near(stamp_ns, self._now())

    def _is_of_the_future(self, stamp_ns: int) -> bool:
        now_ns = self._now()
        return now_ns > 0 and stamp_ns - now_ns > self._ahead_ns + FUTURE_NS

    def _is_in_step(self, stamp_ns: int) -> bool:
        """With the node's clock, at least as well as the stream has been."""
        return stamp_ns - self._now() <= self._ahead_ns + JUMP_NS

    def _is_first_of_other(self, stamp_ns: int) -> bool:
        return self._other_ns is None or abs(stamp_ns - self._other_ns) > JUMP_NS

    def _go_on_elsewhere(self, stamp_ns: int) -> StampVerdict:
        if self._is_first_of_other(stamp_ns):
            self._other_ns = self._other_since_ns = stamp_ns
        if stamp_ns - self._other_since_ns > QUIET_NS:
            return self._jump()
        self._other_ns = max(self._other_ns, stamp_ns)
        return StampVerdict.OTHER_CLOCK

    def _go_forward(self, stamp_ns: int) -> StampVerdict:
        """A pause, unless it goes back to where the stream would be without its last jump back."""
        newest_ns = self.newest_ns
        gone_ns = newest_ns - self._since_ns
        if gone_ns > QUIET_NS or abs(stamp_ns - self._left_ns - gone_ns) > JUMP_NS:
            return StampVerdict.IN_TIME
        self._left_ns = self._since_ns = 0
        near_ns = self._near()
        if near_ns is not None and abs(newest_ns - near_ns) < abs(stamp_ns - near_ns):
            self._other_ns = self._other_since_ns = stamp_ns
            return StampVerdict.OTHER_CLOCK
        verdict = self._jump()
        self._other_ns = self._other_since_ns = newest_ns
        return verdict

    def _jump(self) -> StampVerdict:
        self.newest_ns = self._other_ns = None
        return StampVerdict.JUMP


def _is_near(stamp_ns: int, now_ns: int) -> bool:
    return now_ns > 0 and abs(stamp_ns - now_ns) <= JUMP_NS
