"""Looks whether the thread of the callbacks is alive, from a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE = 1.5
"""Seconds without a beat after which it is late."""

PERIOD = 1.0
"""Seconds between two calls of `on_late` while it is."""


class Watchdog:
    """Calls `on_late` with the seconds since the last `beat`, again and again while there is none.

    on_late: runs in the watchdog's thread. on_error: told what it raises.
    """

    def __init__(self, on_late: Callable[[float], None], on_error: Callable[[Exception], None]):
        self._on_late, self._on_error = on_late, on_error
        self._stopping = threading.Event()
        self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="da3_watchdog", daemon=True)
        self._thread.start()

    def beat(self) -> float:
        """The thread that is watched is alive; returns the seconds since it last said so."""
        before, self._beat_at = self._beat_at, time.monotonic()
        return self._beat_at - before

    def stop(self) -> None:
        """No call of `on_late` begins after this, and none runs on."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        wait = PATIENCE
        while not self._stopping.wait(wait):
            silent_for = time.monotonic() - self._beat_at
            if silent_for < PATIENCE:
                wait = PATIENCE - silent_for
            else:
                wait = PERIOD
                self._call(silent_for)

    def _call(self, silent_for: float) -> None:
        try:
            self._on_late(silent_for)
        except Exception as error:
            self._on_error(error)
