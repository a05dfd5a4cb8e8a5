"""The robot's own body in the picture: no points, no depth."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from da3_ros.core.body_mask import read_mask, usable_pixels
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.parameter import ConfigError
from da3_ros.core.rectify import Rectifier

K = np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]])


def lower_third_black():
    picture = np.full((60, 80), 255, np.uint8)
    picture[40:] = 0
    return picture


def test_black_is_masked_and_each_camera_has_its_own(tmp_path):
    for name in ("left", "right"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), lower_third_black())
    mask = read_mask(str(tmp_path / "{camera}.png"), "right")
    assert mask[:40].all() and not mask[40:].any()
    assert read_mask("", "left") is None


def test_without_a_lens_the_mask_is_the_pixels(tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), lower_third_black())
    mask = read_mask(str(tmp_path / "mask.png"), "")
    rectify = Rectifier(CameraModel(80, 60, K))
    np.testing.assert_array_equal(usable_pixels(rectify, mask), mask)
    assert usable_pixels(rectify, None) is None


def test_behind_a_lens_it_is_rectified_and_joins_what_the_lens_does_not_see():
    camera = CameraModel(80, 60, K, "plumb_bob", np.array([0.3, 0.1, 0, 0]))
    rectify = Rectifier(camera)
    assert rectify.seen is not None and not rectify.seen.all()
    usable = usable_pixels(rectify, lower_third_black() > 0)
    assert not usable[~rectify.seen].any()
    # Straight below the middle the border of the mask is at 10.5 px, raw, from the centre.
    r = next(r for r in np.arange(0, 20, 0.01) if r * (1 + 0.3 * (r / 60) ** 2) > 10.5)
    assert usable[10 : int(29.5 + r), 39].all() and not usable[int(29.5 + r) + 2 :, 39].any()


@pytest.mark.parametrize("white", [1, 255, 256, 65535])
def test_a_mask_of_16_bits_is_that_of_8(tmp_path, white):
    picture = (lower_third_black() > 0).astype(np.uint16) * white
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    np.testing.assert_array_equal(read_mask(str(tmp_path / "mask.png"), ""), picture > 0)


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "LA", "P", "1"])
def test_every_kind_of_picture_is_the_same_mask(tmp_path, kind):
    Image.fromarray(lower_third_black()).convert(kind).save(tmp_path / "mask.png")
    mask = read_mask(str(tmp_path / "mask.png"), "")
    np.testing.assert_array_equal(mask, lower_third_black() > 0)


@pytest.mark.parametrize("suffix, options", [("jpg", {"quality": 75}), ("webp", {"quality": 75})])
def test_the_black_of_a_lossy_picture_is_black(tmp_path, suffix, options):
    picture = np.full((60, 80), 255, np.uint8)
    cv2.circle(picture, (40, 50), 23, 0, -1)
    Image.fromarray(picture).convert("RGB").save(tmp_path / f"mask.{suffix}", **options)
    inside = cv2.erode(255 - picture, np.ones((5, 5))) > 0
    mask = read_mask(str(tmp_path / f"mask.{suffix}"), "")
    assert not mask[inside].any() and mask[picture == 255].mean() > 0.98


def rgba(color, alpha):
    return np.dstack([np.broadcast_to(color, (60, 80)).astype(np.uint8)] * 3 + [alpha])


@pytest.mark.parametrize(
    "picture, words",
    [
        (np.zeros((60, 80), np.uint8), r"mask.png is black all over: paint the robot black \(0\)"),
        (np.zeros((60, 80), np.uint16), "is black all over"),
        (rgba(0, lower_third_black()), "is black all over, and its transparency is not looked at"),
        (rgba(255, lower_third_black()), "is of one color, and its transparency is not looked at"),
        (np.maximum(lower_third_black(), 30), "has values from 30 to 255, and none is black"),
    ],
)
def test_a_picture_that_tells_no_robot_is_refused(tmp_path, picture, words):
    """Black all over it would leave NaN, and without black it would mask nothing."""
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    with pytest.raises(ConfigError, match=words):
        read_mask(str(tmp_path / "mask.png"), "")


def test_a_camera_that_does_not_see_its_robot_has_a_white_mask(tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((60, 80), 255, np.uint8))
    assert read_mask(str(tmp_path / "mask.png"), "").all()


def test_what_is_no_mask_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nothing.png', there is no such file; give a PNG"):
        read_mask(str(tmp_path / "nothing.png"), "")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ConfigError, match="text.png', it is not a readable image; give a PNG"):
        read_mask(str(tmp_path / "text.png"), "")
    os.mkfifo(tmp_path / "fifo.png")
    with pytest.raises(ConfigError, match="fifo.png', it is not a file"):
        read_mask(str(tmp_path / "fifo.png"), "")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(ConfigError, match="bomb.png': it unpacks to more than"):
        read_mask(str(tmp_path / "bomb.png"), "")
    picture = cv2.imencode(".png", lower_third_black())[1].tobytes()
    (tmp_path / "cut.png").write_bytes(picture[:40])
    with pytest.raises(ConfigError, match="input.mask: cannot read .*cut.png"):
        read_mask(str(tmp_path / "cut.png"), "")
    with pytest.raises(ConfigError, match="input.mask is 80x50, but the images are 80x60"):
        usable_pixels(Rectifier(CameraModel(80, 60, K)), np.ones((50, 80), bool))
