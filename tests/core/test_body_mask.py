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
