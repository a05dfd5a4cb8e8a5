"""TUM RGB-D (Sturm et al. 2012), and Bonn RGB-D Dynamic (Palazzolo et al. 2019) in its layout.

rgb.txt, depth.txt: `stamp file`, seconds. groundtruth.txt: `stamp tx ty tz qx qy qz qw`, m. Depth:
16-bit PNG, 5000 counts a metre, 0 unknown, registered to the picture; its scale is corrected
already. Poses of TUM: of the color camera in the world of the motion capture. Those of Bonn are
of its markers, in other axes: the camera is T_ros^-1 T T_ros T_m with the matrices of its page. T_m
is a rotation times 1.059 there; the rotation is taken, and depth stays as the sensor says it.

The calibration is told by the folder's name (freiburg1 to 3, bonn), or by a file camera.txt of
`fx fy cx cy` and perhaps `k1 k2 p1 p2` or `k1 k2 p1 p2 k3`.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.rectify import Rectifier
from tools.eval_weights.readers.files import checked_K, read_depth, read_matrix, read_picture
from tools.eval_weights.readers.left_out import LeftOut
from tools.eval_weights.readers.register import rectify_depth
from tools.eval_weights.readers.trajectory import NO_POSE, Trajectory
from tools.eval_weights.recording import SENSOR, DataError, Dataset, PosedRecording, Shot

COUNT = 1 / 5000
"""m of one count of a depth picture."""

DEPTH_TOLERANCE_NS = 20_000_000
"""Between a picture and its depth."""

CALIBRATIONS = {
    "freiburg1": (
        517.306408, 516.469215, 318.643040, 255.313989,
        0.262383, -0.953104, -0.005358, 0.002628, 1.163314,
    ),
    "freiburg2": (
        520.908620, 521.007327, 325.141442, 249.701764,
        0.231222, -0.784899, -0.003257, -0.000105, 0.917205,
    ),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
    "bonn": (
        542.822841, 542.576870, 315.593520, 237.756098,
        0.039903, -0.099343, -0.000730, -0.000144,
    ),
}  # fmt: skip
"""fx, fy, cx, cy, px, and OpenCV's k1, k2, p1, p2, k3, as the datasets' pages give them."""

T_ROS = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
MARKER_ROTATION = np.array(
    [[1.0157, 0.1828, -0.2389], [0.0009, -0.8431, -0.6413], [-0.3009, 0.6147, -0.8085]]
)
T_MARKERS_CAM = poses.compose(poses.nearest_rotation(MARKER_ROTATION), (0.0113, -0.0098, 0.0111))


def fits(folder: Path) -> bool:
    return all((folder / f).is_file() for f in ("rgb.txt", "depth.txt", "groundtruth.txt"))


def read(folder: Path) -> Dataset:
    """Raises `DataError`."""
    calibration = _calibration(folder)
    pictures, depths = (_listed(folder, f) for f in ("rgb.txt", "depth.txt"))
    camera_way = _ground_truth(folder)
    depth_stamps = np.array([stamp for stamp, _ in depths])
    left_out, kept = LeftOut(len(pictures)), []
    for stamp, picture in pictures:
        nearest = int(np.argmin(np.abs(depth_stamps - stamp)))
        depth, T = depths[nearest][1], camera_way.at(stamp)
        if kept and kept[-1][0] == stamp:
            left_out.add("their stamp is that of another one")
        elif abs(depth_stamps[nearest] - stamp) > DEPTH_TOLERANCE_NS:
            left_out.add(f"no depth within {DEPTH_TOLERANCE_NS // 1_000_000} ms")
        elif not (picture.exists() and depth.exists()):
            left_out.add("they or their depth are listed, but not there")
        elif T is None:
            left_out.add(NO_POSE)
        else:
            kept.append((stamp, T, picture, depth))
    stamps_ns = np.array([stamp for stamp, *_ in kept], dtype=np.int64)
    T = np.array([T for _, T, *_ in kept]).reshape(-1, 4, 4)
    recording = PosedRecording(folder.name, stamps_ns, T, lambda i: _shot(calibration, *kept[i]))
    return Dataset(folder.name, SENSOR, (recording,), left_out.notes)


def _shot(calibration: tuple, stamp_ns: int, T: np.ndarray, picture: Path, depth: Path) -> Shot:
    image = read_picture(picture)
    fx, fy, cx, cy, *lens = calibration
    K = _K(fx, fy, cx, cy)
    model = "plumb_bob" if lens else "none"
    camera = CameraModel(image.shape[1], image.shape[0], K, model, np.array(lens))
    straight = Rectifier(camera)
    frame = Frame(
        "camera", stamp_ns, straight(image), straight.camera, T, seen=straight.seen
    )  # fmt: skip
    return Shot(frame, rectify_depth(read_depth(depth, COUNT), camera))


def _K(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _calibration(folder: Path) -> tuple:
    given = folder / "camera.txt"
    if given.exists():
        numbers = tuple(read_matrix(given, (1, 1), whole=True).ravel())
        if len(numbers) not in (4, 8, 9):
            raise DataError(f"{given} has {len(numbers)} numbers, must be 4, 8 or 9")
        checked_K(_K(*numbers[:4]), given)
        return numbers
    for name, calibration in CALIBRATIONS.items():
        if name in folder.name.lower():
            return calibration
    raise DataError(
        f"the name of {folder} says nothing of its camera ({', '.join(CALIBRATIONS)}); write "
        "fx fy cx cy, and k1 k2 p1 p2 k3 if there is a lens, into camera.txt in it"
    )


def _listed(folder: Path, name: str) -> list[tuple[int, Path]]:
    """Stamp, ns, and file of each line, by stamp."""
    lines = [line.split() for line in (folder / name).read_text().splitlines()]
    lines = [words for words in lines if words and not words[0].startswith("#")]
    try:
        found = sorted((_nanoseconds(stamp), folder / file) for stamp, file in lines)
    except (ValueError, ArithmeticError) as error:
        raise DataError(
            f"{folder / name} must have lines of a stamp and a file: {error}"
        ) from error
    if not found:
        raise DataError(f"{folder / name} lists nothing")
    return found


def _nanoseconds(stamp: str) -> int:
    """Of seconds since the epoch; a float would lose the last digits."""
    return int(Decimal(stamp) * 1_000_000_000)


def _ground_truth(folder: Path) -> Trajectory:
    """Of the color camera."""
    path = folder / "groundtruth.txt"
    lines = [line.split() for line in path.read_text().splitlines()]
    rows = [words for words in lines if words and not words[0].startswith("#")]
    try:
        stamps = np.array([_nanoseconds(row[0]) for row in rows], dtype=np.int64)
        numbers = np.array([row[1:8] for row in rows], dtype=float).reshape(-1, 7)
        T = np.array([poses.from_quat_xyzw(n[3:], n[:3], str(path)) for n in numbers])
    except (ValueError, ArithmeticError, IndexError) as error:
        raise DataError(f"{path} must have lines of stamp tx ty tz qx qy qz qw: {error}") from error
    if not len(stamps):
        raise DataError(f"{path} has no poses")
    if "bonn" in folder.name.lower():
        T = poses.inverse(T_ROS) @ T @ T_ROS @ T_MARKERS_CAM
    return Trajectory(stamps, T)
