"""What is a picture, and what is only a covered lens."""

import numpy as np
import pytest

from da3_ros.core.blank_picture import BlankPictureError, check_picture
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame


def frame(grey, seen=None):
    height, width = grey.shape
    camera = CameraModel(width, height, np.array([[width, 0, 0], [0, width, 0], [0, 0, 1.0]]))
    image = np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    return Frame("cam", 1, image, camera, None, seen)


def noise(deviation, level=8, size=(480, 640)):
    return level + np.random.default_rng(0).normal(0, deviation, size)


def with_patch(grey, value):
    """A fiftieth of the picture is of another value."""
    grey[100:180, 300:380] = value
    return grey


PLAIN = np.full((480, 640), 200.0)


@pytest.mark.parametrize(
    "grey",
    [np.zeros((480, 640)), np.full((480, 640), 255.0), PLAIN, noise(2), np.zeros((14, 14))],
    ids=["black", "white", "plain", "covered, with noise", "small"],
)
def test_nothing_is_seen(grey):
    with pytest.raises(BlankPictureError, match="of one color"):
        check_picture(frame(grey))


@pytest.mark.parametrize(
    "grey",
    [
        with_patch(noise(2), 25),
        with_patch(PLAIN.copy(), 190),
        noise(60, 128),
        np.tile(np.linspace(3, 8, 640), (480, 1)),
        np.arange(14 * 14).reshape(14, 14) * 1.0,
    ],
    ids=["dark", "plain wall beside something", "noise", "dim slope", "small"],
)
def test_what_is_dark_or_plain_in_parts_is_a_picture(grey):
    check_picture(frame(grey))


def test_only_what_the_lens_sees_counts():
    """A white picture in a fisheye's black border; a black one with the robot's bumper."""
    seen = np.zeros((480, 640), bool)
    seen[100:300, 100:500] = True
    for inside, outside in ((255, 0), (0, 90)):
        with pytest.raises(BlankPictureError, match=f"grey value {inside} of 255"):
            check_picture(frame(np.where(seen, inside, outside), seen))
    check_picture(frame(np.where(seen, noise(40, 100), 0), seen))
    with pytest.raises(BlankPictureError, match="leave no pixel"):
        check_picture(frame(noise(40, 100), np.zeros((480, 640), bool)))


@pytest.mark.parametrize("size", [(1, 1), (13, 200), (200, 13)])
def test_fewer_pixels_than_a_patch_show_nothing(size):
    with pytest.raises(BlankPictureError, match=f"{size[1]}x{size[0]} px shows too little"):
        check_picture(frame(noise(60, 128, size)))
