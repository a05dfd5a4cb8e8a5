"""How far apart should the views of a window be?"""

from __future__ import annotations

from tools.eval_weights.jobs.job import METRES, Job, Row, Subject, needs_motion
from tools.eval_weights.measure import ways_of

GAPS = (1, 2, 4, 8)
"""Pictures from one view to the next."""


def run(subject: Subject) -> list[Row]:
    centimetres = 100 * subject.dataset.step
    return [
        Row(way.name, round(gap * centimetres, 1), subject.mean(takes, way))
        for way in ways_of(subject.network)
        for gap in GAPS
        if (takes := subject.takes(subject.views, gap))
    ]


def missing(subject: Subject) -> str:
    if still := needs_motion(subject):
        return still
    if subject.takes(subject.views, GAPS[1]):
        return ""
    return f"its recordings are too short for {subject.views} views, every other picture"


JOB = Job(
    "spacing",
    "Window spacing",
    "Every picture, every 2nd, 4th, 8th; the way between two views is the median of the recording.",
    "cm from view to view",
    METRES,
    ("abs_rel", "aligned"),
    run,
    missing,
)
