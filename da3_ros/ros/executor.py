"""Runs a node's callbacks: quick ones where it spins, slow ones in threads of their own.

The only module that builds on how rclpy's executors work inside. `wait_for_ready_callbacks` gives
a task, what it serves and its node (both None for a task of the user's), and raises the three
exceptions below: run on Jazzy (7.1) and Kilted (9.1), read in the sources of Humble (3.3) and
Lyrical (10.0). `_take_service` reads a request, in C, which nothing interrupts.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    Executor,
    ExternalShutdownException,
    ShutdownException,
    SingleThreadedExecutor,
    TimeoutException,
)
from rclpy.service import Service

SPIN_PERIOD = 0.1
"""Seconds after which a spinning thread looks whether to stop; waking it does not end a wait."""

IDLE_PERIOD = 0.02
"""Seconds without work that count as idle in `NodeExecutor.run_until`."""


def spin_once(executor: Executor, note: Callable[[Exception], None]) -> None:
    """Wait for a callback, at most `SPIN_PERIOD`, and run it; `note` is told what is raised, which
    ends no thread."""
    try:
        executor.spin_once(timeout_sec=SPIN_PERIOD)
    except Exception as error:
        note(error)


class UnansweredError(RuntimeError):
    """A service was taken off the graph while it was at work; says so in one sentence."""


class NodeExecutor(SingleThreadedExecutor):
    """The default callback group runs in the spinning thread; of any other group, which may take
    seconds, each callback gets a thread. `on_error` is told what callbacks raise.

    rclpy's MultiThreadedExecutor hands everything to a pool and, until it is done, tries all that
    waits again: on two cores the network got through half as many windows beside it.
    """

    def __init__(self, on_error: Callable[[Exception], None], context: Context | None = None):
        super().__init__(context=context)
        self._on_error = on_error
        self._slow: list[threading.Thread] = []

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it, or start it."""
        self._take(timeout_sec)

    @property
    def is_busy(self) -> bool:
        """Whether a slow callback is running."""
        return any(thread.is_alive() for thread in self._slow)

    def run_until(self, is_done: Callable[[], bool], timeout: float) -> bool:
        """Run slow callbacks and tasks until nothing is left to run and `is_done()`.

        To be called by a callback of the default group, whose others wait meanwhile. Whether that
        came within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        idle = 0
        while time.monotonic() < deadline:
            idle = 0 if self._take(IDLE_PERIOD) else idle + 1
            # Once is not enough: a task may have left another while the period was over.
            if idle > 1 and is_done():
                return True
        return False

    def finish(self, timeout: float) -> None:
        """Wait for slow callbacks, but no longer than `timeout` seconds, and let go of the node."""
        deadline = time.monotonic() + timeout
        for thread in self._slow:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.shutdown(timeout_sec=0)

    def _take_service(self, srv):
        # 150,000 parts of a request are as many objects, all of them in use: to look through them
        # for garbage, again and again while they were made, took longer than to make them.
        is_enabled = gc.isenabled()
        gc.disable()
        try:
            return super()._take_service(srv)
        finally:
            if is_enabled:
                gc.enable()

    def _take(self, timeout: float | None) -> bool:
        """Wait for one callback and run it, or start it; whether there was one."""
        try:
            callback, entity, node = self.wait_for_ready_callbacks(timeout)
        except (TimeoutException, ShutdownException, ExternalShutdownException):
            return False
        if entity is None or entity.callback_group is node.default_callback_group:
            self._run(callback)
        else:
            self._start(callback, entity)
        return True

    def _start(self, callback, entity) -> None:
        thread = threading.Thread(target=self._run, args=(callback, entity), daemon=True)
        self._slow = [t for t in self._slow if t.is_alive()] + [thread]
        thread.start()

    def _run(self, callback, entity=None) -> None:
        callback()
        error = callback.exception()
        if isinstance(error, InvalidHandle) and isinstance(entity, Service):
            error = UnansweredError(
                f"{entity.srv_name} was still at work when the node was cleaned up: whoever asked "
                "gets no answer; ask again once it is configured"
            )
        if error:
            self._on_error(error)
