"""Gaussians and features of a window: where its depth is, at its size, never beside another."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from plyfile import PlyData
from runner_bench import Bench
from true_network import CAMERA, path

from da3_ros.core import poses
from da3_ros.core.config import SceneConfig, from_dict
from da3_ros.core.export import ExportError
from da3_ros.core.export.running import Source, export_running, export_scene
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.scale.align import align_cameras
from da3_ros.core.scene.scene import Scene
from da3_ros.net.checkpoint import random_network
from da3_ros.net.presets import find_preset

PLACES = [(0.2 * k, 0.05 * k * k, 0.1) for k in range(3)]


@pytest.fixture(scope="module")
def network():
    """Any-view with Gaussians, each in the middle of its pixel's ray; random weights."""
    torch.manual_seed(0)
    preset = replace(find_preset("da3-demo"), gaussians=True)
    network = random_network(preset).requires_grad_(False)
    for p in network.gs_head.scratch.output_conv2.parameters():
        p.data.zero_()
    return network


HERE = np.eye(4)


def window_of(network, *, posed=True, world=HERE, **values):
    """Pipeline and result of three frames; network poses of random weights agree with nothing."""
    rng = np.random.default_rng(0)
    spine = Pipeline(
        network,
        from_dict({"model.process_res": 84, "window.size": 3, "scale.max_spread": 10.0, **values}),
    )
    frames = [
        Frame("cam", k, rng.integers(0, 256, (72, 96, 3), np.uint8), CAMERA, T if posed else None)
        for k, T in enumerate(world @ np.stack(path(PLACES)))
    ]
    (window,) = [s.window for s in map(spine.push, frames) if s.window]
    return spine, spine.process(window)


@pytest.mark.parametrize("posed", [True, False])
def test_depth_of_the_published_view_is_what_was_published(network, posed):
    spine, result = window_of(network, posed=posed)
    whole = spine.look_again(result, layers=(3, 5))
    (view,) = result.window.views
    np.testing.assert_allclose(whole.depth[view], result.depth[0], rtol=1e-4)
    np.testing.assert_allclose(whole.conf[view], result.conf[0], rtol=1e-4)
    np.testing.assert_array_equal(whole.processed_images[view], result.image(0))
    assert whole.is_metric == result.is_metric == posed and whole.depth.shape == (3, 70, 84)
    expected = result.window.T_world_cam if posed else result.T_world_cam
    np.testing.assert_allclose(whole.extrinsics, poses.inverse(expected)[:, :3])
    assert {name: x.shape[:3] for name, x in whole.aux.items()} == {
        "feat_layer_3": (3, 5, 6),
        "feat_layer_5": (3, 5, 6),
    }


@pytest.mark.parametrize("posed", [True, False])
def test_gaussians_lie_at_the_depth_of_their_views(network, posed):
    """As far from the camera that the network saw, placed in the world, as depth says."""
    world = poses.compose(path([(0, 0, 0)], [(0.3, 1.0, -0.5)])[0][:3, :3], [30.0, -7.0, 4.0])
    spine, result = window_of(network, posed=posed, world=world)
    found = spine.look_again(result, gaussians=True)
    means = found.gaussians.means[0].numpy().reshape(*found.depth.shape, 3)
    centres = result.T_world_cam[:, None, None, :3, 3]
    distance = np.linalg.norm(means - centres, axis=-1)
    np.testing.assert_allclose(distance, found.depth, rtol=2e-3)
    if posed:  # the network's poses come as near to the given ones as a similarity can
        given = result.window.T_world_cam
        assert align_cameras(result.T_world_cam, given).scale > 0
        assert np.linalg.norm(centres[result.window.reference].ravel() - given[1, :3, 3]) < 1.0


