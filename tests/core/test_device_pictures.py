"""Pictures that are made on the device are those of the processor. Without a GPU the device is the
processor itself, which shows all but the streams."""

import gc

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from da3_ros.core import device_pictures
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import from_dict
from da3_ros.core.device_pictures import DevicePictures, pictures_for
from da3_ros.core.device_resize import prepare_on_device
from da3_ros.core.frame import Frame
from da3_ros.core.network_input import WindowInput
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.preprocess import DEVIATION, METHODS, plan_resize, prepare_image
from da3_ros.core.sliding_window import Window
from da3_ros.net.checkpoint import load_network

DEVICES = [torch.device("cpu"), pytest.param(torch.device("cuda"), marks=pytest.mark.gpu)]
LEVEL = 1 / 255 / min(DEVIATION)
"""One level of a byte in the network's input, the largest of the three colors."""


def picture(height, width, seed=0):
    """Noise and what is smooth, side by side."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[:, width // 2 :] = cv2.GaussianBlur(image, (0, 0), 3)[:, width // 2 :]
    return image


def frame(stamp=0, seed=0, height=48, width=64):
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    T = np.eye(4)
    T[0, 3] = 0.1 * stamp
    camera = CameraModel(width, height, K)
    return Frame("camera", 200_000_000 * stamp, picture(height, width, seed), camera, T)


def window(frames):
    return Window(tuple(frames), len(frames) // 2, (len(frames) // 2,))


def assert_close(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype
    apart = (found.cpu() - expected).abs()
    assert apart.max() < 1.01 * LEVEL
    assert (apart > 0.5 * LEVEL).float().mean() < 0.02


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "size, process_res",
    [
        ((480, 640), 504),
        ((720, 1280), 504),
        ((1008, 756), 504),  # by two: halves go up
        ((756, 1008), 252),  # by four
        ((376, 1241), 280),
        ((240, 320), 504),  # enlarged
        ((333, 257), 301),  # less, then more
        ((504, 378), 504),  # nothing to do
    ],
)
def test_the_device_resizes_as_the_processor(device, method, size, process_res):
    image = picture(*size)
    plan = plan_resize(*size, process_res, method)
    size = tuple(n - 14 for n in plan.size)  # a batch of several sizes is cropped
    found = prepare_on_device(torch.from_numpy(image).to(device), plan, size)
    assert_close(found, prepare_image(image, plan, size))


@given(st.integers(20, 200), st.integers(20, 200), st.integers(30, 200))
@settings(max_examples=60, deadline=None)
def test_any_size(height, width, process_res):
    image = np.full((height, width, 3), 77, np.uint8)
    image[height // 2 :] = 255  # a step: bicubic overshoots there, and is cut off
    try:
        plan = plan_resize(height, width, process_res)
    except ValueError:
        return
    found = prepare_on_device(torch.from_numpy(image), plan, plan.size)
    assert (found - prepare_image(image, plan, plan.size)).abs().max() < 1.01 * LEVEL


@pytest.mark.parametrize("device", DEVICES)
def test_begun_or_not_the_pictures_are_the_same(device):
    frames = [frame(i, seed=i) for i in range(3)]
    prepared = WindowInput.of(window(frames), 56)
    on_device, expected = DevicePictures(device), prepared.images([0, 1, 2])
    assert_close(on_device.take(prepared, [0, 1, 2]), expected)
    on_device.begin(prepared, [1, 2])
    assert_close(on_device.take(prepared, [0, 1, 2]), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_what_was_begun_is_what_is_taken(device):
    """Not made again: the picture changes in between, which no frame's does."""
    one = frame()
    prepared, on_device = WindowInput.of(window([one]), 56), DevicePictures(device)
    expected = prepared.images([0])
    on_device.begin(prepared, [0])
    if device.type == "cuda":
        torch.cuda.synchronize()
    one.image[:] = 0
    assert_close(on_device.take(prepared, [0]), expected)
    assert_close(on_device.take(prepared, [0]), prepared.images([0]))


def test_a_window_of_another_size_gets_its_own():
    one, on_device = frame(), DevicePictures(torch.device("cpu"))
    on_device.begin(WindowInput.of(window([one]), 112), [0])
    prepared = WindowInput.of(window([one]), 56)
    assert_close(on_device.take(prepared, [0]), prepared.images([0]))


def test_pictures_of_forgotten_frames_are_freed():
    on_device = DevicePictures(torch.device("cpu"))
    on_device.begin(WindowInput.of(window([frame(i) for i in range(3)]), 56), [0, 1, 2])
    gc.collect()
    assert not on_device._begun


def test_on_the_processor_nothing_is_sent_ahead():
    assert pictures_for(torch.device("cpu")) is None


@pytest.mark.gpu
def test_depth_is_the_same_with_and_without_a_head_start():
    network = load_network("da3-demo", "cuda")
    values = {"model.process_res": 56, "window.size": 3, "window.min_baseline": 0.0}
    depth = []
    for ahead in (False, True):
        pipeline = Pipeline(network, from_dict(values | {"scale.source": "cameras"}))
        steps = [pipeline.push(frame(i, seed=i)) for i in range(5)]
        windows = [step.window for step in steps if step.window]
        for one in windows if ahead else ():
            pipeline.begin(one)
        depth.append([pipeline.process(one).depth for one in windows])
    np.testing.assert_allclose(depth[0], depth[1], rtol=1e-5)


def test_jumps_in_time_make_no_new_streams(monkeypatch):
    """Each makes a new pipeline, and torch keeps memory for every stream."""
    made = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: made.append(device) or object())
    device_pictures._stream_of.cache_clear()
    for _ in range(5):
        DevicePictures(torch.device("cuda"))
    device_pictures._stream_of.cache_clear()
    assert len(made) == 1
