"""Main memory of a process, from /proc; Linux only."""

from __future__ import annotations

from pathlib import Path


def resident_bytes() -> int:
    """What this process holds in main memory now."""
    return _read("self", "VmRSS")


def peak_resident_bytes(pid: int | str = "self") -> int:
    """What it held at most, since it became its program: `ru_maxrss` counts its parent, too."""
    return _read(pid, "VmHWM")


def _read(pid: int | str, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))
