"""Recordings of which each picture has a pose file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.eval_weights.readers.files import read_pose
from tools.eval_weights.readers.left_out import LeftOut
from tools.eval_weights.recording import PosedRecording, Shot


@dataclass(frozen=True)
class Entry:
    """One picture and its files; a file of None is missing."""

    stamp_ns: int
    pose: Path | None
    files: tuple[Path | None, ...]


ReadShot = Callable[[int, np.ndarray, tuple[Path, ...]], Shot]
"""stamp_ns, stored pose (4, 4), files -> shot."""


def posed_recording(
    name: str, entries: Sequence[Entry], read_shot: ReadShot
) -> tuple[PosedRecording, tuple[str, ...]]:
    """The pictures with a known pose and all their files, and notes on the others."""
    left_out, kept = LeftOut(len(entries)), []
    for entry in entries:
        if entry.pose is None or None in entry.files:
            left_out.add("their depth or pose is missing")
        elif (T_world_cam := read_pose(entry.pose)) is None:
            left_out.add("their pose is unknown")
        else:
            kept.append((entry.stamp_ns, T_world_cam, entry.files))
    stamps = np.array([stamp for stamp, *_ in kept], dtype=np.int64)
    T = np.array([T for _, T, _ in kept]).reshape(-1, 4, 4)
    return PosedRecording(name, stamps, T, lambda i: read_shot(*kept[i])), left_out.notes


def stamp_at(number: int, rate: float) -> int:
    """ns of the picture of that number, from 0, of a camera of `rate` Hz."""
    return round((number + 1) * 1e9 / rate)
