"""The demo's other processes: they end with it, and what they print goes into a log."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from da3_ros.core.child_process import start_in_background

START_TIMEOUT = 180.0


class DemoError(RuntimeError):
    """The demo cannot go on; one sentence."""


@contextmanager
def running(log: Path, command: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Another command of this package, which ends with the demo, however that ends."""
    process = start_in_background(log, f"da3_ros.commands.{command}", *arguments)
    try:
        yield process
    finally:
        _end(process)


def wait_for(process: subprocess.Popen, log: Path, words: str, what: str) -> float:
    """Until the log has these words; seconds that it took. Raises `DemoError`."""
    begin = time.monotonic()
    while words not in log.read_text():
        if process.poll() is not None:
            raise DemoError(f"{what} did not start: {last_line(log)}")
        if time.monotonic() - begin > START_TIMEOUT:
            raise DemoError(f"{what} did not start within {START_TIMEOUT:.0f} s; see {log}")
        time.sleep(0.1)
    return time.monotonic() - begin


def last_line(path: Path) -> str:
    """Last line of a log, without the ROS prefix."""
    lines = path.read_text().strip().splitlines()
    return lines[-1].split("]: ")[-1] if lines else "it printed nothing"


def _end(process: subprocess.Popen) -> None:
    """Terminate, and make sure."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
