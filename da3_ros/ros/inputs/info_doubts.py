"""What looks wrong about a camera info that can be used: said, not refused.

The live node, da3_process and da3_doctor all say it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from sensor_msgs.msg import CameraInfo

RECTIFIED = re.compile(r"(?:^|[/_])rect(?:ified)?(?:$|[/_])")
"""In names of topics, as image_proc gives them: image_rect, image_rect_color."""


class Doubt(NamedTuple):
    """what: looks wrong. fix: what to do."""

    what: str
    fix: str


def rectification_doubt(topic: str, info: CameraInfo, *, is_raw: bool) -> Doubt | None:
    """Whether images are rectified twice, or never. topic: of the images. is_raw: input.rectify."""
    is_rectified = bool(RECTIFIED.search(topic))
    if not is_distorted(info) or is_rectified != is_raw:
        return None
    if is_raw:
        what = f"{topic} seems to be rectified already and would be rectified again"
        return Doubt(what, "set input.rectify: false, or use the raw image")
    what = f"{topic} has a lens and is not rectified, and input.rectify is false"
    return Doubt(what, "set input.rectify: true")


def frame_doubt(frame_id: str, info: CameraInfo) -> Doubt | None:
    """Whether the camera info is of another frame than the images, and maybe of another camera."""
    if frame_id.lstrip("/") == info.header.frame_id.lstrip("/"):
        return None
    what = f"its frame_id is '{info.header.frame_id}', that of the images '{frame_id}'"
    return Doubt(what, "if it is of another camera, take the right one; use one frame_id in both")


def is_distorted(info: CameraInfo) -> bool:
    """Whether the lens bends straight lines; an equidistant one does without coefficients too."""
    return bool(np.any(info.d)) or info.distortion_model == "equidistant"
