"""The mask of a camera: where it sees its own robot."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from da3_ros.core.parameter import ConfigError
from da3_ros.core.rectify import Rectifier
from da3_ros.core.user_input.pictures import ImageInputError, check_file

CAMERA = "{camera}"
"""Stands in `input.mask` for the name of a rig's camera."""


def mask_file(path: str, camera: str) -> Path:
    """The file that `input.mask` names for a camera, put in place of `{camera}`."""
    return Path(path.replace(CAMERA, camera)).expanduser()


def read_mask(path: str, camera: str) -> np.ndarray | None:
    """(H, W) bool of `input.mask`, false where it is black; None where none is set.

    camera: its name. Raises `ConfigError` when the file is not a picture.
    """
    if not path:
        return None
    file = mask_file(path, camera)
    try:
        check_file(file, "input.mask")  # by its header: it may unpack to gigabytes
    except ImageInputError as error:
        raise ConfigError(f"{error}; give a PNG of the camera's size") from error
    picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ConfigError(f"input.mask: cannot read {file}; give a PNG of the camera's size")
    return picture > 0


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
