"""Single files of datasets, and what is wrong with one in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from da3_ros.core import poses
from tools.eval_weights.recording import DataError


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a colour or grey picture."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
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


def read_matrix(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """float64 of a text file of numbers; more rows and columns than `shape` are cut off."""
    try:
        matrix = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a matrix: {error}") from error
    if any(have < want for have, want in zip(matrix.shape, shape)):
        raise DataError(f"{path} is {matrix.shape}, must be {shape}")
    return matrix[: shape[0], : shape[1]]


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
    return sorted(folder.glob(pattern), key=number_of)


def by_name(folder: Path) -> dict[str, Path]:
    """Name without its ending -> file. Raises `DataError` where two have one name."""
    found: dict[str, Path] = {}
    for path in folder.glob("*.*"):
        if other := found.get(path.stem):
            raise DataError(f"{path} and {other.name} have one name; which one is meant?")
        found[path.stem] = path
    return found


def number_of(path: Path) -> int:
    """The last number in a file's name. Raises `DataError` where there is none."""
    digits = re.findall(r"\d+", path.name.split(".")[0])
    if not digits:
        raise DataError(f"{path} has no number in its name")
    return int(digits[-1])
