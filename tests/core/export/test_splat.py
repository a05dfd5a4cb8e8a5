"""The picture that Gaussian splats make."""

import sys

import numpy as np
import pytest
import torch
from small_scene import HEIGHT, WIDTH, prediction, random_gaussians

from da3_ros.core import poses
from da3_ros.core.export import splat
from da3_ros.core.gaussians import moved, unbatched
from da3_ros.core.scale.align import Similarity, to_camera_poses
from da3_ros.net.gaussians import Gaussians
from da3_ros.net.spherical_harmonics import basis

SMALL = (36, 48)


def camera(height, width):
    T = torch.from_numpy(poses.from_quat_xyzw([0.05, -0.08, 0.03, 0.995], [0.1, 0.0, 0.2])).float()
    K = torch.tensor([[40.0, 0, width / 2 + 1], [0, 42.0, height / 2 - 2], [0, 0, 1]])
    return T, K


def painted_by_hand(g, T, K, height, width):
    """The definition, pixel by pixel in float64: sort by depth, blend front to back."""
    g = Gaussians(**{k: v.double().numpy() for k, v in vars(g).items()})
    T, K = T.double().numpy(), K.double().numpy()
    image = np.zeros((height, width, 5))
    transmittance = np.ones((height, width))
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    centres = g.means @ T[:3, :3].T + T[:3, 3]
    eye = -T[:3, :3].T @ T[:3, 3]
    for i in np.argsort(centres[:, 2]):
        x, y, z = centres[i]
        if z < splat.NEAR:
            continue
        w, *xyz = g.rotations[i] / np.linalg.norm(g.rotations[i])
        R = poses.from_quat_xyzw([*xyz, w], np.zeros(3))[:3, :3]
        covariance = T[:3, :3] @ R @ np.diag(g.scales[i] ** 2) @ R.T @ T[:3, :3].T
        limits = [
            (K[a, 2] / K[a, a], (n - K[a, 2]) / K[a, a]) for a, n in ((0, width), (1, height))
        ]
        slack = [0.15 * n / K[a, a] for a, n in ((0, width), (1, height))]
        sx, sy = (np.clip(p / z, -lo - s, hi + s) for p, (lo, hi), s in zip((x, y), limits, slack))
        J = np.array([[K[0, 0] / z, 0, -K[0, 0] * sx / z], [0, K[1, 1] / z, -K[1, 1] * sy / z]])
        inverse = np.linalg.inv(J @ covariance @ J.T + 0.3 * np.eye(2))
        dx = np.stack([u - K[0, 0] * x / z - K[0, 2], v - K[1, 1] * y / z - K[1, 2]], axis=-1)
        alpha = g.opacities[i] * np.exp(-0.5 * np.einsum("hwi,ij,hwj->hw", dx, inverse, dx))
        alpha = np.minimum(alpha, 0.999)
        alpha[alpha < 1 / 255] = 0
        view = (g.means[i] - eye) / np.linalg.norm(g.means[i] - eye)
        shade = np.maximum(g.harmonics[i] @ basis(torch.from_numpy(view)).numpy() + 0.5, 0)
        weight = np.where(transmittance * (1 - alpha) > 1e-4, alpha * transmittance, 0)
        image += weight[..., None] * np.array([*shade, z, 1])
        transmittance *= 1 - alpha
    return image


@pytest.mark.parametrize(("height", "width"), [SMALL, (17, 33)])
def test_picture_follows_the_definition(height, width):
    gaussians, (T, K) = random_gaussians(), camera(height, width)
    picture = splat.render(gaussians, T, K, height, width)
    expected = painted_by_hand(gaussians, T, K, height, width)
    found = torch.cat([picture.rgb, picture.depth[..., None], picture.alpha[..., None]], dim=-1)
    # A splat may end at its box, where it is fainter than a grey level.
    assert np.abs(found.numpy() - expected).max() < 2 / 255
    assert np.abs(found.numpy() - expected).mean() < 1e-4


