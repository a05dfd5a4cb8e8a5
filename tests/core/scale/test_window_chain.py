from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from true_network import CAMERA, TrueNetwork, frames_of, path, pipeline, results, room_depth

from da3_ros.core import poses
from da3_ros.core.scale.align import align_cameras
from da3_ros.core.scale.metric_scale import align_to_given, pose_residuals
from da3_ros.core.scale.window_chain import geometric_median
from da3_ros.net.checkpoint import random_network
from da3_ros.net.network import NetOutput
from da3_ros.net.presets import find_preset

COUNT = 53  # 50 windows of four


@dataclass
class UnsteadyNetwork(TrueNetwork):
    """The truth in another unit every window, more or less spoilt.

    rotation_noise: rad; translation_noise: share of the window's extent, both per view and
    window. depth_noise: per pixel, depth_bias: per map, both of the logarithm. wild: so many
    views per window are anywhere. silent: windows (by number) of which it says NaN.
    """

    rotation_noise: float = 0.0
    translation_noise: float = 0.0
    depth_noise: float = 0.0
    depth_bias: float = 0.0
    changes_unit: bool = True
    wild: int = 0
    silent: tuple = ()
    seed: int = 0
    depth_of: object = room_depth
    decoded: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def decode(self, features):
        numbers = [int(n) for n in features.levels[0].flatten()]
        T_world_cam = np.stack([self.T_world_cam[n] for n in numbers])
        unit = np.exp(self.rng.uniform(-3, 3)) if self.changes_unit else 1.0
        self.decoded.append(sorted(numbers[v] for v in features.views))
        camera = CAMERA.scaled(width=features.size[1], height=features.size[0])
        depth = np.stack([self.depth_of(T_world_cam[v], camera) for v in features.views])
        T_cam_ref = self._spoil(poses.inverse(T_world_cam) @ T_world_cam[0])
        T_cam_ref[:, :3, 3] *= unit
        if len(self.decoded) - 1 in self.silent:
            T_cam_ref *= np.nan
        return NetOutput(
            depth=torch.from_numpy(unit * self._spoil_depth(depth)).float()[None],
            conf=torch.full((1, *depth.shape), 2.0),
            T_cam_ref=torch.from_numpy(T_cam_ref[:, :3]).float()[None],
        )

    def _spoil(self, T_cam_ref):
        extent = np.linalg.norm(T_cam_ref[:, :3, 3], axis=1).max()
        noisy = []
        for T in T_cam_ref:
            turn = cv2.Rodrigues(self.rng.normal(size=3) * self.rotation_noise)[0]
            shift = self.rng.normal(size=3) * self.translation_noise * extent
            noisy.append(poses.compose(turn, shift) @ T)
        for i in self.rng.choice(len(noisy), self.wild, replace=False):
            R = cv2.Rodrigues(self.rng.normal(size=3))[0]
            noisy[i] = poses.compose(R, self.rng.normal(size=3))
        return np.stack(noisy)

    def _spoil_depth(self, depth):
        bias = self.rng.normal(size=(len(depth), 1, 1)) * self.depth_bias
        return depth * np.exp(bias + self.rng.normal(size=depth.shape) * self.depth_noise)


def steps(count=COUNT):
    return range(count)


MOTIONS = {
    "straight line": path([(0, 0, 0.05 * k - 1) for k in steps()], [(0, 0, 0)] * COUNT),
    "loop": path(
        [(np.cos(0.12 * k), 0.1 * np.sin(0.24 * k), np.sin(0.12 * k)) for k in steps()],
        [(0, -0.12 * k, 0) for k in steps()],
    ),
    "turn on the spot": path([(1, 0, 0)] * COUNT, [(0, 0.12 * k, 0) for k in steps()]),
    "standing still": path([(1, 0, 0)] * COUNT, [(0.1, 0.3, 0)] * COUNT),
    "drive, stop, turn, drive": path(
        [(0.1 * min(k, 20) + 0.1 * max(0, k - 40) - 2, 0, 0) for k in steps()],
        [(0, 0.06 * np.clip(k - 25, 0, 12), 0) for k in steps()],
    ),
}


