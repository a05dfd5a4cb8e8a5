"""Runs a node until SIGINT or SIGTERM: clean end within two seconds, whatever it is doing."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from da3_ros.core.config import ConfigError
from da3_ros.core.stop_signals import Stopper
from da3_ros.ros.executor import NodeExecutor, spin_once

STOP_TIMEOUT = 1.0
"""Seconds after the signal until nothing is waited for any more."""

LAST_WINDOW_TIMEOUT = 0.3
"""Seconds of them for the window in the network."""


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
