"""Signals that end a program in order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""SIGHUP: the terminal is closed, or the connection to the robot is gone."""

SAME_WISH = 2.0
"""Seconds within which more signals mean the first one: `timeout` and a launch send two."""


class Stopper:
    """Set by the signals, or by a node that cannot go on and has said why.

    Not a threading.Event, which takes a lock: a signal that comes while the main thread holds it
    would wait for it for ever. `SimpleQueue.put` may interrupt itself.
    """

    def __init__(self):
        self.exit_code = 0
        self._asked_at: float | None = None
        self._is_set = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        _listen(self._on_signal)

    def set(self) -> None:
        """Let all who wait go on."""
        self._is_set = True
        self._wake.put(None)

    def is_set(self) -> bool:
        """Whether the program is to end."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Until the program is to end, at most `timeout` s; returns whether it is."""
        if not self._is_set:
            try:
                self._wake.get(timeout=timeout)
            except Empty:
                return self._is_set
            self._wake.put(None)  # for others who wait
        return True

    def fail(self) -> None:
        """End the process with exit code 1."""
        self.exit_code = 1
        self.set()

    def _on_signal(self, number, frame) -> None:
        now = time.monotonic()
        self._asked_at = self._asked_at or now
        self.set()
        if now - self._asked_at > SAME_WISH:  # it should have ended by now
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


def end_at_once_on_signals(exit_code: int = 0) -> None:
    """Until there is a `Stopper`: nothing has begun yet that would have to be ended in order."""
    _listen(lambda number, frame: os._exit(exit_code))


def _listen(handler: Callable) -> None:
    for number in STOP_SIGNALS:
        is_kept_out = number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
        if not is_kept_out:  # by nohup
            signal.signal(number, handler)
