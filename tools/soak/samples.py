"""What a process holds on to, sampled over time; Linux only."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One look at a process. seconds: on the monotonic clock; memory in MB.

    shared_mb: files of /dev/shm that it has mapped, its own and those of others.
    """

    seconds: float
    rss_mb: float
    pss_mb: float
    shared_mb: float
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Sample:
        """Read /proc now."""
        proc = Path(f"/proc/{pid}")
        rollup = (proc / "smaps_rollup").read_text()
        return cls(
            time.monotonic(),
            _kilobytes(rollup, "Rss") / 1024,
            _kilobytes(rollup, "Pss") / 1024,
            sum(_size(path) for path in shared_files(pid)) / 2**20,
            len(os.listdir(proc / "task")),
            len(os.listdir(proc / "fd")),
        )


def shared_files(pid: int, pattern: str = r"/dev/shm/\S+") -> set[Path]:
    """Files of /dev/shm that the process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {Path(name) for name in re.findall(pattern, maps)}


STRETCH = 300.0
"""Seconds between two samples that are compared, at most."""


def growth_per_hour(samples: list[Sample], name: str) -> float:
    """Slope of a field: the median of the slopes between pairs (Theil-Sen) that lie 2.5 to 5
    minutes apart, or as much of the time as there is.

    An allocator that keeps one more block makes one step, which few of these pairs see; who loses
    memory loses it in all of them.
    """
    values = np.array([getattr(s, name) for s in samples], float)
    seconds = np.array([s.seconds for s in samples])
    i, j = np.triu_indices(len(samples), k=1)
    apart = seconds[j] - seconds[i]
    longest = min(STRETCH, apart.max() / 2)
    near = (apart >= longest / 2) & (apart <= longest)
    return float(np.median((values[j] - values[i])[near] / apart[near]) * 3600)


def _kilobytes(rollup: str, name: str) -> int:
    return int(re.search(rf"^{name}:\s+(\d+) kB", rollup, re.MULTILINE)[1])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # its owner has removed the name, the mapping stays
        return 0
