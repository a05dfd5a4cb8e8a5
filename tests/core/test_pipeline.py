from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import SceneConfig, from_dict
from da3_ros.core.depth_view import DepthView, fuse
from da3_ros.core.frame import Frame
from da3_ros.core.network_input import WindowInput
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.preprocess import normalise, plan_resize, prepare_image
from da3_ros.core.scene.scene import Scene
from da3_ros.net.checkpoint import load_network, random_network
from da3_ros.net.network import EncodedViews, Features, NetOutput
from da3_ros.net.precision import pack_weights, set_precision
from da3_ros.net.presets import find_preset
from tools.training.kitchen import kitchen_windows

CAMERA = CameraModel(96, 72, np.array([[80.0, 0, 47.5], [0, 80, 35.5], [0, 0, 1]]))
RESOLUTION = 84  # 96x72 -> 84x63 -> 84x70: two resizes, fx unlike fy

ROOM = np.array([[-6.0, -1.5, -6], [6, 1.5, 6]])
"""Opposite corners of an empty room, metres; cameras move near its middle."""


def room_depth(T_world_cam, camera):
    """True depth (h, w) of the room's walls."""
    rays = camera.rays() @ T_world_cam[:3, :3].T
    with np.errstate(divide="ignore"):
        walls = (ROOM[:, None, None] - T_world_cam[:3, 3]) / rays
    return np.where(walls > 0, walls, np.inf).min(axis=(0, 3))


@dataclass
class TrueNetwork:
    """Says the truth about the room, in units that nobody is told.

    A frame is recognised by its color, which numbers it. units: network units per metre,
    of the metre that its input was normalised to (`follows_input`) or of the true one.
    """

    T_world_cam: list
    units: float = 1.0
    follows_input: bool = True
    preset: object = field(default_factory=lambda: find_preset("da3-small"))
    encoded: list = field(default_factory=list)
    cameras: object = None
    last_divisor: float = 1.0

    def parameters(self):
        return iter([torch.zeros(1)])

    def encode(self, images):
        numbers = (images[0, :, 0].mean(dim=(1, 2)) * 0.229 * 255 + 0.485 * 255 + 0.5).int()
        self.encoded += numbers.tolist()
        tokens = numbers.float()[None, :, None, None]
        return EncodedViews(tokens, tokens[..., 0], tuple(images.shape[-2:]))

    def aggregate(self, encoded, cameras=None, *, reference="saddle_balanced", views=None):
        assert reference == "first"
        self.cameras = cameras
        return Features((encoded.tokens,), None, tuple(views), encoded.size, {})

    def decode(self, features):
        T_world_cam = np.stack([self.T_world_cam[int(n)] for n in features.levels[0].flatten()])
        units = self.units / self._divisor(T_world_cam) if self.follows_input else self.units
        height, width = features.size
        camera = CAMERA.scaled(width=width, height=height)
        depth = np.stack([room_depth(T_world_cam[v], camera) for v in features.views])
        T_cam_ref = poses.inverse(T_world_cam) @ T_world_cam[0]
        T_cam_ref[:, :3, 3] *= units
        return NetOutput(
            depth=torch.from_numpy(depth * units).float()[None],
            conf=torch.full((1, *depth.shape), 2.0),
            T_cam_ref=torch.from_numpy(T_cam_ref[:, :3]).float()[None],
        )

    def _divisor(self, T_world_cam):
        """Metres of one unit of the input; where it shows no distance, as before."""
        if self.cameras is None:
            return 1.0
        true = np.linalg.norm(T_world_cam[:, :3, 3] - T_world_cam[0, :3, 3], axis=1)
        seen = poses.inverse(self.cameras.T_cam_ref[0].double().numpy())[:, :3, 3]
        seen = np.linalg.norm(seen, axis=1)
        if seen.max() > 0:
            self.last_divisor = true.max() / seen.max()
        return self.last_divisor


class OneViewNetwork(TrueNetwork):
    """Depth and sky of single images, no poses."""

    def decode(self, features):
        out = super().decode(features)
        return NetOutput(depth=out.depth, sky=torch.zeros_like(out.depth))


