"""Encoding a frame once and decoding one view give what the full forward pass gives.

Up to rounding: a matrix product of another batch size, or on another number of threads, may add
in another order. That shows as a few units in the last place of fp32 (1.2e-7 each), ten times as
many in the small numbers of a pose. A view mistaken for another differs a thousand times more.
"""

import pytest
import torch
from small_networks import noise

from da3_ros.net.checkpoint import load_network, random_network
from da3_ros.net.network import EncodedViews
from da3_ros.net.presets import PRESETS, HeadConfig
from tools.upstream import random_cameras, reduced

SIZE = (42, 70)
VIEWS = 4

ROUNDING, POSE_ROUNDING = 2e-6, 2e-5
"""Largest difference relative to the largest value, of maps and tokens, and of camera poses."""


def assert_same(found, expected, tolerance=ROUNDING):
    difference = (found - expected).abs().max() / expected.abs().max()
    assert found.shape == expected.shape and difference <= tolerance


@pytest.fixture(scope="module", params=("da3-small", "da3-giant", "da3metric-large"))
def network(request):
    if request.param == "da3-small":
        return load_network(request.param)
    return random_network(reduced(request.param, 128, HeadConfig(32, (16, 24, 32, 48))))


@pytest.fixture(scope="module")
def images():
    return noise(VIEWS, SIZE, seed=3)


def encode_separately(network, images):
    return EncodedViews.stack([network.encode(images[:, i : i + 1]) for i in range(VIEWS)])


def cameras_for(network):
    return random_cameras(VIEWS, SIZE) if network.preset.any_view else None


@torch.inference_mode()
def test_a_frame_encodes_the_same_alone_and_in_a_window(network, images):
    together, separate = network.encode(images), encode_separately(network, images)
    assert_same(separate.tokens, together.tokens)
    assert_same(separate.class_tokens, together.class_tokens)


@pytest.mark.parametrize("posed", (True, False))
@pytest.mark.parametrize("view", range(VIEWS))
@torch.inference_mode()
def test_encode_once_and_decode_one_view(network, images, view, posed):
    cameras = cameras_for(network) if posed else None
    full = network(images, cameras, reference="middle")
    encoded = encode_separately(network, images)
    features = network.aggregate(encoded, cameras, reference="middle", views=[view])
    one = network.decode(features)
    assert_same(one.depth[:, 0], full.depth[:, view])
    if network.preset.any_view:
        assert_same(one.conf[:, 0], full.conf[:, view])
        assert_same(one.T_cam_ref, full.T_cam_ref, POSE_ROUNDING)
        assert_same(one.K, full.K)


@torch.inference_mode()
def test_another_view_is_far_beyond_rounding(network, images):
    depth = network(images, cameras_for(network), reference="middle").depth
    with pytest.raises(AssertionError):
        assert_same(depth[:, 0], depth[:, 1], 100 * ROUNDING)


@torch.inference_mode()
def test_views_keep_the_order_asked_for(network, images):
    full = network(images)
    features = network.aggregate(network.encode(images), views=[3, 1])
    assert_same(network.decode(features).depth, full.depth[:, [3, 1]])
    assert_same(network.decode(features, [1]).depth, full.depth[:, [1]])
    with pytest.raises(ValueError, match=r"views \[0\] were not asked for"):
        network.decode(features, [0])


@pytest.fixture(scope="module")
def small():
    return load_network("da3-small")


@torch.inference_mode()
def test_reading_rays_changes_nothing_else(small, images):
    features = small.aggregate(small.encode(images))
    with_rays, without = small.decode(features, rays=True), small.decode(features)
    assert_same(with_rays.depth, without.depth)
    assert with_rays.ray.shape == (1, VIEWS, 24, 40, 6) and without.ray is None
    assert (with_rays.ray_conf > 1).all() and (without.conf > 1).all()


@torch.no_grad()
def test_new_weights_are_seen_by_cached_embeddings(images):
    network = load_network("da3-small")
    before = network(images).depth
    network.backbone.pos_embed += 0.5
    assert not torch.equal(network(images).depth, before)


def test_bad_input_is_named():
    network = load_network("da3-small")
    with pytest.raises(ValueError, match="multiples of 14, got 70x97"):
        network.encode(torch.zeros(1, 1, 3, 70, 97))
    with pytest.raises(ValueError, match=r"layers \[12\] do not exist; da3-small has 0 to 11"):
        network(torch.zeros(1, 1, 3, 28, 28), feature_layers=[12])
    with pytest.raises(ValueError, match="unknown reference view strategy 'best'"):
        network(torch.zeros(1, 1, 3, 28, 28), reference="best")
    with pytest.raises(ValueError, match="no Gaussian head; use da3-giant"):
        network(torch.zeros(1, 1, 3, 28, 28), gaussians=True)
    with pytest.raises(ValueError, match="must have one size"):
        sizes = (28, 42)
        EncodedViews.stack([network.encode(torch.zeros(1, 1, 3, s, 28)) for s in sizes])


def test_presets_have_the_published_sizes():
    expected = {
        "da3-small": 34_299_463,
        "da3-base": 135_366_599,
        "da3-large": 410_941_767,
        "da3-giant": 1_355_674_125,
        "da3mono-large": 334_171_394,
        "da3metric-large": 334_171_394,
        "da3nested-giant-large": 1_689_845_519,
    }
    for name, parameters in expected.items():
        with torch.device("meta"):
            network = random_network(PRESETS[name])
        assert sum(p.numel() for p in network.parameters()) == parameters
