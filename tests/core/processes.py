"""Processes of this machine, seen through /proc, and waiting for what they do."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Until it holds; `AssertionError` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def run_code(code: str, seconds: float = 60.0) -> str:
    """What Python prints that runs it in a process of its own; `AssertionError` with what went
    wrong there."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_running(pid: int) -> bool:
    """Whether it is there and not a zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:  # gone
        return False


def children(pid: int) -> list[int]:
    """What it has started and what still is there, the oldest first."""
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # gone
        return []


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    own = children(pid)
    return own + [d for child in own for d in descendants(child)]


def command_line(pid: int) -> str:
    """Program and arguments, a space between them; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
