"""The thread that runs the network, so that the thread of the callbacks never waits for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")

LONGEST_QUEUE = 256
"""Jobs kept while every one is to be run: a bound for the memory they take."""


class Worker(Generic[Job]):
    """Runs jobs one after the other in a thread of its own.

    run: must not raise. newest_wins: a job that waits gives way to a newer one.
    """

    def __init__(self, run: Callable[[Job], None], *, newest_wins: bool):
        self._run_job = run
        self._limit = 1 if newest_wins else LONGEST_QUEUE
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        # A daemon: a network in the middle of a long step must not hold up the exit.
        self._thread = threading.Thread(target=self._run, name="da3_worker", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Job | None:
        """Queue a job; returns the one that gave way to it, if any."""
        with self._changed:
            self._queue.append(job)
            self._changed.notify()
            return self._queue.popleft() if len(self._queue) > self._limit else None

    def stop(self, timeout: float) -> bool:
        """End the thread; False when its job did not end within `timeout` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._run_job(job)

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            return None if self._stopping else self._queue.popleft()
