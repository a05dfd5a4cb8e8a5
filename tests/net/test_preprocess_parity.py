"""Pictures and intrinsics for the network are upstream's, bit for bit."""

import numpy as np
import pytest
import torch

from da3_ros.core.preprocess import (
    METHODS,
    common_size,
    crop_intrinsics,
    plan_resize,
    prepare_image,
)
from tools import upstream


@pytest.fixture(scope="module")
def processor():
    upstream.import_upstream()
    from depth_anything_3.utils.io.input_processor import InputProcessor

    return InputProcessor()


def ours(images, K, process_res, method):
    plans = [plan_resize(*i.shape[:2], process_res, method) for i in images]
    size = common_size(plans)
    prepared = [prepare_image(i, p, size) for i, p in zip(images, plans)]
    cropped = [crop_intrinsics(p.intrinsics(k), p.size, size) for p, k in zip(plans, K)]
    return torch.stack(prepared), torch.from_numpy(np.stack(cropped)).float()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "sizes, process_res",
    [
        ([(480, 640)] * 2, 504),
        ([(720, 1280)], 504),
        ([(376, 1241)], 280),
        ([(120, 160), (160, 120), (100, 200)], 504),  # enlarged, then cropped to a common size
        ([(333, 257), (211, 190)], 301),
        ([(8, 8)], 504),
        ([(504, 378)], 504),  # nothing to do
    ],
)
def test_images_and_intrinsics(processor, method, sizes, process_res):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    K = [np.array([[0.9 * w, 0, 0.48 * w], [0, 0.91 * w, 0.53 * h], [0, 0, 1]]) for h, w in sizes]
    expected, _, expected_K = processor(images, None, K, process_res, method, sequential=True)
    tensor, scaled_K = ours(images, K, process_res, method)
    assert torch.equal(tensor, expected)
    assert torch.equal(scaled_K, expected_K)


def test_random_sizes(processor):
    rng = np.random.default_rng(1)
    for _ in range(40):
        sizes = rng.integers(60, 300, (rng.integers(1, 4), 2))
        images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
        K = [np.diag([100.0, 101, 1])] * len(images)
        process_res, method = int(rng.integers(80, 400)), METHODS[rng.integers(4)]
        expected, _, expected_K = processor(images, None, K, process_res, method, sequential=True)
        tensor, scaled_K = ours(images, K, process_res, method)
        assert torch.equal(tensor, expected), (sizes, process_res, method)
        assert torch.equal(scaled_K, expected_K)
