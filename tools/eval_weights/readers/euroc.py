"""EuRoC MAV (Burri et al. 2016), the ASL layout: mav0/ with cam0/, cam1/ and ground truth.

cam*/data.csv: `stamp ns, file`; cam*/sensor.yaml: resolution, intrinsics (fx fy cx cy),
radial-tangential coefficients, T_BS (camera to body). state_groundtruth_estimate0/data.csv: stamp
ns, position, quaternion wxyz of the body. The pair is rectified; there is no depth sensor, so depth
is that of semi-global matching where left and right agree within a pixel. It is not ground truth:
wrong at edges and on bare walls.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.rectify import Rectifier
from tools.eval_weights.readers.files import read_picture
from tools.eval_weights.readers.left_out import LeftOut
from tools.eval_weights.readers.trajectory import NO_POSE, Trajectory
from tools.eval_weights.recording import STEREO, DataError, Dataset, PosedRecording, Shot

DISPARITIES, BLOCK, AGREEMENT = 128, 5, 1.0
"""px: searched for, and between what left and right say."""

GROUND_TRUTH = "state_groundtruth_estimate0"


@dataclass(frozen=True)
class Stereo:
    """A rectified pair: both cameras are pinholes of one K, `baseline` m apart along x.

    T_body_left: (4, 4) of the rectified left camera.
    """

    left: Rectifier
    right: Rectifier
    T_body_left: np.ndarray
    baseline: float


def fits(folder: Path) -> bool:
    return (folder / "mav0" / "cam0" / "sensor.yaml").is_file()


def read(folder: Path) -> Dataset:
    """Pairs with a pose. Raises `DataError`."""
    root = folder / "mav0"
    stereo = _rectification(*(_sensor(root / c / "sensor.yaml") for c in ("cam0", "cam1")))
    left, right = (_files(root / c) for c in ("cam0", "cam1"))
    body = _ground_truth(root / GROUND_TRUTH / "data.csv")
    left_out, kept = LeftOut(len(left)), []
    for stamp, file in left.items():
        T = body.at(stamp)
        if stamp not in right:
            left_out.add("the right camera has none of that stamp")
        elif T is None:
            left_out.add(NO_POSE)
        else:
            kept.append((stamp, file, right[stamp], T @ stereo.T_body_left))
    T = np.array([entry[3] for entry in kept]).reshape(-1, 4, 4)
    stamps_ns = np.array([stamp for stamp, *_ in kept], dtype=np.int64)
    recording = PosedRecording(folder.name, stamps_ns, T, lambda i: _shot(stereo, *kept[i]))
    return Dataset(folder.name, STEREO, (recording,), left_out.notes)


def _shot(stereo: Stereo, stamp_ns: int, left_file: Path, right_file: Path, T: np.ndarray) -> Shot:
    left = stereo.left(read_picture(left_file))
    right = stereo.right(read_picture(right_file))
    frame = Frame("camera", stamp_ns, left, stereo.left.camera, T, seen=stereo.left.seen)
    T_right = T @ poses.compose(np.eye(3), (stereo.baseline, 0, 0))
    other = Frame("right", stamp_ns, right, stereo.right.camera, T_right, seen=stereo.right.seen)
    return Shot(
        frame, matched_depth(left, right, stereo.left.camera.K[0, 0], stereo.baseline), other
    )


def matched_depth(left: np.ndarray, right: np.ndarray, focal: float, baseline: float) -> np.ndarray:
    """(H, W) float32 m of a rectified pair (H, W, 3); NaN where left and right disagree."""
    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right)]
    forward = _disparity(*gray)
    # The right picture's own disparities: the same search in mirrored pictures.
    mirrored = [np.ascontiguousarray(g[:, ::-1]) for g in gray[::-1]]
    backward = _disparity(*mirrored)[:, ::-1]
    columns = np.arange(left.shape[1])[None]
    there = np.clip(np.rint(columns - forward), 0, left.shape[1] - 1).astype(int)
    agree = np.abs(np.take_along_axis(backward, there, axis=1) - forward) <= AGREEMENT
    depth = focal * baseline / np.maximum(forward, 1e-6)
    return np.where((forward >= 1) & agree, depth, np.nan).astype(np.float32)


def _disparity(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    matcher = cv2.StereoSGBM_create(
        numDisparities=DISPARITIES,
        blockSize=BLOCK,
        P1=8 * BLOCK**2,
        P2=32 * BLOCK**2,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
    )
    return matcher.compute(left, right).astype(np.float32) / 16


def _sensor(path: Path) -> tuple[CameraModel, np.ndarray]:
    """Camera and T_body_cam (4, 4)."""
    try:
        sensor = yaml.safe_load(path.read_text())
        width, height = sensor["resolution"]
        fx, fy, cx, cy = sensor["intrinsics"]
        D = np.array(sensor["distortion_coefficients"], float)
        T_body_cam = poses.rigid(np.reshape(sensor["T_BS"]["data"], (4, 4)), f"T_BS of {path}")
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], float)
        return CameraModel(width, height, K, "plumb_bob", D), T_body_cam
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not the sensor.yaml of a camera: {error}") from error


def _rectification(left: tuple, right: tuple) -> Stereo:
    (camera_left, T_body_left), (camera_right, T_body_right) = left, right
    T_right_left = poses.inverse(T_body_right) @ T_body_left
    size = (camera_left.width, camera_left.height)
    R_left, R_right, P_left, P_right, *_ = cv2.stereoRectify(
        camera_left.K, camera_left.D, camera_right.K, camera_right.D, size,
        T_right_left[:3, :3], T_right_left[:3, 3], flags=cv2.CALIB_ZERO_DISPARITY, alpha=0,
    )  # fmt: skip
    K = P_left[:, :3]
    return Stereo(
        Rectifier(camera_left, R_left, K),
        Rectifier(camera_right, R_right, K),
        T_body_left @ poses.compose(R_left.T, np.zeros(3)),
        float(-P_right[0, 3] / P_right[0, 0]),
    )


def _files(camera: Path) -> dict[int, Path]:
    """Stamp, ns -> picture."""
    rows = [line.split(",") for line in (camera / "data.csv").read_text().splitlines()]
    rows = [r for r in rows if len(r) > 1 and not r[0].startswith("#")]
    return {int(stamp): camera / "data" / name.strip() for stamp, name, *_ in sorted(rows)}


def _ground_truth(path: Path) -> Trajectory:
    """Of the body."""
    rows = [line.split(",") for line in path.read_text().splitlines() if line[:1].isdigit()]
    if not rows:
        raise DataError(f"{path} has no poses")
    stamps = np.array([int(row[0]) for row in rows])
    numbers = np.array([[float(x) for x in row[1:8]] for row in rows])
    T = [poses.from_quat_xyzw(n[[4, 5, 6, 3]], n[:3], str(path)) for n in numbers]
    return Trajectory(stamps, np.stack(T))