def test_gaussians_of_a_far_world_keep_their_millimetres(network):
    place = np.array([512345.37, 5404321.62, 431.18])
    means = []
    for world in (HERE, poses.compose(np.eye(3), place)):
        spine, result = window_of(network, world=world)
        means.append(spine.look_again(result, gaussians=True).gaussians.means.numpy())
    near, far = means
    assert near.dtype == np.float32 and far.dtype == np.float64
    np.testing.assert_allclose(far - place, near, rtol=0, atol=1e-4)


def test_exports_wait_for_the_window_in_the_network_and_have_its_size(network, tmp_path):
    bench = Bench(model__process_res=56)
    bench.network = bench.runner.network = network
    bench.runner._pipeline.network = network
    bench.aggregate = network.aggregate
    bench.results.wanted = False
    bench.drive(2)
    newest = bench.runner.newest()
    bench.results.wanted = True
    sizes, encode = [], network.encode
    try:
        network.encode = lambda images, *a, **k: (
            sizes.append(images.shape[-2:]) or encode(images, *a, **k)
        )
        bench.hold()
        bench.drive(2)
        assert bench.in_network.wait(20)
        written = []

        def export():
            written.extend(
                export_running(
                    "gs_ply-feat_vis",
                    tmp_path,
                    {"export_feat_layers": [3], "prune_border_gs": False},
                    Source(newest, None, bench.runner, "odom"),
                )
            )

        exporting = threading.Thread(target=export)
        exporting.start()
        exporting.join(0.5)
        assert exporting.is_alive() and written == []
        bench.release()
        exporting.join(60)
    finally:
        bench.release()
        del network.encode, network.aggregate
        assert bench.runner.stop(20)
    assert {str(p.relative_to(tmp_path)).split("/")[0] for p in written} == {"gs_ply", "feat_vis"}
    assert set(sizes) == {torch.Size((42, 56))}
    (ply,) = (p for p in written if p.suffix == ".ply")
    assert len(PlyData.read(ply)["vertex"]) > 0


def test_a_scale_that_nobody_knows_is_none_in_a_glb_file(network, tmp_path):
    """Without poses; JSON holds no NaN."""
    _, result = window_of(network, posed=False)
    source = Source(result, None, Bench(thread=False).runner, "odom")
    (file,) = export_running("glb", tmp_path, {}, source)
    extras = trimesh.load(file).metadata
    assert extras["metres_per_network_unit"] is None
    assert not extras["is_metric"] and extras["unit"] == "model"


def test_a_window_without_a_place_is_refused_with_the_reason(network, tmp_path):
    _, result = window_of(network, posed=False)
    nowhere = np.full_like(result.T_world_cam, np.nan)
    link = replace(result.link, broken="the network gave no finite poses and depth")
    lost = replace(result, placement=replace(result.placement, T_world_cam=nowhere, link=link))
    source = Source(lost, None, Bench(thread=False).runner, "odom")
    with pytest.raises(ExportError, match="no place in the world: the network gave no finite"):
        export_running("glb", tmp_path / "out", {}, source)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "formats, options, sentence",
    [
        ("gs_ply", {}, "needs Gaussians, but da3-demo has no Gaussian head: set model.name to"),
        ("feat_vis", {}, "'feat_vis' needs the option export_feat_layers"),
        ("feat_vis", {"export_feat_layers": [8]}, "holds 8, must be integers from 0 to 7"),
        ("feat_vis", {"export_feat_layers": ["x"]}, "export_feat_layers holds 'x'"),
    ],
)
def test_what_cannot_be_exported_is_said_before_the_network_runs(
    formats, options, sentence, tmp_path
):
    bench = Bench(thread=False)
    bench.drive(2)
    bench.fail()
    with pytest.raises((ExportError, ValueError), match=sentence):
        export_running(
            formats,
            tmp_path / "out",
            options,
            Source(bench.runner.newest(), None, bench.runner, "odom"),
        )
    assert not (tmp_path / "out").exists()


def test_a_scene_without_a_surface_says_why(tmp_path):
    with pytest.raises(ExportError, match="the scene is empty: it is fused of depth in metres"):
        export_scene("mesh_ply", tmp_path, Scene(SceneConfig()), {}, None)
