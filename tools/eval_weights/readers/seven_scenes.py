"""7-Scenes (Shotton et al. 2013): frame-000000.color.png, .depth.png, .pose.txt, in seq-01, ...

Depth: 16-bit PNG in mm, 65535 (and 0) unknown, of a depth camera of its own (585 px) that is not
registered to the picture (525 px). Poses: 4x4, camera to world, m, of KinectFusion, which follows
the depth camera. The calibration between the two cameras is the one that work on 7-Scenes uses
(that of another Kinect, by LIRIS); depth is drawn into the color camera by it. 30 Hz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from tools.eval_weights.readers.files import number_of, numbered, read_depth, read_picture
from tools.eval_weights.readers.posed_files import Entry, posed_recording, stamp_at
from tools.eval_weights.readers.register import register_depth
from tools.eval_weights.recording import SENSOR, DataError, Dataset, Shot

RATE = 30.0
MILLIMETRE = 0.001
UNKNOWN = (0, 65535)
FOCAL_COLOR, FOCAL_DEPTH = 525.0, 585.0
"""px, at 640x480; principal points at (320, 240)."""

T_COLOR_DEPTH = poses.rigid(
    [
        [
            9.9996518012567637e-01,
            2.6765126468950343e-03,
            -7.9041012313000904e-03,
            -2.5558943178e-02,
        ],
        [
            -2.7409311281316700e-03,
            9.9996302803027592e-01,
            -8.1504520778013286e-03,
            1.0109636268e-04,
        ],
        [7.8819942130445332e-03, 8.1718328771890631e-03, 9.9993554558014031e-01, 2.0318321729e-03],
    ]
)


def fits(folder: Path) -> bool:
    return bool(_sequences(folder))


def read(folder: Path) -> Dataset:
    """All sequences of a scene, or one. Raises `DataError`."""
    read = [_recording(sequence) for sequence in _sequences(folder)]
    notes = tuple(f"{r.name}: {note}" for r, notes in read for note in notes)
    return Dataset(folder.name, SENSOR, tuple(r for r, _ in read), notes)


def _sequences(folder: Path) -> list[Path]:
    candidates = [folder, *sorted(folder.glob("seq-*"))]
    return [f for f in candidates if next(f.glob("frame-*.color.png"), None)]


def _recording(folder: Path):
    # Every n-th frame alone keeps its number.
    entries = [
        Entry(stamp_at(number_of(p), RATE), _part(p, "pose.txt"), (p, _part(p, "depth.png")))
        for p in numbered(folder, "frame-*.color.png")
    ]
    return posed_recording(folder.name, entries, _shot)


def _part(picture: Path, part: str) -> Path | None:
    path = picture.with_name(picture.name.replace("color.png", part))
    return path if path.exists() else None


def _shot(stamp_ns: int, T_world_depth: np.ndarray, files: tuple[Path, ...]) -> Shot:
    picture, depth_file = files
    image = read_picture(picture)
    raw = read_depth(depth_file, MILLIMETRE, UNKNOWN)
    if image.shape[:2] != raw.shape:
        raise DataError(f"{picture} is {image.shape[:2]}, its depth {raw.shape}; both are 480x640")
    color, depth_camera = (_camera(raw.shape, f) for f in (FOCAL_COLOR, FOCAL_DEPTH))
    T_world_cam = T_world_depth @ poses.inverse(T_COLOR_DEPTH)
    frame = Frame("camera", stamp_ns, image, color, T_world_cam)
    return Shot(frame, register_depth(raw, depth_camera, T_COLOR_DEPTH, color))


def _camera(shape: tuple[int, int], focal: float) -> CameraModel:
    """At 640x480, or smaller in proportion."""
    height, width = shape
    K = np.array([[focal, 0, 320.0], [0, focal, 240.0], [0, 0, 1]])
    return CameraModel(640, 480, K).scaled(width=width, height=height)
