"""Threads for what takes long: the network, and behind it what becomes of its results."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")

LONGEST_QUEUE = 256
"""Jobs kept while every one is to be run: a bound for the memory they take."""


class Worker(Generic[Job]):
    """Runs jobs one after the other in a thread of its own.

    run: must not raise. newest_wins: a job that waits gives way to a newer one. prepare: its steps
    run first in the thread, until `stop`; must not raise, either.
    """

    def __init__(
        self,
        run: Callable[[Job], None],
        *,
        newest_wins: bool,
        name: str = "da3_network",
        prepare: Callable[[], Iterator[object]] = lambda: iter(()),
    ):
        self._run_job, self._prepare = run, prepare
        self._limit = 1 if newest_wins else LONGEST_QUEUE
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = self._is_busy = False
        # A daemon: a network in the middle of a long step must not hold up the exit.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Job | None:
        """Queue a job; returns the one that gave way to it, if any."""
        with self._changed:
            self._queue.append(job)
            self._changed.notify_all()
            return self._queue.popleft() if len(self._queue) > self._limit else None

    def submit_when_idle(self, job: Job) -> bool:
        """Queue a job when all before it are done. False, and it is not run, after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or not (self._queue or self._is_busy))
            if not self._stopping:
                self._queue.append(job)
                self._changed.notify_all()
            return not self._stopping

    def stop(self, timeout: float) -> bool:
        """End the thread; False when its job did not end within `timeout` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        steps = self._prepare()
        while not self._stopping and next(steps, None) is not None:
            pass
        while (job := self._next()) is not None:
            self._run_job(job)

    def _next(self) -> Job | None:
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._queue or self._stopping)
            self._is_busy = not self._stopping
            return self._queue.popleft() if self._is_busy else None


class TwoSteps(Generic[Job, Done]):
    """Jobs, and what is to be done with their results: in one thread, or side by side in two.

    Then a result is handled while the next job runs. The first thread waits for the second, so at
    most one result waits between them.

    work: what it returns goes on to `handle`, None does not. Neither may raise. newest_wins,
    prepare: see `Worker`; the thread of `work`.
    """

    def __init__(
        self,
        work: Callable[[Job], Done | None],
        handle: Callable[[Done], None],
        *,
        newest_wins: bool,
        side_by_side: bool,
        prepare: Callable[[], Iterator[object]] = lambda: iter(()),
    ):
        self._work, self._hand_on, self._second = work, handle, None
        if side_by_side:
            self._second = Worker(handle, newest_wins=False, name="da3_outgoing")
            self._hand_on = self._second.submit_when_idle
        self._first = Worker(self._run, newest_wins=newest_wins, prepare=prepare)

    def submit(self, job: Job) -> Job | None:
        """See `Worker.submit`."""
        return self._first.submit(job)

    def stop(self, timeout: float) -> bool:
        """End the threads; False when one of them was not done within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        ended = self._first.stop(timeout)
        if self._second is None:
            return ended
        return self._second.stop(max(0.0, deadline - time.monotonic())) and ended

    def _run(self, job: Job) -> None:
        if (done := self._work(job)) is not None:
            self._hand_on(done)
