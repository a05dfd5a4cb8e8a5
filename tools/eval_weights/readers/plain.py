"""rgb/ depth/ pose/ intrinsics.txt: each picture with a file of its name in each folder.

Depth: 16-bit PNG in mm, 0 unknown, registered to the picture. Poses: 4x4, camera to world, m,
optical axes. intrinsics.txt: K, px. Without timestamps_ns.txt (one number a line) the pictures
count as every fifth of 30 Hz, as in the kitchen. With right/ and the `baseline` (m) of
raw_left_calib.json they are rectified stereo pairs, whose depth comes from matching.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from tools.eval_weights.readers.files import (
    by_name,
    checked_K,
    numbered,
    read_depth,
    read_matrix,
    read_picture,
)
from tools.eval_weights.readers.posed_files import Entry, posed_recording, stamp_at
from tools.eval_weights.recording import SENSOR, STEREO, DataError, Dataset, Shot

RATE = 6.0
"""Hz, where no stamps are given."""

MILLIMETRE = 0.001
STAMPS, CALIBRATION = "timestamps_ns.txt", "raw_left_calib.json"


def fits(folder: Path) -> bool:
    return (folder / "intrinsics.txt").is_file() and (folder / "rgb").is_dir()


def read(folder: Path) -> Dataset:
    """Raises `DataError`."""
    given = folder / "intrinsics.txt"
    K = checked_K(read_matrix(given, (3, 3)), given)
    baseline = _baseline(folder)
    pictures = numbered(folder / "rgb", "*.*")
    stamps, note = _stamps(folder, len(pictures))
    depths, poses_of = by_name(folder / "depth"), by_name(folder / "pose")
    rights = {} if baseline is None else by_name(folder / "right")
    entries = [
        Entry(int(stamp), poses_of.get(p.stem), (p, depths.get(p.stem), rights.get(p.stem, p)))
        for p, stamp in zip(pictures, stamps)
    ]

    def shot(stamp_ns: int, T_world_cam: np.ndarray, files: tuple[Path, ...]) -> Shot:
        image = read_picture(files[0])
        camera = CameraModel(image.shape[1], image.shape[0], K)
        frame = Frame("camera", stamp_ns, image, camera, T_world_cam)
        right = None if baseline is None else _right(files[2], frame, baseline)
        return Shot(frame, read_depth(files[1], MILLIMETRE), right)

    recording, notes = posed_recording(folder.name, entries, shot)
    truth = SENSOR if baseline is None else STEREO
    return Dataset(folder.name, truth, (recording,), (*notes, *note))


def _stamps(folder: Path, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    if not (folder / STAMPS).exists():
        note = f"no time stamps: taken for {RATE:g} Hz"
        return np.array([stamp_at(i, RATE) for i in range(count)]), (note,)
    stamps = np.loadtxt(folder / STAMPS, dtype=np.int64, ndmin=1)
    if len(stamps) != count:
        raise DataError(f"{folder / STAMPS} has {len(stamps)} lines for {count} pictures")
    return stamps, ()


def _baseline(folder: Path) -> float | None:
    if not (folder / "right").is_dir() or not (folder / CALIBRATION).exists():
        return None
    calibration = json.loads((folder / CALIBRATION).read_text())
    if not calibration.get("baseline", 0) > 0:
        raise DataError(f"{folder / CALIBRATION} names no baseline in m above 0")
    return float(calibration["baseline"])


def _right(picture: Path, left: Frame, baseline: float) -> Frame:
    T = left.T_world_cam @ poses.compose(np.eye(3), (baseline, 0, 0))
    return Frame("right", left.stamp_ns, read_picture(picture), left.camera, T)
