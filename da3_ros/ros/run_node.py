"""Runs a node until SIGINT or SIGTERM: clean end within two seconds, whatever it is doing."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from da3_ros.core.config import ConfigError
from da3_ros.ros.executor import NodeExecutor, spin_once

STOP_TIMEOUT = 1.0
"""Seconds after the signal until nothing is waited for any more."""

LAST_WINDOW_TIMEOUT = 0.3
"""Seconds of them for the window in the network."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""SIGHUP: the terminal is closed, or the connection to the robot is gone."""

SAME_WISH = 2.0
"""Seconds within which more signals mean the first one: `timeout` and a launch send two."""


class Stopper:
    """Set by the signals, or by a node that cannot go on and has said why."""

    def __init__(self):
        self.exit_code = 0
        self._event = threading.Event()
        self._asked_at: float | None = None
        _listen(self._on_signal)

    def fail(self) -> None:
        """End the process with exit code 1."""
        self.exit_code = 1
        self._event.set()

    def wait(self) -> None:
        """Until it is time to stop."""
        self._event.wait()

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        return self._event.is_set()

    def _on_signal(self, number, frame) -> None:
        now = time.monotonic()
        self._asked_at = self._asked_at or now
        self._event.set()
        if now - self._asked_at > SAME_WISH:  # it should have ended by now
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


def end_at_once_on_signals() -> None:
    """Until there is a `Stopper`: nothing has begun yet that would have to be ended in order."""
    _listen(lambda number, frame: os._exit(0))


def _listen(handler: Callable) -> None:
    for number in STOP_SIGNALS:
        is_kept_out = number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
        if not is_kept_out:  # by nohup
            signal.signal(number, handler)


def run_node(create: Callable[[Stopper], Node]) -> None:
    """Create a node, spin it until stopped, end the process with its exit code.

    `create` may raise `ConfigError`: one sentence, exit code 1. The node has a
    `stop(timeout)`, and a `note_error(error)` for what its callbacks raise, which ends nothing.

    rclpy's own signal handlers end the context under the feet of a spinning executor,
    which then raises; so `rclpy.init` is called without them.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stopper = Stopper()
    _run(create, stopper)
    # With the last reference to the node the middleware frees its shared memory, 64 MB,
    # which would otherwise outlive the process.
    gc.collect()
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # A model being loaded or an export being written cannot be interrupted, and the exit
    # does not wait for them; files appear only when complete.
    os._exit(stopper.exit_code)


def _run(create: Callable[[Stopper], Node], stopper: Stopper) -> None:
    try:
        node = create(stopper)
    except ConfigError as error:
        print(f"da3_node: {error}", file=sys.stderr)
        stopper.exit_code = 1
        return

    def note(error: Exception) -> None:
        if not stopper.is_set():
            node.note_error(error)

    executor = NodeExecutor(note)
    executor.add_node(node)
    spinning = threading.Thread(target=_spin, args=(executor, note, stopper), daemon=True)
    spinning.start()
    stopper.wait()
    deadline = time.monotonic() + STOP_TIMEOUT
    # A thread that still spins, or runs a callback, holds the node, and with it the shared memory.
    spinning.join(_until(deadline))
    node.stop(min(LAST_WINDOW_TIMEOUT, _until(deadline)))
    executor.finish(_until(deadline))
    node.destroy_node()


def _until(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _spin(executor: NodeExecutor, note: Callable[[Exception], None], stopper: Stopper) -> None:
    try:
        while not stopper.is_set():
            spin_once(executor, note)
    finally:
        # Whatever ends this thread must not leave a process that does nothing.
        if not stopper.is_set():
            stopper.fail()
