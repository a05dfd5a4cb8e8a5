"""The mask of a camera: where it sees its own robot."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from da3_ros.core.files.home import from_home
from da3_ros.core.parameter import ConfigError
from da3_ros.core.rectify import Rectifier
from da3_ros.core.user_input.pictures import ImageInputError, check_file

CAMERA = "{camera}"
"""Stands in `input.mask` for the name of a rig's camera."""

LOSSY, LOSSY_BLACK = (".jpg", ".jpeg", ".webp"), 64
"""Files in which black is not always 0, and up to which value it is black."""

MOST_HIDDEN = 0.5
"""Share of the picture; a robot that hides more of it is rare."""

REST = "and the rest of the picture white"


def mask_file(path: str, camera: str) -> Path:
    """The file that `input.mask` names for a camera, put in place of `{camera}`."""
    return Path(from_home(path.replace(CAMERA, camera)))


def read_mask(path: str, camera: str) -> np.ndarray | None:
    """(H, W) bool of `input.mask`, false where it is black; None where none is set.

    camera: its name. Raises `ConfigError` when the file is not a picture, or no mask of a robot:
    black all over, or with several values of which none is black.
    """
    if not path:
        return None
    file = mask_file(path, camera)
    try:
        check_file(file, "input.mask")  # by its header: it may unpack to gigabytes
    except ImageInputError as error:
        raise ConfigError(f"{error}; give a PNG of the camera's size") from error
    # With all of its bits: the 1 of 16 would be 0 of 8.
    picture = cv2.imread(str(file), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    if picture is None:
        raise ConfigError(f"input.mask: cannot read {file}; give a PNG of the camera's size")
    values = picture if picture.ndim == 2 else picture.max(axis=-1)
    mask = values > (LOSSY_BLACK if file.suffix.lower() in LOSSY else 0)
    if fault := _fault(values, mask, file):
        raise ConfigError(f"input.mask: {file} {fault}: paint the robot black (0), {REST}")
    return mask


def _fault(values: np.ndarray, mask: np.ndarray, file: Path) -> str:
    """Why a picture (H, W) tells no robot from the rest; white all over is a robot out of sight."""
    if mask.any() and not mask.all():
        return ""
    alpha = ", and its transparency is not looked at" if _is_transparent(file) else ""
    if not mask.any():
        return f"is black all over{alpha}"
    if (values != values[0, 0]).any():
        return f"has values from {values.min()} to {values.max()}, and none is black{alpha}"
    return f"is of one color{alpha}" if alpha else ""


def _is_transparent(file: Path) -> bool:
    """Whether some pixels are, and others are not."""
    picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    alpha = picture[..., 3] if picture.ndim == 3 and picture.shape[2] == 4 else picture[:0]
    return alpha.size > 0 and bool((alpha != alpha[0, 0]).any())


def mask_doubt(mask: np.ndarray | None) -> str:
    """What to say of a mask (H, W) bool that hides most of the picture; else empty."""
    hidden = 0.0 if mask is None else 1 - mask.mean()
    if hidden <= MOST_HIDDEN:
        return ""
    return (
        f"input.mask hides {hidden:.0%} of the picture: if that is what the robot does not hide, "
        f"swap its colors: black (0) is the robot, {REST}"
    )


def check_mask(mask: np.ndarray | None, size: tuple[int, int]) -> None:
    """Raises `ConfigError` where a mask has another size than the images: (height, width) px."""
    if mask is not None and mask.shape != size:
        raise ConfigError(
            f"input.mask is {mask.shape[1]}x{mask.shape[0]}, but the images are {size[1]}x{size[0]}"
        )


def usable_pixels(rectify: Rectifier, mask: np.ndarray | None) -> np.ndarray | None:
    """(H, W) bool of the rectified image: seen by the lens, and not masked; None: all.

    mask: (H, W) bool of the raw image. Raises `ConfigError` when it has another size.
    """
    check_mask(mask, (rectify.camera.height, rectify.camera.width))
    if mask is None:
        return rectify.seen
    # Grey is a pixel that is partly masked.
    usable = rectify(mask.astype(np.uint8) * 255) == 255
    return usable if rectify.seen is None else usable & rectify.seen
