"""Warnings in the log, one per cause and period, with how often the cause occurred.

What lasts is said once, when it begins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass

from da3_ros.net.plain_text import LONGEST_SENTENCE, plain, plain_tail

PERIOD = 5.0
"""Seconds for which a cause is not logged again."""

LONGEST_DETAILS = 20_000
"""Characters of a traceback; its texts may be those of a message."""


@dataclass
class _Cause:
    sentence: str
    logged_at: float
    met_at: float
    held_back: int = 0


class ThrottledLog:
    """A cause is whatever tells one trouble from all others: (camera, Drop), for example.

    There must be a bounded number of them: names and numbers out of messages belong into the
    sentence.
    """

    def __init__(self, logger, clock=time.monotonic):
        self._logger = logger
        self._clock = clock
        self._causes: dict[Hashable, _Cause] = {}
        self._lasting: list[str] = []
        self._lock = threading.Lock()  # several threads warn

    def debug(self, sentence: str) -> None:
        """Log it for those who look closely."""
        self._logger.debug(sentence)

    def warn(self, cause: Hashable, sentence: str) -> None:
        """Log `sentence`, unless its cause was logged less than `PERIOD` seconds ago."""
        sentence = plain(sentence, LONGEST_SENTENCE)
        if (held_back := self._meet(cause, sentence)) is not None:
            self._logger.warning(sentence + _more(held_back))

    def fail(self, cause: Hashable, sentence: str, details: str) -> None:
        """The same for an error, with its traceback."""
        sentence, details = plain(sentence, LONGEST_SENTENCE), plain_tail(details, LONGEST_DETAILS)
        if (held_back := self._meet(cause, sentence)) is not None:
            self._logger.error(f"{sentence}{_more(held_back)}\n{details}")

    def note_lasting(self, sentences: list[str]) -> None:
        """Take all that is wrong at present; what was not wrong the last time is logged."""
        sentences = [plain(sentence, LONGEST_SENTENCE) for sentence in sentences]
        with self._lock:
            known, self._lasting = self._lasting, sentences
        for sentence in sentences:
            if sentence not in known:
                self._logger.warning(sentence)

    def recent(self) -> list[str]:
        """What lasts, and the newest sentence of each cause met in the last `PERIOD` seconds; each
        once."""
        now = self._clock()
        with self._lock:
            met = [c.sentence for c in self._causes.values() if now - c.met_at < PERIOD]
            return list(dict.fromkeys(self._lasting + met))

    def _meet(self, cause: Hashable, sentence: str) -> int | None:
        """Note the cause. How many sentences of it were held back; None: this one is, too."""
        with self._lock:
            now = self._clock()
            known = self._causes.get(cause)
            if known and now - known.logged_at < PERIOD:
                known.sentence, known.met_at = sentence, now
                known.held_back += 1
                return None
            self._causes[cause] = _Cause(sentence, now, now)
            return known.held_back if known else 0


def _more(held_back: int) -> str:
    return f" ({held_back} more like this)" if held_back else ""
