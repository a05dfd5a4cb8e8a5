"""What do poses of another moment cost?"""

from __future__ import annotations

import numpy as np

from tools.eval_weights.jobs.job import METRES, Job, Row, Subject, needs_motion
from tools.eval_weights.measure import ways_of
from tools.eval_weights.recording import Take

MILLISECONDS = (-100, -30, -10, 0, 10, 30, 100)


def run(subject: Subject) -> list[Row]:
    takes = subject.takes(subject.views)
    return [
        Row(way.name, offset, subject.mean(takes, way, late(offset)))
        for way in ways_of(subject.network)
        if way.posed
        for offset in MILLISECONDS
    ]


def late(milliseconds: float):
    """Poses of a take, as they were this long after its pictures."""

    def given(take: Take) -> np.ndarray:
        stamps = take.recording.stamps_ns[list(take.indices)] + round(milliseconds * 1e6)
        return np.stack([take.recording.pose_at(int(stamp)) for stamp in stamps])

    return given


JOB = Job(
    "time-offset",
    "Time stamps that are wrong",
    "The given poses are those of so many milliseconds after the pictures, between the poses of "
    "the recording.",
    "ms",
    METRES,
    ("abs_rel", "aligned"),
    run,
    needs_motion,
)
