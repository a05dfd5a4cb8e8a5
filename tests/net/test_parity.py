"""Our networks equal the published upstream package, number by number."""

import dataclasses

import pytest
import torch
from small_networks import noise

from da3_ros.net.checkpoint import load_checkpoint
from da3_ros.net.presets import PRESETS, HeadConfig
from da3_ros.net.ray_pose import pose_from_rays
from da3_ros.net.reference_view import STRATEGIES
from da3_ros.net.sky import is_sky
from tools import upstream

SIZE = (42, 70)
NARROW, NARROW_HEAD = 128, HeadConfig(32, (16, 24, 32, 48))
TRUE_SIZE = ("da3-small", "da3-base")
NAMES = [name for name in PRESETS if name != "da3-demo"]
ANY_VIEW = [name for name in NAMES if PRESETS[name].any_view]
FEATURES = (2, 9)


@pytest.fixture(scope="module", params=NAMES)
def pair(request, tmp_path_factory):
    """Upstream's network and ours with the same weights, passed through a checkpoint."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    width = () if name in TRUE_SIZE else (NARROW, NARROW_HEAD)
    theirs = upstream.randomise(upstream.build(name, *width))
    upstream.save_official(theirs, folder, name)
    preset = upstream.reduced(name, *width) if width else None
    return theirs, load_checkpoint(folder, preset=preset)


def both(pair, images, cameras=None, *, reference="saddle_balanced", layers=(), **options):
    theirs, ours = pair
    expected = upstream.run(theirs, images, cameras, reference=reference, layers=layers, **options)
    with torch.inference_mode():
        found = ours(
            images,
            cameras,
            reference=reference,
            feature_layers=layers,
            ray_pose=options.get("ray", False),
            gaussians=options.get("gs", False),
        )
    return expected, found


def images(views, seed=0):
    return noise(views, SIZE, seed)


def assert_equal(errors):
    assert errors and max(errors.values()) < upstream.TOLERANCE, errors


@pytest.mark.parametrize("views", (1, 2, 3, 5))
def test_without_poses(pair, views):
    gs = pair[1].preset.gaussians
    expected, found = both(pair, images(views), reference="first", layers=FEATURES, gs=gs)
    assert_equal(upstream.compare(expected, found))


@pytest.mark.parametrize("views", (1, 2, 3, 5))
def test_with_poses(pair, views):
    if not pair[1].preset.any_view:
        with pytest.raises(ValueError, match="takes no cameras"):
            pair[1](images(views), upstream.random_cameras(views, SIZE))
        return
    gs = pair[1].preset.gaussians
    cameras = upstream.random_cameras(views, SIZE)
    expected, found = both(pair, images(views), cameras, layers=FEATURES, gs=gs)
    assert_equal(upstream.compare(expected, found))


@pytest.mark.parametrize("pair", ANY_VIEW, indirect=True)
@pytest.mark.parametrize("views", (1, 2, 3, 5))
def test_rays_and_poses_from_them(pair, views):
    """Poses of random weights' rays are ill-conditioned; test_ray_pose.py has true rays."""
    theirs, ours = (getattr(network, "da3", network) for network in pair)
    with torch.inference_mode():
        levels, _ = theirs.backbone(images(views), ref_view_strategy="first")
        expected = theirs.head(levels, *SIZE, patch_start_idx=0)
        encoded = ours.encode(images(views))
        found = ours.decode(ours.aggregate(encoded, reference="first"), rays=True)
        posed = ours(images(views), reference="first", ray_pose=True)
    errors = {
        "ray": upstream.relative_error(found.ray, expected.ray),
        "ray_conf": upstream.relative_error(found.ray_conf, expected.ray_conf),
    }
    assert_equal(errors)
    T_cam_ref, K = pose_from_rays(found.ray, found.ray_conf, SIZE)
    assert torch.equal(posed.T_cam_ref, T_cam_ref) and torch.equal(posed.K, K)


@pytest.mark.parametrize("pair", ANY_VIEW, indirect=True)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("views", (3, 5))
def test_reference_strategies(pair, strategy, views):
    expected, found = both(pair, images(views, seed=7), reference=strategy)
    assert_equal(upstream.compare(expected, found))


@pytest.mark.parametrize("pair", ("da3-small",), indirect=True)
def test_two_windows_in_one_batch_have_their_own_references(pair):
    windows = torch.cat((images(4, seed=1), images(4, seed=5)))
    expected, found = both(pair, windows)
    assert_equal(upstream.compare(expected, found))


@pytest.mark.parametrize("pair", ("da3-small",), indirect=True)
def test_features_keep_the_input_order(pair):
    """Upstream returns those after the selection in the order of its reordered views."""
    expected, found = both(pair, images(5), reference="middle", layers=(9, 2))
    reordered = expected.aux.feat_layer_2  # upstream also swaps the names of unsorted layers
    assert upstream.relative_error(found.aux["feat_layer_9"][:, [2, 0, 1, 3, 4]], reordered) < 1e-5
    assert upstream.relative_error(found.aux["feat_layer_2"], expected.aux.feat_layer_9) < 1e-5


@pytest.mark.parametrize("pair", ("da3nested-giant-large",), indirect=True)
def test_nested_returns_sky_and_survives_a_picture_of_nothing_else(pair):
    _, ours = pair
    with torch.inference_mode():
        out = ours(images(2))
        bias = ours.da3_metric.head.scratch.sky_output_conv2[2].bias
        saved = bias.clone()
        bias += 100.0
        all_sky = ours(images(2))
        bias.copy_(saved)
    assert out.sky.shape == out.depth.shape and torch.isfinite(out.depth).all()
    assert is_sky(all_sky.sky).all()
    assert all_sky.depth.isnan().all(), "without a metric scale there is no depth"


@pytest.mark.parametrize("pair", ("da3-small",), indirect=True)
def test_more_views_than_one_chunk_of_the_head(pair):
    expected, found = both(pair, images(9), reference="first")
    assert_equal(upstream.compare(expected, found))


def test_reduced_presets_keep_the_wiring():
    for name in NAMES:
        small, full = upstream.reduced(name, NARROW, NARROW_HEAD), PRESETS[name]
        kept = dataclasses.replace(small.backbone, dim=0, heads=0)
        assert kept == dataclasses.replace(full.backbone, dim=0, heads=0)
