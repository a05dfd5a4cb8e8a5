"""Is a stereo pair worth its second camera?"""

from __future__ import annotations

import numpy as np

from tools.eval_weights.jobs.job import METRES, Job, Row, Subject
from tools.eval_weights.measure import Way, judged, look, summary, ways_of
from tools.eval_weights.recording import Take

INSTANTS = (1, 2)


def run(subject: Subject) -> list[Row]:
    rows = []
    for way in (way for way in ways_of(subject.network) if way.posed):
        for instants in INSTANTS:
            if takes := subject.takes(instants):
                pairs = [_measure(subject, take, way) for take in takes]
                rows.append(Row(way.name, f"{instants} x 2", summary(pairs)))
        if takes := subject.takes(subject.views):
            rows.append(Row(way.name, f"{subject.views} x left", subject.mean(takes, way)))
    return rows


def _measure(subject: Subject, take: Take, way: Way):
    """The left view of the middle instant."""
    shots = take.shots()
    frames = [[shot.frame, shot.right] for shot in shots]
    result = look(subject.network, frames, way.having(subject.values))
    true_poses = np.stack([f.T_world_cam for instant in frames for f in instant])
    return judged(result, shots[result.window.views[0] // 2].depth, true_poses)


def missing(subject: Subject) -> str:
    if not all(take.shots()[0].right is not None for take in subject.takes(1)[:1]):
        return "no stereo camera"
    return ""


JOB = Job(
    "stereo",
    "Stereo pairs as windows",
    "Both cameras of one or two moments as one window, as a rig of two; beside them views of the "
    "left camera alone. A camera that stands still sees no parallax: of the left one alone, metres "
    "are then unknown.",
    "views",
    METRES,
    ("abs_rel", "aligned"),
    run,
    missing,
)
