"""Warnings in the log, one per cause and period, with how often the cause occurred."""

from __future__ import annotations

import time
from collections import Counter

PERIOD = 5.0


class Complaints:
    """Throttled warnings. Each cause has its own throttle: none hides another."""

    def __init__(self, logger, clock=time.monotonic):
        self._logger = logger
        self._clock = clock
        self._last: dict[str, float] = {}
        self._held_back: Counter[str] = Counter()
        self._recent: dict[str, tuple[float, str]] = {}

    def warn(self, cause: str, sentence: str) -> None:
        """Log `sentence`, unless `cause` was logged less than `PERIOD` seconds ago."""
        now = self._clock()
        self._recent[cause] = (now, sentence)
        if now - self._last.get(cause, -PERIOD) < PERIOD:
            self._held_back[cause] += 1
            return
        self._last[cause] = now
        again = self._held_back.pop(cause, 0)
        self._logger.warning(sentence + (f" ({again} more like this)" if again else ""))

    def recent(self) -> list[str]:
        """The newest sentence of each cause met within the last `PERIOD` seconds."""
        now = self._clock()
        return [sentence for when, sentence in list(self._recent.values()) if now - when < PERIOD]
