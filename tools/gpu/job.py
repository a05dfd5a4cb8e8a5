"""What every part is given, and the clock that all share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tools.gpu.results import Results


@dataclass(frozen=True)
class Job:
    """One part's work. device: cuda or cpu. tiny: a rehearsal, with the smallest settings that
    run every line. deadline: of `time.monotonic`."""

    results: Results
    device: str
    tiny: bool
    deadline: float

    @property
    def out(self) -> Path:
        """Folder for the files that a part leaves; few of them, and none in folders below."""
        return self.results.out

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