def test_nothing_in_view_is_black():
    gaussians, (T, K) = random_gaussians(3), camera(*SMALL)
    picture = splat.render(gaussians, T, K, *SMALL)
    assert picture.rgb.abs().max() == 0 and picture.expected_depth.abs().max() == 0


def test_one_splat_per_pixel_shows_the_image_and_depth_it_came_from():
    found = prediction(1, gaussians=True)
    T = torch.eye(4)
    T[:3] = torch.from_numpy(found.extrinsics[0])
    picture = splat.render(
        unbatched(found.gaussians), T, torch.from_numpy(found.intrinsics[0]), HEIGHT, WIDTH
    )
    middle = (slice(4, -4), slice(4, -4))
    error = np.abs(picture.rgb.numpy() - found.processed_images[0] / 255)[middle]
    assert np.median(error) < 0.02 and error.mean() < 0.05
    depth_error = np.abs(picture.expected_depth.numpy() - found.depth[0])[middle]
    assert np.median(depth_error) < 0.02


def test_a_moved_scene_looks_the_same_from_the_moved_camera():
    gaussians, (T, K) = random_gaussians(), camera(*SMALL)
    R = poses.from_quat_xyzw([0.5, -0.5, 0.5, 0.5], np.zeros(3))[:3, :3]
    similarity = Similarity(R, np.array([1.0, -2, 0.5]), 2.5)
    T_world_cam = to_camera_poses(T.numpy()[None])[0]
    T_moved = poses.compose(R @ T_world_cam[:3, :3], similarity.apply(T_world_cam[None, :3, 3])[0])
    T_moved = torch.from_numpy(poses.inverse(T_moved)).float()
    before = splat.render(gaussians, T, K, *SMALL)
    after = splat.render(moved(gaussians, similarity), T_moved, K, *SMALL)
    np.testing.assert_allclose(after.rgb, before.rgb, atol=5e-3)
    np.testing.assert_allclose(after.depth, 2.5 * before.depth, atol=2e-2)


@pytest.mark.parametrize("compiled", [None, 1])
def test_gsplat_without_its_kernels_is_not_used(tmp_path, monkeypatch, compiled):
    """As gsplat 1.5 is where there is no CUDA compiler: it can be imported, `_C` is None."""
    for module in [m for m in sys.modules if m.partition(".")[0] == "gsplat"]:
        monkeypatch.delitem(sys.modules, module)
    for package in ("gsplat", "gsplat/cuda"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "gsplat/cuda/_backend.py").write_text(f"_C = {compiled}")
    monkeypatch.syspath_prepend(tmp_path)
    assert splat.has_gsplat() == (compiled is not None)
    for module in ("gsplat.cuda._backend", "gsplat.cuda", "gsplat"):
        del sys.modules[module]


@pytest.mark.gpu
def test_gsplat_draws_the_same_picture():
    if not splat.has_gsplat():
        pytest.skip("an extra that a CUDA compiler has to build: pip install .[gs]")
    gaussians = Gaussians(**{k: v.cuda() for k, v in vars(random_gaussians(2000)).items()})
    T, K = (x.cuda() for x in camera(270, 480))
    K[:2, :2] *= 10
    (theirs,) = splat.render_gsplat(gaussians, T[None], K[None], 270, 480)
    ours = splat.render(gaussians, T, K, 270, 480)
    assert (ours.rgb - theirs.rgb).abs().mean() < 1e-3
    assert (ours.rgb - theirs.rgb).abs().max() < 2 / 255
    assert (ours.expected_depth - theirs.expected_depth).abs().median() < 1e-3


def test_gaussians_of_several_scenes_are_refused():
    gaussians = random_gaussians(4)
    batch = Gaussians(**{k: torch.stack([v, v]) for k, v in vars(gaussians).items()})
    with pytest.raises(ValueError, match="one scene, got 2"):
        unbatched(batch)