def chained(T_world_cam, network=None, **values):
    """Results of the unposed frames, four per window."""
    network = network or UnsteadyNetwork(T_world_cam)
    spine = pipeline(network, **{"window.size": 4, **values})
    return results(spine, frames_of(T_world_cam, posed=False))


def trajectory(found, T_world_cam):
    """Poses of the published frames, as found and in truth, and their depth's unit."""
    views = [(r, m, i) for r in found for m, i in enumerate(r.window.views)]
    T_found = np.stack([r.T_world_cam[i] for r, _, i in views])
    numbers = [int(r.window.frames[i].image[0, 0, 0]) for r, _, i in views]
    units = [
        np.median(r.depth[m] / room_depth(T_world_cam[n], r.cameras[m]))
        for (r, m, _), n in zip(views, numbers)
    ]
    return T_found, np.stack([T_world_cam[n] for n in numbers]), np.array(units)


def assert_same_up_to_one_similarity(found, T_world_cam, atol):
    """One unit for depth and positions; the world is the first window's reference camera."""
    T_found, T_true, units = trajectory(found, T_world_cam)
    np.testing.assert_allclose(units, units[0], rtol=atol)
    first = found[0].window
    T_world_ref = T_world_cam[int(first.frames[first.reference].image[0, 0, 0])]
    expected = poses.inverse(T_world_ref) @ T_true
    expected[:, :3, 3] *= units[0]
    np.testing.assert_allclose(T_found[:, :3, :3], expected[:, :3, :3], atol=atol)
    np.testing.assert_allclose(
        T_found[:, :3, 3] / units[0], expected[:, :3, 3] / units[0], atol=atol
    )


NOISE = {
    "rotation_noise": np.radians(0.2),
    "translation_noise": 0.02,
    "depth_noise": 0.05,
    "depth_bias": 0.01,
}


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)
def test_fifty_windows_in_fifty_units_become_one(motion):
    found = chained(motion)
    assert len(found) == 50
    assert_same_up_to_one_similarity(found, motion, atol=1e-3)
    links = [r.link for r in found]
    assert [k.shared for k in links] == [0] + [3] * 49
    assert {k.segment for k in links} == {0} and not any(k.broken for k in links)
    assert all(k.scale.measured and k.scale.spread < 1e-4 for k in links[1:])
    assert not any(r.is_metric for r in found) and np.isnan(found[-1].scale.scale)


@pytest.mark.parametrize("size, stride", [(2, 1), (4, 1), (4, 2), (4, 3)])
@pytest.mark.parametrize("reference", ["first", "middle", "newest"])
@pytest.mark.parametrize("publish", ["reference", "newest", "all"])
def test_every_overlap_carries_the_scale(size, stride, reference, publish):
    """Also where the cameras stand still and only depth can tell."""
    motion = MOTIONS["standing still"][:13]
    network = UnsteadyNetwork(motion)
    values = {"window.size": size, "window.stride": stride, "window.publish": publish}
    values["window.reference"] = reference
    found = chained(motion, network, **values)
    assert_same_up_to_one_similarity(found, motion, atol=1e-4)
    assert all(r.link.scale.measured for r in found[1:])
    published = [len(r.window.views) for r in found]
    extra = np.array([len(d) for d in network.decoded]) - published
    assert extra.max() <= (2 if stride > 1 else 1)


def test_windows_skipped_by_a_busy_network_do_not_break_it():
    motion = MOTIONS["loop"]
    spine = pipeline(UnsteadyNetwork(motion), **{"window.size": 4})
    windows = [s.window for s in map(spine.push, frames_of(motion, posed=False)) if s.window]
    found = [spine.process(window) for window in windows[::3]]
    assert_same_up_to_one_similarity(found, motion, atol=1e-3)
    assert {r.link.shared for r in found[1:]} == {1}


