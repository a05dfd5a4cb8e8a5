"""The thread that runs the network, so that the executor never waits for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from da3_ros.core.prediction import WindowDepth
from da3_ros.core.sliding_window import Window

LONGEST_QUEUE = 256
"""Windows kept while every one is to be processed; memory ends somewhere."""


class Worker:
    """Processes windows one after the other and publishes what comes out.

    process: the network. publish: takes its result, unless `clear` came in between. fail:
    told of a window and the exception that ended it. All run in the worker's thread.
    newest_wins: a window that waits gives way to a newer one.
    """

    def __init__(
        self,
        *,
        process: Callable[[Window], WindowDepth],
        publish: Callable[[WindowDepth], None],
        fail: Callable[[Window, Exception], None],
        newest_wins: bool,
    ):
        self._process = process
        self._publish = publish
        self._fail = fail
        self._limit = 1 if newest_wins else LONGEST_QUEUE
        self._queue: deque[Window] = deque()
        self._changed = threading.Condition()
        self._generation = 0
        self._stopping = False
        # A daemon: a network in the middle of a long step must not hold up the exit.
        self._thread = threading.Thread(target=self._run, name="da3_worker", daemon=True)
        self._thread.start()

    def submit(self, window: Window) -> Window | None:
        """Queue a window; returns the one that gave way to it, if any."""
        with self._changed:
            self._queue.append(window)
            self._changed.notify()
            return self._queue.popleft() if len(self._queue) > self._limit else None

    def clear(self) -> None:
        """Forget the queue, and the result of the window in the network."""
        with self._changed:
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

    def _next(self) -> tuple[Window | None, int]:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            window = None if self._stopping else self._queue.popleft()
            return window, self._generation

    def _run(self) -> None:
        while True:
            window, generation = self._next()
            if window is None:
                return
            try:
                self._work(window, generation)
            except Exception as error:  # the one of the package: whatever happens, go on
                self._fail(window, error)

    def _work(self, window: Window, generation: int) -> None:
        result = self._process(window)
        if generation == self._generation:
            self._publish(result)
