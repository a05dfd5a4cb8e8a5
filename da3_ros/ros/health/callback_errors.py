"""Errors out of callbacks: mistakes in the code, or what nobody thought of. The node lives on."""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from da3_ros.net.plain_text import LONGEST_SENTENCE, plain, plain_tail
from da3_ros.ros.health.throttled_log import LONGEST_DETAILS

PERIOD = 5.0
"""Seconds for which diagnostics say ERROR after one."""


class CallbackErrors:
    """Each kind (type and line) is logged with its traceback once, then only counted."""

    def __init__(self, logger, clock=time.monotonic):
        self.count = 0
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()  # callbacks run in several threads
        self._known: set[tuple] = set()
        self._newest, self._met_at = "", float("-inf")

    def note(self, error: Exception) -> str:
        """Count an error, and log it if its kind is new; returns it in words."""
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(at.filename).name}:{at.lineno}"
        words = plain(str(error), LONGEST_SENTENCE // 2)
        sentence = f"internal error, please report it: {type(error).__name__}: {words} ({place})"
        if self._is_new((type(error), at.filename, at.lineno), sentence):
            details = plain_tail("".join(traceback.format_exception(error)), LONGEST_DETAILS)
            self._logger.error(f"{sentence}; the node goes on\n{details}")
        return sentence

    def recent(self) -> str:
        """The newest one in words; empty when it is longer ago than `PERIOD`."""
        return self._newest if self._clock() - self._met_at < PERIOD else ""

    def answered(self, callback: Callable) -> Callable:
        """The callback of a service (with success and message) that answers in any case.

        A client whose request ends in an error would wait for ever.
        """

        @functools.wraps(callback)
        def answer(request, response):
            try:
                return callback(request, response)
            except Exception as error:
                response.success, response.message = False, self.note(error)
                return response

        return answer

    def _is_new(self, kind: tuple, sentence: str) -> bool:
        with self._lock:
            self.count += 1
            self._newest, self._met_at = sentence, self._clock()
            is_new = kind not in self._known
            self._known.add(kind)
            return is_new
