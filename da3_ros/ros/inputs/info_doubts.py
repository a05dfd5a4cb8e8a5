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


def is_raw(topic: str, info: CameraInfo, *, rectify: bool) -> bool:
    """Whether images are as the lens made them, and to be rectified here.

    topic: of the images. rectify: input.rectify. What a topic's name says goes first, where P is
    there: image_proc gives image_rect the camera info of image_raw, and by the definition of
    CameraInfo its P describes the one, its K and D the other.
    """
    return rectify and not (_is_named_rectified(topic) and np.any(info.p))


def rectification_doubt(topic: str, info: CameraInfo, *, rectify: bool) -> Doubt | None:
    """Whether the name of an image topic and input.rectify say different things; as of `is_raw`."""
    is_named = _is_named_rectified(topic)
    if not is_distorted(info) or is_named != rectify:
        return None
    if not rectify:
        what = f"{topic} has a lens and is not rectified, and input.rectify is false"
        return Doubt(what, "set input.rectify: true")
    if is_raw(topic, info, rectify=True):
        what = f"{topic} seems to be rectified already and would be rectified again, for want of P"
        return Doubt(what, "set input.rectify: false, or use the raw image")
    what = f"{topic} is rectified already, by its name: P of its camera_info describes it, not D"
    return Doubt(what, "if it comes straight from the lens, give it another name")


def _is_named_rectified(topic: str) -> bool:
    name = topic.removesuffix("/compressed").rpartition("/")[2]
    is_raw_below = "raw" in name.split("_")  # /rect/image_raw
    return bool(RECTIFIED.search(name if is_raw_below else topic))


def frame_doubt(frame_id: str, info: CameraInfo) -> Doubt | None:
    """Whether the camera info is of another frame than the images, and maybe of another camera."""
    if frame_id.lstrip("/") == info.header.frame_id.lstrip("/"):
        return None
    what = f"its frame_id is '{info.header.frame_id}', that of the images '{frame_id}'"
    return Doubt(what, "if it is of another camera, take the right one; use one frame_id in both")


def is_distorted(info: CameraInfo) -> bool:
    """Whether the lens bends straight lines; an equidistant one does without coefficients too."""
    return bool(np.any(info.d)) or info.distortion_model == "equidistant"
