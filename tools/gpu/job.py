"""What every part is given, and the clock that all share."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One part's work. out: folder for what it leaves. device: cuda or cpu. tiny: a rehearsal,
    with the smallest settings that run every line. deadline: of `time.monotonic`."""

    out: Path
    device: str
    tiny: bool
    deadline: float

    @property
    def seconds_left(self) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def has(self, seconds: float) -> bool:
        """Whether so much time is left."""
        return self.seconds_left >= seconds


def share_of(seconds: float, weight: float, weights_to_come: float) -> float:
    """A part's time, of what is left: what one part leaves over goes to the later ones."""
    return seconds * weight / weights_to_come


def write_json(path: Path, values: object) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=1) + "\n")
    partial.rename(path)


def read_json(path: Path) -> dict | None:
    """None where there is no such file."""
    return json.loads(path.read_text()) if path.is_file() else None