class TestSpoiltPredictions:
    @pytest.mark.parametrize("name", ["straight line", "loop"])
    def test_one_wild_view_in_six(self, name):
        """It is wrong in its window, if published; the chain goes on as if it were not there."""
        motion = MOTIONS[name]
        found = chained(motion, UnsteadyNetwork(motion, wild=1), **{"window.size": 6})
        T_found, T_true, units = trajectory(found, motion)
        T_cam_chain = poses.inverse(T_found)[:, :3]
        off, _ = pose_residuals(align_to_given(T_cam_chain, T_true, 1 / units[0]), T_true)
        assert np.mean(off < 0.02) > 0.7
        np.testing.assert_allclose(units, units[0], rtol=1e-4)
        # Where it ends is where it is: not a trace of forty wild poses.
        last = np.flatnonzero(off < 0.02)[-1]
        assert last >= len(off) - 4

    def test_drift_of_a_lap_is_a_few_percent(self):
        """Each view 0.2 degrees and 2 % of the window's extent off, a map 1 %, a pixel 5 %."""
        motion = MOTIONS["loop"]
        off, turned = [], []
        for seed in range(3):
            network = UnsteadyNetwork(motion, **NOISE, seed=seed)
            T_found, T_true, units = trajectory(chained(motion, network), motion)
            T_found[:, :3, 3] /= units[0]
            T_end = poses.inverse(T_found[0]) @ T_found[-1]
            T_end_true = poses.inverse(T_true[0]) @ T_true[-1]
            off.append(np.linalg.norm(T_end[:3, 3] - T_end_true[:3, 3]))
            turned.append(poses.rotation_angle(T_end[:3, :3].T @ T_end_true[:3, :3]))
        lap = np.linalg.norm(np.diff(T_true[:, :3, 3], axis=0), axis=1).sum()
        assert np.mean(off) < 0.05 * lap
        assert np.degrees(np.mean(turned)) < 2.5

    def test_useless_depth_leaves_the_distances(self):
        motion = path([(0.3 * k - 4, 0.02 * k * k, 0.1 * k) for k in steps(24)])
        found = chained(motion, UnsteadyNetwork(motion, depth_noise=3.0))
        T_found, T_true, _ = trajectory(found, motion)
        similarity = align_cameras(T_found, T_true)
        np.testing.assert_allclose(similarity.apply(T_found[:, :3, 3]), T_true[:, :3, 3], atol=1e-2)
        assert all(r.link.scale.measured and r.link.scale.spread < 0.01 for r in found[1:])

    def test_nothing_to_measure_holds_the_scale_and_says_so(self):
        motion = MOTIONS["standing still"]
        network = UnsteadyNetwork(motion, depth_noise=3.0, changes_unit=False)
        found = chained(motion[:12], network, **{"scale.max_age": 5.0})
        scales = [r.link.scale for r in found]
        assert [s.age for s in scales] == [0, 1, 2, 3, 4, 5, 0, 1, 2]
        assert not any(s.measured for s in scales)
        assert [r.link.segment for r in found] == [0] * 6 + [1] * 3
        assert found[6].link.broken == "the scale between windows could not be measured for 6 s"

    def test_a_window_of_nan_is_stepped_over(self):
        motion = MOTIONS["loop"]
        found = chained(motion, UnsteadyNetwork(motion, silent=(9,)))
        lost = found[9:10]
        assert all(np.isnan(r.T_world_cam).all() and np.isnan(r.depth).all() for r in lost)
        assert all(r.link.broken == "the network gave no finite poses and depth" for r in lost)
        good = found[:9] + found[10:]
        assert_same_up_to_one_similarity(good, motion, atol=1e-3)
        assert {r.link.segment for r in good} == {0}

    def test_noise_shows_in_the_residuals(self):
        motion = MOTIONS["loop"]
        network = UnsteadyNetwork(motion, rotation_noise=0.01, depth_noise=0.1)
        links = [r.link for r in chained(motion, network)[1:]]
        assert 0.003 < np.median([k.rotation_residual for k in links]) < 0.03
        assert 0.05 < np.median([k.scale.spread for k in links]) < 0.2
        clean = [r.link for r in chained(motion)[1:]]
        assert max(k.rotation_residual for k in clean) < 1e-4

    def test_a_network_with_random_weights_gives_finite_poses(self):
        rng = np.random.default_rng(0)
        frames = [
            replace(f, image=rng.integers(0, 256, f.image.shape, dtype=np.uint8))
            for f in frames_of(MOTIONS["loop"][:7], posed=False)
        ]
        spine = pipeline(random_network(find_preset("da3-demo")), **{"window.size": 4})
        found = results(spine, frames)
        assert all(np.isfinite(r.T_world_cam).all() for r in found)
        assert [r.link.shared for r in found] == [0, 3, 3, 3]


