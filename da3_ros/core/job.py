"""What the threads of a runner hand to each other."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.core.pipeline import Pipeline
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.sliding_window import Window


@dataclass(frozen=True, eq=False)
class Job:
    """A window, and the pipeline that collected it and knows its encodings."""

    pipeline: Pipeline
    window: Window

    @property
    def keys(self) -> list[tuple[str, int]]:
        """The frames it would publish."""
        return [self.window.frames[i].key for i in self.window.views]


Done = tuple[Job, WindowDepth | Exception]
"""A job, and what the network made of it."""
