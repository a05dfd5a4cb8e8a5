"""The thread that runs the network, so that the executor never waits for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

LONGEST_QUEUE = 256
"""Jobs kept while every one is to be processed; memory ends somewhere."""


class Worker(Generic[Job, Result]):
    """Processes jobs one after the other and publishes what comes out.

    process: the network. publish: takes its result. fail: told of a job and the exception
    that ended it. All run in the worker's thread; publish and fail only for jobs submitted
    since the last `clear`. newest_wins: a job that waits gives way to a newer one.
    """

    def __init__(
        self,
        *,
        process: Callable[[Job], Result],
        publish: Callable[[Result], None],
        fail: Callable[[Job, Exception], None],
        newest_wins: bool,
    ):
        self._process = process
        self._publish = publish
        self._fail = fail
        self._limit = 1 if newest_wins else LONGEST_QUEUE
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        # Held while a result goes out, so that `clear` comes before or after it, never within.
        self._going_out = threading.Lock()
        self._generation = 0
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

    def clear(self) -> None:
        """Forget the queue and the job in the network: nothing of them goes out from now on.

        Waits for a result that is going out at this moment.
        """
        with self._going_out, self._changed:
            self._generation += 1
            self._queue.clear()

    def stop(self, timeout: float) -> bool:
        """End the thread; False when the network did not come back within `timeout` seconds."""
        with self._changed:
            self._generation += 1
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _next(self) -> tuple[Job | None, int]:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            job = None if self._stopping else self._queue.popleft()
            return job, self._generation

    def _run(self) -> None:
        while True:
            job, generation = self._next()
            if job is None:
                return
            try:
                self._send(generation, self._publish, self._process(job))
            except Exception as error:  # whatever happens, go on
                self._send(generation, self._fail, job, error)

    def _send(self, generation: int, way_out: Callable, *what) -> None:
        """Publish or fail, unless everything up to this job is forgotten."""
        with self._going_out:
            if generation == self._generation:
                way_out(*what)
