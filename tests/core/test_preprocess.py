import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.preprocess import (
    METHODS,
    PATCH,
    PreprocessError,
    centre_crop,
    common_size,
    crop_intrinsics,
    normalise,
    plan_resize,
    prepare_image,
    reference_first,
    relative_to_reference,
    scale_camera,
)

sides = st.integers(60, 700)


@pytest.mark.parametrize(
    "height, width, process_res, method, bounded, size",
    [
        (480, 640, 504, "upper_bound_resize", (378, 504), (378, 504)),
        (720, 1280, 504, "upper_bound_resize", (284, 504), (280, 504)),
        (1080, 1920, 504, "upper_bound_resize", (284, 504), (280, 504)),
        (480, 848, 504, "upper_bound_resize", (285, 504), (280, 504)),
        (376, 1241, 504, "upper_bound_resize", (153, 504), (154, 504)),
        (8, 8, 504, "upper_bound_resize", (504, 504), (504, 504)),
        (480, 640, 500, "upper_bound_resize", (375, 500), (378, 504)),
        (480, 640, 504, "upper_bound_crop", (378, 504), (378, 504)),
        (720, 1280, 504, "upper_bound_crop", (284, 504), (280, 504)),
        (480, 640, 504, "lower_bound_resize", (504, 672), (504, 672)),
        (720, 1280, 504, "lower_bound_crop", (504, 896), (504, 896)),
        (480, 848, 504, "lower_bound_crop", (504, 890), (504, 882)),
        (100, 203, 100, "lower_bound_resize", (100, 203), (98, 210)),  # 203 is a tie: up
        (100, 5, 200, "upper_bound_resize", (200, 10), (196, 14)),
    ],
)
def test_sizes(height, width, process_res, method, bounded, size):
    plan = plan_resize(height, width, process_res, method)
    assert (plan.bounded, plan.size) == (bounded, size)
    assert plan.image(np.zeros((height, width, 3), np.uint8)).shape == (*size, 3)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((1, 160, 504), "too narrow"),
        ((20, 640, 504 // 4), "too narrow"),
        ((480, 640, 0), "process_res is 0"),
        ((480, 640, 504, "stretch"), "'stretch', must be one of upper_bound_resize"),
        ((480, 640, 13, "upper_bound_crop"), "too narrow"),
    ],
)
def test_impossible_sizes_are_refused_in_words(arguments, words):
    with pytest.raises(PreprocessError, match=words):
        plan_resize(*arguments)


def test_normalise_has_the_bits_of_torchvision():
    """ToTensor and Normalize in their own arithmetic, for every byte value."""
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image[..., 1] = 255 - image[..., 1]
    tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = tensor.sub_(mean.view(3, 1, 1)).div_(deviation.view(3, 1, 1))
    assert torch.equal(normalise(image), expected)


def test_images_of_different_sizes_keep_their_middle():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*hw, 3), dtype=np.uint8) for hw in ((120, 160), (160, 120))]
    plans = [plan_resize(*i.shape[:2], 168) for i in images]
    size = common_size(plans)
    assert size == (126, 126)
    prepared = [prepare_image(i, p, size) for i, p in zip(images, plans)]
    assert torch.equal(prepared[0], normalise(plans[0].image(images[0])[:, 21:147]))
    assert torch.equal(prepared[1], normalise(plans[1].image(images[1])[21:147]))
    K = crop_intrinsics(np.diag([100.0, 100.0, 1.0]), plans[0].size, size)
    assert K[0, 2] == -21 and K[1, 2] == 0


@given(sides, sides, st.integers(100, 600), st.sampled_from(METHODS))
def test_api_intrinsics_keep_the_field_of_view(height, width, process_res, method):
    assume(min(height, width) * process_res >= PATCH * max(height, width))
    plan = plan_resize(height, width, process_res, method)
    K = np.array([[300.0, 0, width / 2], [0, 310.0, height / 2], [0, 0, 1]])
    scaled = plan.intrinsics(K)
    h, w = plan.bounded if plan.crops else plan.size
    assert scaled[0, 0] / w == pytest.approx(300 / width)
    assert scaled[1, 1] / h == pytest.approx(310 / height)
    # Both resizes and both crops are around the middle, to the odd pixel of a crop.
    assert scaled[:2, 2] == pytest.approx((plan.size[1] / 2, plan.size[0] / 2), abs=0.501)


