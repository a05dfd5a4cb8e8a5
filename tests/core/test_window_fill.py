"""A window that never gets full is said, with what was seen; one that does is not."""

import numpy as np
import pytest

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import WindowConfig
from da3_ros.core.frame import Frame
from da3_ros.core.sliding_window import SlidingWindow
from da3_ros.core.window_fill import WindowFill

CAMERA = CameraModel(4, 3, np.array([[4.0, 0, 1.5], [0, 4, 1], [0, 0, 1]]))


def frame(t, x):
    T = np.eye(4)
    T[0, 3] = x
    return Frame("cam", round(t * 1e9), np.zeros((3, 4, 3), np.uint8), CAMERA, T)


def fill_of(moves, **values):
    """What is said after frames at (t s, x m), and how often it was said anew."""
    config = WindowConfig(**values)
    window, fill, said = SlidingWindow(config), WindowFill(), []
    for t, x in moves:
        fill.note(round(t * 1e9), window.push(frame(t, x)), config)
        if fill.trouble and fill.trouble not in said:
            said.append(fill.trouble)
    return fill.trouble, said


def driving(count, every, start=1.0, x=0.0):
    return [(start + k * every, x + 0.2 * k) for k in range(count)]


def standing(seconds, start, x=100.0):
    return [(start + 0.1 * k, x) for k in range(round(seconds * 10))]


def test_a_slow_camera():
    trouble, said = fill_of(driving(4, 2.0))
    assert trouble == (
        "no depth: usable images come 2.0 s apart: a window of 4 takes 6.0 s, window.max_age is "
        "5 s: raise it, or lower window.size"
    )
    assert fill_of(driving(10, 2.0))[1] == said  # and stays as it is


@pytest.mark.parametrize("values", [{"size": 8}, {"max_interval": 2.0}])
def test_a_camera_that_stands(values):
    trouble, _ = fill_of([*driving(12, 0.1), *standing(20, start=2.2)], **values)
    assert trouble.startswith("no depth: the camera hardly moves, and images are kept ")
    assert trouble.endswith(
        "window.max_age is 5 s: raise it, or lower window.max_interval or window.size"
    )


def test_it_ends_with_the_first_full_window():
    moves = [*driving(12, 0.1), *standing(20, start=2.2), *driving(9, 0.1, start=22.3, x=200)]
    trouble, said = fill_of(moves, size=8)
    assert trouble == "" and len(said) == 1


def test_gaps_of_which_each_is_short_enough():
    """Now and then a picture gets lost: the usual interval would do, but never fills a window."""
    times = np.cumsum([1.6, 1.6, 4.0] * 5)
    assert fill_of([(t, t) for t in times])[0].startswith("no depth: usable images come ")


@pytest.mark.parametrize(
    "moves",
    [
        standing(30, start=1.0),  # as documented: goes on seeing
        [*driving(3, 0.1), *driving(4, 0.1, start=60.0, x=9)],
    ],
)
def test_nothing_is_said_of_windows_that_fill_or_of_a_pause(moves):
    assert fill_of(moves)[1] == []


def test_other_parameters_are_another_matter():
    slow, quick = WindowConfig(), WindowConfig(max_age=100.0)
    window, fill = SlidingWindow(slow), WindowFill()
    for k in range(6):
        window.config = config = slow if k < 5 else quick
        fill.note(2 * k * 10**9, window.push(frame(2.0 * k, 0.2 * k)), config)
        assert bool(fill.trouble) == (k in (3, 4))


def test_one_picture_is_a_window():
    assert fill_of(driving(5, 60.0), size=1)[1] == []