def frames_of(T_world_cam, posed=True, camera_id="cam"):
    return [
        Frame(
            camera_id,
            k * 1_000_000_000,
            np.full((72, 96, 3), k, np.uint8),
            CAMERA,
            T if posed else None,
        )
        for k, T in enumerate(T_world_cam)
    ]


def path(positions, turns=None):
    turns = turns or [(0, 0.1 * k, 0.05) for k in range(len(positions))]
    return [
        poses.compose(cv2.Rodrigues(np.array(r, float))[0], np.array(p, float))
        for p, r in zip(positions, turns)
    ]


def pipeline(network, **values):
    ungated = {"window.min_baseline": 0.0, "window.max_age": 1000.0}
    return Pipeline(network, from_dict({"model.process_res": RESOLUTION, **ungated, **values}))


def results(spine, frames):
    steps = [spine.push(f) for f in frames]
    return [spine.process(s.window) for s in steps if s.window]


def assert_true(result, rtol=1e-4):
    for m, frame in enumerate(result.frames):
        expected = room_depth(frame.T_world_cam, result.cameras[m])
        np.testing.assert_allclose(result.depth[m], expected, rtol=rtol)


MOTIONS = {
    "two views": [(0, 0, 0), (0.4, 0, 0.1)],
    "straight line": [(0, 0, 0.2 * k) for k in range(4)],
    "curve": [(0.3 * k, 0.1 * k * k, 0.2) for k in range(4)],
    "back and forth": [(0, 0, 0), (0.5, 0, 0), (0, 0, 0)],
}


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


class TestViews:
    def test_camera_size_and_network_size(self):
        T_world_cam = path(MOTIONS["curve"])
        spine = pipeline(TrueNetwork(T_world_cam, 0.5), **{"window.size": 4})
        (result,) = results(spine, frames_of(T_world_cam))
        shown = DepthView(result, 0, spine.config.output)
        assert shown.frame is result.window.frames[2] and shown.image is shown.frame.image
        assert shown.depth.shape == shown.conf.shape == (72, 96) and shown.camera is CAMERA
        true = room_depth(T_world_cam[2], CAMERA)
        np.testing.assert_allclose(shown.depth, true, rtol=0.03)
        assert np.median(np.abs(shown.depth / true - 1)) < 1e-4
        spine.configure(from_dict({"output.size": "network"}))
        small = DepthView(result, 0, spine.config.output)
        assert small.depth.shape == small.image.shape[:2] == (70, 84)
        np.testing.assert_array_equal(small.depth, result.depth[0])
        assert (small.image == 2).all()

    @pytest.mark.parametrize("size", ["camera", "network"])
    def test_flying_points_are_left_out_of_the_cloud_and_stay_in_the_depth(self, size):
        """A board stands before the walls; its edge hangs between, three pixels wide."""
        T_world_cam = path(MOTIONS["curve"])
        spine = pipeline(TrueNetwork(T_world_cam, 0.5), **{"window.size": 4})
        (result,) = results(spine, frames_of(T_world_cam))
        inverse = 1 / result.depth
        inverse[0, :, :40] = 1.0
        inverse[0, :, 38:41] = inverse[0, :, 42:43] + np.array([0.8, 0.5, 0.2]) * (
            1 - inverse[0, :, 42:43]
        )
        result = replace(result, depth=1 / inverse)
        shown = DepthView(result, 0, from_dict({"output.size": size}).output)
        assert np.isfinite(shown.depth).all()
        left_out = np.isnan(shown.cloud_depth)
        np.testing.assert_array_equal(shown.cloud_depth[~left_out], shown.depth[~left_out])
        columns = np.flatnonzero(left_out.mean(axis=0) > 0.9)
        assert len(columns) >= 3 and set(np.diff(columns)) == {1}
        assert left_out.mean() < 1.5 * len(columns) / left_out.shape[1]
        everything = from_dict({"output.size": size, "output.cloud_filter": 0.0}).output
        assert np.isfinite(DepthView(result, 0, everything).cloud_depth).all()

    def test_output_limits_apply(self):
        T_world_cam = path(MOTIONS["curve"])
        spine = pipeline(
            TrueNetwork(T_world_cam, 0.5), **{"window.size": 4, "output.max_depth": 4.0}
        )
        (result,) = results(spine, frames_of(T_world_cam))
        depth = DepthView(result, 0, spine.config.output).depth
        assert np.isposinf(depth).any() and 3 < depth[np.isfinite(depth)].max() <= 4

    def test_exports_get_the_world_frame(self):
        T_world_cam = path(MOTIONS["curve"])
        spine = pipeline(
            TrueNetwork(T_world_cam, 0.5), **{"window.size": 4, "window.publish": "all"}
        )
        (result,) = results(spine, frames_of(T_world_cam))
        prediction = result.to_prediction()
        assert prediction.is_metric and prediction.extrinsics.shape == (4, 3, 4)
        # Every pixel, taken to the world by what the export sees, is on a wall of the room.
        for depth, E, K in zip(prediction.depth, prediction.extrinsics, prediction.intrinsics):
            points = CameraModel(84, 70, K).rays() * depth[..., None]
            world = (points - E[:, 3]) @ E[:, :3]
            to_wall = np.abs(world[None] - ROOM[:, None, None]).min(axis=(0, 3))
            assert to_wall.max() < 1e-3
        assert prediction.processed_images.shape == (4, 70, 84, 3)
        assert [int(i.mean()) for i in prediction.processed_images] == [0, 1, 2, 3]

    def test_a_rig_of_unlike_cameras_shares_the_middle(self):
        """A wide and a tall picture: the network sees what both have; the rest is unknown."""
        T_world_cam = path(MOTIONS["two views"])
        network = TrueNetwork(T_world_cam, 0.5)
        wide = frames_of(T_world_cam)[0]
        tall = Frame(
            "tall",
            wide.stamp_ns,
            np.full((96, 72, 3), 1, np.uint8),
            CameraModel(72, 96, np.array([[80.0, 0, 35.5], [0, 80, 47.5], [0, 0, 1]])),
            T_world_cam[1],
        )
        spine = pipeline(network, **{"window.size": 1, "window.publish": "all"})
        result = spine.process(spine.push(wide, tall).window)
        assert result.depth.shape == (2, 70, 70)
        shown = DepthView(result, 1, spine.config.output)
        assert shown.depth.shape == (96, 72)
        assert np.isnan(shown.depth[:5]).all() and np.isfinite(shown.depth[48]).all()


