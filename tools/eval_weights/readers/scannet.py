"""ScanNet (Dai et al. 2017) as its SensReader exports a scene: color/ depth/ pose/ intrinsic/.

Depth: 16-bit PNG in mm, 0 unknown. Poses: 4x4, camera to world, m; -inf where tracking was lost.
The poses are those of the depth camera, and depth is smaller than the picture: the picture is
brought to the depth camera's pixels by both intrinsics. The cameras stand 4 cm apart, which the
export does not say (its extrinsics are 1): the picture is off against its depth by so much, as in
all work on ScanNet. No stamps: 30 Hz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from tools.eval_weights.readers.files import (
    by_name,
    checked_K,
    number_of,
    numbered,
    read_depth,
    read_matrix,
    read_picture,
)
from tools.eval_weights.readers.posed_files import Entry, posed_recording, stamp_at
from tools.eval_weights.readers.register import resample
from tools.eval_weights.recording import SENSOR, DataError, Dataset, Shot

RATE = 30.0
MILLIMETRE = 0.001


def fits(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in ("color", "depth", "pose", "intrinsic"))


def read(folder: Path) -> Dataset:
    """Raises `DataError`."""
    K_color, K_depth = (
        checked_K(read_matrix(given, (3, 3)), given)
        for given in (folder / "intrinsic" / f"intrinsic_{n}.txt" for n in ("color", "depth"))
    )
    for path in (folder / "intrinsic").glob("extrinsic_*.txt"):
        if not np.allclose(read_matrix(path, (4, 4)), np.eye(4), atol=1e-6):
            raise DataError(f"{path} is not 1: cameras that are apart are not brought together")

    def shot(stamp_ns: int, T_world_cam: np.ndarray, files: tuple[Path, ...]) -> Shot:
        image, depth = read_picture(files[0]), read_depth(files[1], MILLIMETRE)
        camera = CameraModel(depth.shape[1], depth.shape[0], K_depth)
        color = CameraModel(image.shape[1], image.shape[0], K_color)
        image, seen = resample(image, color, camera)
        depth[~seen] = np.nan
        return Shot(Frame("camera", stamp_ns, image, camera, T_world_cam, seen=seen), depth)

    depths, poses_of = by_name(folder / "depth"), by_name(folder / "pose")
    # Every n-th frame alone keeps its number.
    entries = [
        Entry(stamp_at(number_of(p), RATE), poses_of.get(p.stem), (p, depths.get(p.stem)))
        for p in numbered(folder / "color", "*.*")
    ]
    recording, notes = posed_recording(folder.name, entries, shot)
    return Dataset(folder.name, SENSOR, (recording,), notes)