@settings(max_examples=60)
@given(
    st.integers(120, 500),
    st.integers(120, 500),
    st.integers(112, 560),
    st.sampled_from(METHODS),
    st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)),
)
def test_the_camera_follows_the_pixels(height, width, process_res, method, point):
    """A blob drawn where a 3-D point projects is found where the network's camera sees it."""
    camera = CameraModel(
        width, height, np.array([[200.0, 0, width / 2], [0, 200, height / 2], [0, 0, 1]])
    )
    plan = plan_resize(height, width, process_res, method)
    size = (plan.size[0] // 2, plan.size[1]) if plan.size[0] > 280 else plan.size
    ray = np.array([*point, 1.0])
    expected = scale_camera(camera, plan, size).project(ray)[0]
    margin = 16 * max(plan.bounded[0] / height, 1) + 4
    assume(margin < expected[0] < size[1] - margin and margin < expected[1] < size[0] - margin)
    blob = draw_blob(camera.project(ray)[0], (height, width))
    seen = centre_crop(plan.image(blob), size)[..., 0].astype(float)
    v, u = np.mgrid[: size[0], : size[1]]
    found = np.array([(seen * u).sum(), (seen * v).sum()]) / seen.sum()
    assert found == pytest.approx(expected, abs=0.12)


def draw_blob(centre, size, sigma=4.0):
    v, u = np.mgrid[: size[0], : size[1]]
    blob = np.exp(-((u - centre[0]) ** 2 + (v - centre[1]) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(255 * blob).astype(np.uint8)[..., None], 3, axis=2)


def test_reference_first():
    assert reference_first(4, 2) == [2, 0, 1, 3]
    assert reference_first(1, 0) == [0]


def random_poses(rng, count, extent=1.0, origin=(0, 0, 0)):
    rotations = [cv2.Rodrigues(rng.normal(size=3))[0] for _ in range(count)]
    centres = rng.uniform(-extent, extent, (count, 3)) + origin
    return np.stack([poses.compose(R, t) for R, t in zip(rotations, centres)])


@given(st.integers(1, 9), st.floats(0.001, 50.0), st.integers(0, 1000))
def test_relative_poses(count, extent, seed):
    T_world_cam = random_poses(np.random.default_rng(seed), count, extent)
    K = np.tile(np.eye(3), (count, 1, 1))
    cameras, divisor = relative_to_reference(T_world_cam, K)
    assert cameras.T_cam_ref.shape == (1, count, 4, 4) and cameras.T_cam_ref.dtype == torch.float32
    assert torch.equal(cameras.T_cam_ref[0, 0], torch.eye(4))
    # Upstream's rule, in its own words: torch's (lower) median, clamped.
    distances = np.linalg.norm(T_world_cam[:, :3, 3] - T_world_cam[0, :3, 3], axis=1)
    expected = torch.from_numpy(distances).median().clamp(min=0.1).item()
    assert divisor == pytest.approx(expected, rel=1e-12)
    # Undone, the poses are the given ones.
    T_ref_cam = poses.inverse(cameras.T_cam_ref[0].double().numpy())
    T_ref_cam[:, :3, 3] *= divisor
    np.testing.assert_allclose(T_world_cam[0] @ T_ref_cam, T_world_cam, atol=1e-5 * max(1, extent))


def test_coordinates_of_a_continent_lose_nothing():
    rng = np.random.default_rng(1)
    near = random_poses(rng, 5)
    far = near.copy()
    far[:, :3, 3] += (32_500_000.0, 5_800_000.0, 300.0)
    K = np.tile(np.eye(3), (5, 1, 1))
    a, b = relative_to_reference(near, K), relative_to_reference(far, K)
    assert a[1] == pytest.approx(b[1], abs=1e-7)
    torch.testing.assert_close(a[0].T_cam_ref, b[0].T_cam_ref, rtol=0, atol=1e-6)


def test_a_given_divisor_replaces_the_median():
    T_world_cam = random_poses(np.random.default_rng(2), 4)
    K = np.tile(np.eye(3), (4, 1, 1))
    cameras, divisor = relative_to_reference(T_world_cam, K, divisor=3.0)
    assert divisor == 3.0
    lengths = cameras.T_cam_ref[0, :, :3, 3].norm(dim=1).numpy()
    given_lengths = np.linalg.norm(T_world_cam[:, :3, 3] - T_world_cam[0, :3, 3], axis=1)
    np.testing.assert_allclose(lengths, given_lengths / 3, rtol=1e-6)