@pytest.mark.parametrize("size", ["camera", "network"])
def test_pixels_that_the_lens_never_saw_have_no_depth_and_stay_out_of_the_map(size):
    T_world_cam = path([(0, 0, 0), (0.5, 0, 0), (1, 0, 0.2)])
    seen = np.ones((72, 96), bool)
    seen[:10] = seen[:, 80:] = False
    frames = [replace(f, seen=seen) for f in frames_of(T_world_cam)]
    spine = pipeline(TrueNetwork(T_world_cam), **{"window.size": 3, "window.publish": "all"})
    (result,) = results(spine, frames)
    shown = DepthView(result, 0, from_dict({"output.size": size}).output)
    known = np.isfinite(shown.depth)
    if size == "camera":  # all unseen pixels, and at most the row beside them
        assert not known[~seen].any() and known[11:, :79].all()
    else:
        np.testing.assert_array_equal(known, np.isfinite(result.depth[0]))
        assert 0.65 < known.mean() < seen.mean()
    scene = Scene(SceneConfig(voxel_size=0.1, max_range=20.0))
    fuse(result, scene, from_dict({}).output)
    points, _ = scene.cloud()
    # Every point of the map is one that some frame's lens saw.
    visible = np.zeros(len(points), bool)
    for frame in frames:
        T_cam_world = poses.inverse(frame.T_world_cam)
        u, v = np.round(CAMERA.project(points @ T_cam_world[:3, :3].T + T_cam_world[:3, 3])).T
        inside = (u >= 0) & (v >= 0) & (u < 96) & (v < 72)
        visible[inside] |= seen[v[inside].astype(int), u[inside].astype(int)]
    assert len(points) > 1000 and visible.mean() > 0.99
    assert np.isfinite(result.to_prediction().depth).mean() == np.isfinite(result.depth).mean()


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
