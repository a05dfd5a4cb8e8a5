"""From frames to metric depth in the world: by a network whose answers are known, by real ones."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from true_network import (
    CAMERA,
    MOTIONS,
    RESOLUTION,
    OneViewNetwork,
    TrueNetwork,
    frames_of,
    path,
    pipeline,
    results,
    room_depth,
)

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.depth_view import DepthView
from da3_ros.core.frame import Frame
from da3_ros.core.network_input import WindowInput
from da3_ros.core.preprocess import normalise, plan_resize, prepare_image
from da3_ros.net.checkpoint import load_network, random_network
from da3_ros.net.precision import pack_weights, set_precision
from da3_ros.net.presets import find_preset
from tools.training.kitchen import kitchen_windows


def assert_true(result, rtol=1e-4):
    for m, frame in enumerate(result.frames):
        expected = room_depth(frame.T_world_cam, result.cameras[m])
        np.testing.assert_allclose(result.depth[m], expected, rtol=rtol)


@pytest.mark.parametrize("positions", MOTIONS.values(), ids=MOTIONS)
@pytest.mark.parametrize("reference", ["first", "middle", "newest"])
@pytest.mark.parametrize("units, follows_input", [(0.03, True), (11.0, True), (0.7, False)])
def test_depth_is_in_metres_whatever_the_networks_unit(positions, reference, units, follows_input):
    T_world_cam = path(positions)
    network = TrueNetwork(T_world_cam, units, follows_input)
    spine = pipeline(
        network,
        **{"window.size": len(positions), "window.reference": reference, "window.publish": "all"},
    )
    (result,) = results(spine, frames_of(T_world_cam))
    assert result.is_metric and result.scale.measured
    assert_true(result)
    # Every pose in its place although the network saw the reference first.
    np.testing.assert_allclose(result.T_world_cam, T_world_cam, atol=1e-4)
    np.testing.assert_allclose(result.position_residuals, 0, atol=1e-4)
    np.testing.assert_allclose(result.rotation_residuals, 0, atol=1e-4)


def test_the_network_sees_the_reference_first():
    T_world_cam = path(MOTIONS["curve"])
    network = TrueNetwork(T_world_cam)
    results(pipeline(network, **{"window.size": 4}), frames_of(T_world_cam))
    order = [2, 0, 1, 3]
    T_ref_cam = poses.inverse(network.cameras.T_cam_ref[0].double().numpy())
    expected = poses.inverse(T_world_cam[2]) @ np.stack(T_world_cam)[order]
    np.testing.assert_allclose(T_ref_cam[:, :3, :3], expected[:, :3, :3], atol=1e-6)
    distances = np.linalg.norm(expected[:, :3, 3], axis=1)
    np.testing.assert_allclose(
        np.linalg.norm(T_ref_cam[:, :3, 3], axis=1), distances / np.sort(distances)[1], rtol=1e-5
    )
    np.testing.assert_allclose(
        network.cameras.K[0, 0], CAMERA.scaled(width=84, height=70).K, rtol=1e-6
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_standing_still_without_any_scale_is_unknown(count):
    T_world_cam = path([(1, 0, 0)] * count, [(0, 0.4 * k, 0) for k in range(count)])
    spine = pipeline(TrueNetwork(T_world_cam, 0.2), **{"window.size": count})
    (result,) = results(spine, frames_of(T_world_cam))
    assert np.isnan(result.depth).all() and np.isnan(result.scale.scale)
    assert np.isnan(DepthView(result, 0, spine.config.output).depth).all()
    np.testing.assert_allclose(result.rotation_residuals, 0, atol=1e-4)


@pytest.mark.parametrize("follows_input", [True, False])
def test_a_turn_on_the_spot_after_a_drive_stays_in_metres(follows_input):
    """0.6 m steps, then pure rotation, then shaking by millimetres: one scale throughout."""
    drive = [(0.6 * k, 0, 0) for k in range(5)]
    turn = [drive[-1]] * 5
    shake = [(drive[-1][0], 0.004 * k, 0) for k in range(5)]
    T_world_cam = path(drive + turn + shake)
    network = TrueNetwork(T_world_cam, 0.25, follows_input)
    spine = pipeline(network, **{"window.size": 3})
    found = results(spine, frames_of(T_world_cam))
    for result in found:
        assert_true(result)
    assert found[0].scale.measured and not found[-1].scale.measured
    assert found[-1].scale.age == pytest.approx(9.0)


def test_a_held_scale_that_is_too_old_is_unknown():
    T_world_cam = path([(0, 0, 0), (1, 0, 0)] + [(1, 0, 0)] * 5)
    spine = pipeline(
        TrueNetwork(T_world_cam, 0.5, False), **{"window.size": 2, "scale.max_age": 3.0}
    )
    found = results(spine, frames_of(T_world_cam))
    assert [bool(np.isfinite(r.depth).all()) for r in found] == [True] * 4 + [False] * 2


@settings(max_examples=40)
@given(
    st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=1, max_size=6),
    st.floats(1e-3, 1e3),
    st.booleans(),
)
def test_metres_are_right_or_unknown(positions, units, follows_input):
    T_world_cam = path(positions)
    spine = pipeline(
        TrueNetwork(T_world_cam, units, follows_input),
        **{"window.size": len(positions), "window.publish": "all"},
    )
    (result,) = results(spine, frames_of(T_world_cam))
    if result.scale.measured:
        assert_true(result, rtol=1e-3)
    else:
        assert np.isnan(result.depth).all()


class TestEncodings:
    def test_each_frame_is_encoded_once(self):
        T_world_cam = path([(0.2 * k, 0, 0) for k in range(9)])
        network = TrueNetwork(T_world_cam)
        spine = pipeline(network, **{"window.size": 4})
        assert len(results(spine, frames_of(T_world_cam))) == 6
        assert sorted(network.encoded) == list(range(9))

    def test_they_go_with_their_frames(self):
        T_world_cam = path([(0.2 * k, 0, 0) for k in range(9)])
        spine = pipeline(TrueNetwork(T_world_cam), **{"window.size": 4})
        frames = frames_of(T_world_cam)
        while frames:
            step = spine.push(frames.pop(0))
            if step.window:
                spine.process(step.window)
            del step
            assert len(spine._encoded) <= 4
        spine.clear()
        assert len(spine._encoded) == 0

    def test_a_real_network_gives_the_numbers_of_the_full_pass(self):
        """Window after window, middle reference, one view: as if computed from scratch."""
        network = random_network(find_preset("da3-demo"))
        T_world_cam = path([(0.2 * k, 0.05 * k * k, 0) for k in range(4)])
        rng = np.random.default_rng(0)
        frames = [
            Frame("cam", k, rng.integers(0, 256, (72, 96, 3), dtype=np.uint8), CAMERA, T)
            for k, T in enumerate(T_world_cam)
        ]
        # Random poses disagree; without a scale the comparison would be of NaN.
        spine = pipeline(network, **{"window.size": 3, "scale.max_spread": 10.0})
        result = [spine.process(s.window) for s in map(spine.push, frames) if s.window][-1]
        plan = plan_resize(72, 96, RESOLUTION)
        order = [2, 1, 3]
        images = torch.stack([prepare_image(frames[i].image, plan, plan.size) for i in order])
        cameras = spine._poses(WindowInput.of(result.window, RESOLUTION), result.window)[0]
        with torch.inference_mode():
            full = network(images[None], cameras, reference="first")
        expected = full.depth[0, :1].numpy() * np.float32(result.scale.scale)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(result.depth, expected, rtol=1e-6)
        np.testing.assert_allclose(result.conf, full.conf[0, :1].numpy(), rtol=1e-6)


class TestOtherNetworks:
    def test_without_poses_the_unit_stays_and_is_said(self):
        T_world_cam = path(MOTIONS["curve"])
        spine = pipeline(
            TrueNetwork(T_world_cam, 7.0), **{"window.size": 4, "window.publish": "all"}
        )
        (result,) = results(spine, frames_of(T_world_cam, posed=False))
        assert not result.is_metric and np.isnan(result.scale.scale)
        assert result.position_residuals is None and result.window.T_world_cam is None
        for m in range(4):
            expected = 7 * room_depth(T_world_cam[m], result.cameras[m])
            np.testing.assert_allclose(result.depth[m], expected, rtol=1e-4)
        # The world is the reference camera, in the network's unit.
        expected = poses.inverse(T_world_cam[2]) @ np.stack(T_world_cam)
        expected[:, :3, 3] *= 7
        np.testing.assert_allclose(result.T_world_cam, expected, atol=1e-4)
        # Limits in metres do not touch what is not in metres.
        assert np.isfinite(DepthView(result, 0, spine.config.output).depth).all()

    @pytest.mark.parametrize("posed", [True, False])
    def test_a_metric_one_view_network_needs_no_poses(self, posed):
        """Depth times the mean focal length in network pixels over 300."""
        T_world_cam = path([(0, 0, 0)])
        preset = find_preset("da3metric-large")
        camera = CAMERA.scaled(width=84, height=70)
        units = 300 / ((camera.K[0, 0] + camera.K[1, 1]) / 2)
        network = OneViewNetwork(T_world_cam, units, preset=preset)
        spine = pipeline(network, **{"window.size": 1})
        (result,) = results(spine, frames_of(T_world_cam, posed))
        assert result.is_metric and result.scale.scale == 1.0 and not result.scale.measured
        assert network.cameras is None and result.T_world_cam is None
        expected = room_depth(T_world_cam[0], result.cameras[0])
        np.testing.assert_allclose(result.depth[0], expected, rtol=1e-4)

    def test_a_relative_one_view_network_knows_no_metres(self):
        T_world_cam = path(MOTIONS["two views"])
        network = OneViewNetwork(T_world_cam, preset=find_preset("da3mono-large"))
        spine = pipeline(network, **{"window.size": 2})
        (posed,) = results(spine, frames_of(T_world_cam))
        assert np.isnan(posed.depth).all()
        spine.clear()
        (unposed,) = results(spine, frames_of(T_world_cam, posed=False))
        assert np.isfinite(unposed.depth).all() and not unposed.is_metric
        assert unposed.to_prediction().extrinsics is None

    def test_the_nested_network_is_believed_until_poses_know_better(self):
        """It says 5 % too much: at rest that is all there is, a drive measures it."""
        T_world_cam = path([(0, 0, 0)] * 3 + [(0.5, 0, 0), (1, 0, 0)])
        preset = find_preset("da3nested-giant-large")
        network = TrueNetwork(T_world_cam, 1.05, follows_input=False, preset=preset)
        found = results(pipeline(network, **{"window.size": 3}), frames_of(T_world_cam))
        assert (found[0].scale.scale, found[0].scale.measured) == (1.0, False)
        assert_true(found[0], rtol=0.06)
        assert found[-1].scale.measured
        assert_true(found[-1])


def test_clear_forgets_frames_and_scale():
    T_world_cam = path([(0, 0, 0), (1, 0, 0), (1, 0, 0), (1, 0, 0)])
    spine = pipeline(TrueNetwork(T_world_cam, 0.5), **{"window.size": 2})
    frames = frames_of(T_world_cam)
    (known,) = results(spine, frames[:2])
    spine.clear()
    (unknown,) = results(spine, frames[2:])
    assert np.isfinite(known.depth).all() and np.isnan(unknown.depth).all()


def test_the_drone_at_rest_publishes_no_metres(shared_data):
    """Real images and poses, 1.5 cm of path, a network with random weights."""
    folder = shared_data / "euroc_v101_micro"
    K = np.loadtxt(folder / "intrinsics.txt")
    stamps = np.loadtxt(folder / "timestamps_ns.txt", dtype=np.int64, usecols=-1)
    network = random_network(find_preset("da3-demo"))
    spine = pipeline(network, **{"window.size": 4, "window.stride": 3})
    found = []
    for name, stamp in zip(sorted(p.stem for p in (folder / "rgb").glob("*.png")), stamps):
        image = cv2.imread(str(folder / f"rgb/{name}.png"))[..., ::-1]
        T = np.loadtxt(folder / f"pose/{name}.txt")
        camera = CameraModel(image.shape[1], image.shape[0], K)
        found += results(spine, [Frame("left", int(stamp), image, camera, T)])
    assert len(found) == 3
    assert all(np.isnan(r.depth).all() and not r.scale.measured for r in found)


def test_normalised_colors_number_the_frames():
    """What the network of these tests relies on."""
    image = np.full((14, 14, 3), 7, np.uint8)
    value = normalise(image)[0].mean().item() * 0.229 * 255 + 0.485 * 255
    assert value == pytest.approx(7, abs=1e-3)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_bf16_keeps_the_metres_of_the_kitchen(shared_data, device):
    """The bound stated in docs/speed.md, on trained weights and real pictures."""
    windows = kitchen_windows(4, 24, 126, 168, gap=4)
    networks = [load_network("da3-demo"), load_network("da3-demo")]
    set_precision(networks[1].to(device), "bf16")
    pack_weights(networks[1])
    errors = []
    for window in range(len(windows)):
        images, T, K = windows.images[window], windows.T_world_cam[window], windows.K[window]
        frames = [
            Frame("cam", i, images[i].numpy(), CameraModel(168, 126, K[i].numpy()), T[i].numpy())
            for i in range(4)
        ]
        # However much the poses disagree: with and without bf16 they do so alike.
        values = {"model.process_res": 168, "scale.max_spread": 10.0}
        exact, lowered = (results(pipeline(n, **values), frames)[0].depth for n in networks)
        errors.append(np.abs(lowered / exact - 1))
    assert 0 < np.mean(errors) < 0.003 and np.max(errors) < 0.02
