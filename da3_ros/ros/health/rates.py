"""Rates and delays over the last few seconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

LONGEST_LATENCY = 3600.0
"""Seconds; what is longer is not a latency, but stamps and a clock that are not of one time."""


class Rate:
    """Events per second over the last `span` seconds."""

    def __init__(self, span: float = 5.0, clock=time.monotonic):
        self._span = span
        self._clock = clock
        self._times: deque[float] = deque()
        self._lock = threading.Lock()  # ticked by one thread, read by another

    def tick(self) -> None:
        """An event happened."""
        with self._lock:
            self._times.append(self._clock())
            self._forget()

    def hertz(self) -> float:
        """Events per second."""
        with self._lock:
            self._forget()
            return len(self._times) / self._span

    def _forget(self) -> None:
        oldest = self._clock() - self._span
        while self._times and self._times[0] < oldest:
            self._times.popleft()


class Delays:
    """Median and 95th percentile of the last `count` delays in seconds."""

    def __init__(self, count: int = 200):
        self._delays: deque[float] = deque(maxlen=count)
        self._lock = threading.Lock()  # added to by one thread, read by another

    def add(self, seconds: float) -> None:
        """One more delay."""
        with self._lock:
            self._delays.append(seconds)

    def quantiles(self) -> tuple[float, float]:
        """Median and 95th percentile; NaN before the first delay."""
        with self._lock:
            delays = list(self._delays)
        if not delays:
            return np.nan, np.nan
        median, late = np.quantile(delays, (0.5, 0.95))
        return float(median), float(late)


class Statistics:
    """How fast windows are published, and how late. now_ns: the clock of the images' stamps."""

    def __init__(self, now_ns: Callable[[], int]):
        self._now_ns = now_ns
        self.clear()

    def clear(self) -> None:
        """Forget what was measured before."""
        self.window_rate = Rate()
        self.latency = Delays()

    def note(self, stamp_ns: int) -> None:
        """A window was published whose newest image has this stamp."""
        self.window_rate.tick()
        latency = (self._now_ns() - stamp_ns) / 1e9
        if abs(latency) < LONGEST_LATENCY:
            self.latency.add(latency)