class TestBreaks:
    def test_a_gap_begins_a_segment_and_says_so(self):
        motion = MOTIONS["loop"][:16]
        frames = frames_of(motion, posed=False)
        frames = frames[:8] + [replace(f, stamp_ns=f.stamp_ns + 10**12) for f in frames[8:]]
        spine = pipeline(UnsteadyNetwork(motion), **{"window.size": 4, "window.max_age": 100.0})
        found = results(spine, frames)
        assert [r.link.segment for r in found] == [0] * 5 + [1] * 5
        words = "the window shares no frame with the one before"
        assert [r.link.broken for r in found] == [""] * 5 + [words] + [""] * 4
        assert found[5].link.shared == 0
        for segment in (found[:5], found[5:]):
            assert_same_up_to_one_similarity(segment, motion, atol=1e-4)

    def test_clear_begins_a_segment_that_is_no_break(self):
        motion = MOTIONS["loop"][:8]
        spine = pipeline(UnsteadyNetwork(motion), **{"window.size": 4})
        before = results(spine, frames_of(motion[:4], posed=False))
        spine.clear()
        after = results(spine, frames_of(motion, posed=False)[4:])
        assert [r.link.segment for r in before + after] == [0, 1]
        assert after[0].link.broken == "" and after[0].link.shared == 0

    def test_frames_that_left_are_forgotten(self):
        motion = MOTIONS["loop"]
        spine = pipeline(UnsteadyNetwork(motion), **{"window.size": 4})
        frames = frames_of(motion, posed=False)
        while frames:
            step = spine.push(frames.pop(0))
            if step.window:
                spine.process(step.window)
            del step
            assert len(spine._chain._known) <= 4


def test_a_metric_network_keeps_its_metres():
    """Its scale is believed, nothing more is decoded; the poses are chained."""
    motion = MOTIONS["drive, stop, turn, drive"]
    preset = find_preset("da3nested-giant-large")
    network = UnsteadyNetwork(motion, changes_unit=False, preset=preset)
    found = chained(motion, network)
    _, _, units = trajectory(found, motion)
    np.testing.assert_allclose(units, 1.0, rtol=1e-4)
    assert_same_up_to_one_similarity(found, motion, atol=1e-3)
    assert all(r.is_metric and r.scale.scale == r.link.scale.scale == 1.0 for r in found)
    assert [len(d) for d in network.decoded] == [1] * 50


def test_given_poses_need_no_chain():
    motion = MOTIONS["loop"][:8]
    network = TrueNetwork(motion, 0.3)
    found = results(pipeline(network, **{"window.size": 4}), frames_of(motion))
    assert all(r.link is None for r in found)


@given(st.integers(1, 12), st.integers(0, 2**31), st.floats(1, 1e6))
def test_the_median_ignores_fewer_than_half(count, seed, far):
    rng = np.random.default_rng(seed)
    point = rng.normal(size=3)
    strays = point + rng.normal(size=((count - 1) // 2, 3)) * far
    points = np.concatenate([np.tile(point, (count - len(strays), 1)), strays])
    median = geometric_median(points, np.ones(count))
    np.testing.assert_allclose(median, point, atol=1e-3 * far)
