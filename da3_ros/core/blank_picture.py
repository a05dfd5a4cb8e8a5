"""Pictures in which nothing is seen: a covered lens, a flash of light, a driver's empty buffer.

A network gives depth for them, too, and the distances between cameras would call that metres.
"""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core.frame import Frame
from da3_ros.net.presets import PATCH

FEWEST_LEVELS = 1.0
"""Of 255: standard deviation of the grey values, without noise, that is still a picture."""

LOOKED_AT = 160
"""Pixels of the longer side that are looked at: what is seen in a picture is larger than those."""

BLUR = 2.0
"""px of those, standard deviation: takes six sevenths of the noise away."""


class BlankPictureError(ValueError):
    """There is nothing in the picture that depth could be told from."""


def check_picture(frame: Frame) -> None:
    """Raise `BlankPictureError` for a picture of one color, or of fewer pixels than one patch.

    Only pixels that the lens sees and no mask hides count. A dark picture, a plain wall beside
    something, and noise are pictures.
    """
    height, width = frame.image.shape[:2]
    if min(height, width) < PATCH:
        raise BlankPictureError(
            f"an image of {width}x{height} px shows too little for depth: both sides must have "
            f"{PATCH} px or more"
        )
    thin = np.s_[:: (step := -(-max(height, width) // LOOKED_AT)), ::step]
    grey = cv2.cvtColor(frame.image[thin], cv2.COLOR_RGB2GRAY).astype(np.float32)
    seen = np.ones(grey.shape, bool) if frame.seen is None else frame.seen[thin]
    if not seen.any():
        raise BlankPictureError("input.mask and the lens leave no pixel of the image")
    grey[~seen] = mean = grey[seen].mean()
    if cv2.GaussianBlur(grey, (0, 0), BLUR)[seen].std() < FEWEST_LEVELS:
        raise BlankPictureError(
            f"the image is of one color (grey value {mean:.0f} of 255), and no depth can be seen "
            "in it: is the lens covered, or the exposure wrong?"
        )
