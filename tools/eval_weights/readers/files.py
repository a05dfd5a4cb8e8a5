"""Single files of datasets, and what is wrong with one in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel, check_plausible
from tools.eval_weights.recording import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".txt")


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a colour or grey picture."""
    # Depth and intrinsics are of the pixels as stored, whatever EXIF says of turning them.
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DataError(f"{path} cannot be read as a picture")
    return np.ascontiguousarray(image[..., ::-1])


def read_depth(path: Path, unit: float, unknown: tuple[int, ...] = (0,)) -> np.ndarray:
    """(H, W) float32 m of a 16-bit PNG; `unit`: m of one count; `unknown` counts become NaN."""
    counts = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if counts is None or counts.ndim != 2 or counts.dtype != np.uint16:
        what = "cannot be read" if counts is None else f"is {counts.dtype} {counts.shape}"
        raise DataError(f"{path} {what}, must be a grey PNG of 16 bits")
    depth = counts.astype(np.float32) * np.float32(unit)
    depth[np.isin(counts, unknown)] = np.nan
    return depth


def read_matrix(path: Path, shape: tuple[int, int], *, whole: bool = False) -> np.ndarray:
    """float64 of a text file of numbers, of at least `shape`; what is more is cut off unless
    `whole`."""
    try:
        matrix = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a matrix: {error}") from error
    if any(have < want for have, want in zip(matrix.shape, shape)):
        raise DataError(f"{path} is {matrix.shape}, must be {shape}")
    return matrix if whole else matrix[: shape[0], : shape[1]]


def read_pose(path: Path) -> np.ndarray | None:
    """(4, 4) camera to world of a text file; None where it says that it does not know (inf, nan).

    Raises `DataError` where it holds no rigid transform.
    """
    T = read_matrix(path, (4, 4))
    if not np.isfinite(T).all():
        return None
    try:
        return poses.rigid(T, str(path))
    except poses.PoseError as error:
        raise DataError(str(error)) from error


def numbered(folder: Path, pattern: str) -> list[Path]:
    """Files in the order of the last number in their names. Raises `DataError`."""
    found = [path for path in folder.glob(pattern) if _is_data(path)]
    return sorted(found, key=lambda path: (number_of(path), path.name))


def by_name(folder: Path) -> dict[str, Path]:
    """Name without its ending -> file. Raises `DataError` where two have one name."""
    found: dict[str, Path] = {}
    for path in filter(_is_data, folder.glob("*.*")):
        if other := found.get(path.stem):
            raise DataError(f"{path} and {other.name} have one name; which one is meant?")
        found[path.stem] = path
    return found


def _is_data(path: Path) -> bool:
    """Not what file managers and archives leave behind."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def checked_K(K: np.ndarray, path: Path) -> np.ndarray:
    """The same K (3, 3), looked at before any picture is. Raises `DataError`."""
    try:
        return check_plausible(CameraModel(1, 1, K)).K
    except CameraError as error:
        raise DataError(f"{path}: {error}") from error


def number_of(path: Path) -> int:
    """The last number in a file's name. Raises `DataError` where there is none."""
    digits = re.findall(r"\d+", path.name.split(".")[0])
    if not digits:
        raise DataError(f"{path} has no number in its name")
    return int(digits[-1])
