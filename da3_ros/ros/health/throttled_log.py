"""Warnings in the log, one per cause and period, with how often the cause occurred.

What lasts is said once, when it begins.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass

PERIOD = 5.0
MOST = 30
"""New causes logged per period; messages of random bytes have no end of them. What was said
before takes no room from what was not."""

MOST_KNOWN = 1000
"""Causes remembered; memory ends somewhere."""

_NUMBER = re.compile(r"[-+]?(\b\d[\w.]*([-+]\d+)?|\b(nan|inf)\b)")
"""A number, or several in one word as in 640x480; not the digit in cam1."""


@dataclass
class _Cause:
    sentence: str
    begun_at: float
    logged_at: float
    met_at: float
    held_back: int = 0


class Complaints:
    """Throttled warnings. Sentences that differ in numbers only have the same cause; names
    with a digit, such as cam1, are names."""

    def __init__(self, logger, clock=time.monotonic):
        self._logger = logger
        self._clock = clock
        self._causes: dict[str, _Cause] = {}
        self._lasting: list[str] = []
        self._lock = threading.Lock()  # several threads complain

    def warn(self, sentence: str, *, always: bool = False) -> None:
        """Log `sentence`, unless its cause was logged less than `PERIOD` seconds ago.

        always: even when many other causes have filled the log.
        """
        if again := self._meet(sentence, always):
            self._logger.warning(sentence + again.rstrip("\n"))

    def fail(self, sentence: str, details: str) -> None:
        """The same for an error, always, with its traceback."""
        if again := self._meet(sentence, always=True):
            self._logger.error(f"{sentence}{again}{details}")

    def last(self, sentences: list[str]) -> None:
        """What is wrong at present; each is logged when it was not yet so the last time."""
        with self._lock:
            known, self._lasting = self._lasting, list(sentences)
        for sentence in sentences:
            if sentence not in known:
                self._logger.warning(sentence)

    def recent(self) -> list[str]:
        """What lasts, and the newest sentence of each cause met in the last `PERIOD` seconds."""
        now = self._clock()
        with self._lock:
            met = [c.sentence for c in self._causes.values() if now - c.met_at < PERIOD]
            return self._lasting + met[:MOST]

    def _meet(self, sentence: str, always: bool) -> str:
        """Note the cause; empty when it is not to be logged, else what to add, and a line end."""
        with self._lock:
            return self._meet_at(self._clock(), sentence, always)

    def _meet_at(self, now: float, sentence: str, always: bool) -> str:
        key = _NUMBER.sub("#", sentence)
        known = self._causes.get(key)
        if known and now - known.logged_at < PERIOD:
            known.sentence, known.met_at = sentence, now
            known.held_back += 1
            return ""
        if not known and not (self._has_room(now) or always):
            return ""
        again = f" ({known.held_back} more like this)" if known and known.held_back else ""
        self._causes[key] = _Cause(sentence, known.begun_at if known else now, now, now)
        return again + "\n"

    def _has_room(self, now: float) -> bool:
        """For one more cause."""
        if len(self._causes) >= MOST_KNOWN:
            current = {k: c for k, c in self._causes.items() if now - c.met_at < PERIOD}
            self._causes = current
        new = sum(now - cause.begun_at < PERIOD for cause in self._causes.values())
        return new < MOST and len(self._causes) < MOST_KNOWN
