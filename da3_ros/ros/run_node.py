"""Runs a node until SIGINT or SIGTERM: clean end within two seconds, whatever it is doing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

STOP_TIMEOUT = 0.5
THREADS = 3


class Stopper:
    """Set by the signals, or by a node that cannot go on and has said why."""

    def __init__(self):
        self.exit_code = 0
        self._event = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

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
        # A second signal ends the process at once.
        signal.signal(number, signal.SIG_DFL)
        self._event.set()


def run_node(node: Node, stopper: Stopper, close: Callable[[], None]) -> None:
    """Spin until stopped, then `close`; ends the process with its exit code.

    rclpy's own signal handlers end the context under the feet of a spinning executor,
    which then raises; so `rclpy.init` must have been called without them.
    """
    executor = MultiThreadedExecutor(num_threads=THREADS)
    executor.add_node(node)
    spinning = threading.Thread(target=_spin, args=(executor, stopper), daemon=True)
    spinning.start()
    stopper.wait()
    executor.wake()
    spinning.join(STOP_TIMEOUT)
    close()
    node.destroy_node()
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # A model being loaded or an export being written cannot be interrupted, and the exit
    # does not wait for them; files appear only when complete.
    os._exit(stopper.exit_code)


def _spin(executor: MultiThreadedExecutor, stopper: Stopper) -> None:
    try:
        while not stopper.is_set():
            executor.spin_once(timeout_sec=1.0)
    finally:
        # An exception out of a callback must not leave a process that does nothing.
        if not stopper.is_set():
            stopper.fail()
