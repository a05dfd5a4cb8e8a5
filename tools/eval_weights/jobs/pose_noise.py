"""What do wrong poses cost?"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.core import poses
from tools.eval_weights.jobs.job import METRES, WINDOWS_SEED, Job, Row, Subject, needs_motion
from tools.eval_weights.measure import POINTS, ways_of
from tools.eval_weights.recording import Take

DEGREES = (0.0, 0.1, 0.3, 1.0, 3.0)
CENTIMETRES = (0.0, 0.3, 1.0, 3.0)


def run(subject: Subject) -> list[Row]:
    takes = subject.takes(subject.views)
    rows = []
    for way in (way for way in ways_of(subject.network) if way.posed):
        for label, sizes, noisy in (
            ("rotation, deg", DEGREES, turned),
            ("position, cm", CENTIMETRES, moved),
        ):
            name = label if way is POINTS else f"{label}; cameras only"
            for size in sizes:
                rows.append(Row(name, size, subject.mean(takes, way, noise(noisy, size))))
    return rows


def noise(noisy, size: float):
    """Poses of a take, each wrong by itself; the same ones in every run."""

    def given(take: Take) -> np.ndarray:
        rng = np.random.default_rng((WINDOWS_SEED, *take.indices))
        return noisy(take.recording.T_world_cam[list(take.indices)], size, rng)

    return given


def turned(T_world_cam: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """Every camera turned about a random axis; the angle about each of its axes has this standard
    deviation."""
    turns = Rotation.from_rotvec(np.radians(degrees) * rng.normal(size=(len(T_world_cam), 3)))
    return np.stack(
        [T @ poses.compose(R.as_matrix(), np.zeros(3)) for T, R in zip(T_world_cam, turns)]
    )


def moved(T_world_cam: np.ndarray, centimetres: float, rng: np.random.Generator) -> np.ndarray:
    """Every camera moved; standard deviation along each axis."""
    T = T_world_cam.copy()
    T[:, :3, 3] += centimetres / 100 * rng.normal(size=(len(T), 3))
    return T


JOB = Job(
    "pose-noise",
    "Noise of the given poses",
    "Each camera is turned, or moved, by itself: what odometry does from picture to picture. "
    "Numbers are standard deviations about, or along, each axis.",
    "noise",
    METRES,
    ("abs_rel", "aligned"),
    run,
    needs_motion,
)
