from dataclasses import replace
from weakref import WeakSet

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import WindowConfig
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop
from da3_ros.core.sliding_window import SlidingWindow, Window

CAMERA = CameraModel(4, 3, np.array([[4.0, 0, 1.5], [0, 4, 1], [0, 0, 1]]))


def frame(t, x=0.0, yaw=0.0, camera_id="cam", pose=True):
    """A frame at t seconds, x metres along the way, turned by yaw."""
    T = poses.compose(cv2.Rodrigues(np.array([0, yaw, 0.0]))[0], np.array([x, 0, 0.0]))
    image = np.zeros((3, 4, 3), np.uint8)
    return Frame(camera_id, round(t * 1e9), image, CAMERA, T if pose else None)


def config(**values):
    gate = {"min_baseline": 0.1, "min_rotation": 0.2}
    return WindowConfig(**{"size": 3, "max_age": 10.0, "max_interval": 100.0, **gate, **values})


def stamps(window):
    return [f.stamp_ns / 1e9 for f in window.frames]


KEPT = None
"""What a step answers that keeps the frame and makes no window."""

# (what it shows, parameters, [(t, x, yaw) -> KEPT, a Drop, or the stamps of a window])
POLICY = [
    (
        "no window until it is full, then one per frame",
        {},
        [((0, 0, 0), KEPT), ((1, 1, 0), KEPT), ((2, 2, 0), [0, 1, 2]), ((3, 3, 0), [1, 2, 3])],
    ),
    (
        "the stride counts kept frames",
        {"stride": 2},
        [
            ((0, 0, 0), KEPT),
            ((1, 1, 0), KEPT),
            ((2, 2, 0), [0, 1, 2]),
            ((3, 3, 0), KEPT),
            ((3.5, 3, 0), Drop.NOT_MOVED),
            ((4, 4, 0), [2, 3, 4]),
        ],
    ),
    (
        "a stride as long as the window: no frame twice",
        {"size": 2, "stride": 2},
        [
            ((0, 0, 0), KEPT),
            ((1, 1, 0), [0, 1]),
            ((2, 2, 0), KEPT),
            ((3, 3, 0), [2, 3]),
        ],
    ),
    (
        "either baseline or rotation is enough",
        {"size": 2},
        [
            ((0, 0, 0), KEPT),
            ((1, 0.05, 0.1), Drop.NOT_MOVED),
            ((2, 0.05, 0.25), [0, 2]),
            ((3, 0.2, 0.25), [2, 3]),
        ],
    ),
    (
        "creeping adds up: the gate is against the last kept frame",
        {"size": 2},
        [
            ((0, 0.0, 0), KEPT),
            ((1, 0.06, 0), Drop.NOT_MOVED),
            ((2, 0.12, 0), [0, 2]),
            ((3, 0.18, 0), Drop.NOT_MOVED),
            ((4, 0.24, 0), [2, 4]),
        ],
    ),
    (
        "a gate of zero keeps everything, also at rest",
        {"size": 2, "min_baseline": 0.0},
        [((0, 0, 0), KEPT), ((1, 0, 0), [0, 1]), ((2, 0, 0), [1, 2])],
    ),
    (
        "repeated and late stamps are refused, also against refused frames",
        {"size": 2},
        [
            ((1, 0, 0), KEPT),
            ((1, 5, 0), Drop.DUPLICATE_STAMP),
            ((0.5, 5, 0), Drop.OUT_OF_ORDER),
            ((3, 0, 0), Drop.NOT_MOVED),
            ((2, 5, 0), Drop.OUT_OF_ORDER),
            ((4, 5, 0), [1, 4]),
        ],
    ),
    (
        "old frames leave; the window has to fill again",
        {"max_age": 2.0},
        [
            ((0, 0, 0), KEPT),
            ((1, 1, 0), KEPT),
            ((2, 2, 0), [0, 1, 2]),
            ((4, 3, 0), KEPT),
            ((4.5, 4, 0), KEPT),
            ((5, 5, 0), [4, 4.5, 5]),
        ],
    ),
    (
        "at rest a frame is kept now and then",
        {"size": 2, "max_interval": 2.0},
        [
            ((0, 0, 0), KEPT),
            ((1.9, 0, 0), Drop.NOT_MOVED),
            ((2, 0, 0), [0, 2]),
            ((3, 0, 0), Drop.NOT_MOVED),
            ((4, 0, 0), [2, 4]),
        ],
    ),
    ("a window of one frame", {"size": 1}, [((0, 0, 0), [0]), ((1, 1, 0), [1])]),
]


@pytest.mark.parametrize("parameters, steps", [p[1:] for p in POLICY], ids=[p[0] for p in POLICY])
def test_policy(parameters, steps):
    window = SlidingWindow(config(**parameters))
    for (t, x, yaw), expected in steps:
        step = window.push(frame(t, x, yaw))
        answer = stamps(step.window) if step.window else step.refused
        assert answer == expected, f"at {t} s"


@pytest.mark.parametrize(
    "size, reference, publish, index, views",
    [
        (1, "middle", "reference", 0, (0,)),
        (2, "middle", "reference", 1, (1,)),
        (3, "middle", "reference", 1, (1,)),
        (4, "middle", "reference", 2, (2,)),
        (4, "newest", "reference", 3, (3,)),
        (4, "first", "reference", 0, (0,)),
        (4, "middle", "newest", 2, (3,)),
        (4, "first", "all", 0, (0, 1, 2, 3)),
    ],
)
def test_reference_and_published_views(size, reference, publish, index, views):
    sliding = SlidingWindow(config(size=size, reference=reference, publish=publish))
    window = [sliding.push(frame(t, t)).window for t in range(size)][-1]
    assert (window.reference, window.views) == (index, views)


def test_frames_that_leave_are_named():
    sliding = SlidingWindow(config(size=2, max_age=2.0))
    left = [[f.stamp_ns / 1e9 for f in sliding.push(frame(t, t)).left] for t in (0, 1, 2, 9)]
    assert left == [[], [], [0], [1, 2]]


def test_clear_starts_from_nothing():
    sliding = SlidingWindow(config(size=2))
    sliding.push(frame(100, 0))
    sliding.clear()
    assert sliding.push(frame(1, 0)).refused is None  # neither late nor too near
    assert stamps(sliding.push(frame(2, 1)).window) == [1, 2]


def test_frames_without_pose_pass_the_gate():
    sliding = SlidingWindow(config(size=2))
    sliding.push(frame(0, pose=False))
    window = sliding.push(frame(1, pose=False)).window
    assert stamps(window) == [0, 1] and window.T_world_cam is None


def test_posed_and_unposed_frames_do_not_mix():
    sliding = SlidingWindow(config(size=2))
    sliding.push(frame(0))
    with pytest.raises(ValueError, match="with and without a pose"):
        sliding.push(frame(1, pose=False))


class TestRig:
    def test_instants_are_whole(self):
        """Size and stride count instants; the published view is the reference's instant."""
        sliding = SlidingWindow(config(size=2, reference="newest"))
        sliding.push(frame(0, 0, camera_id="front"), frame(0, 0, camera_id="left"))
        window = sliding.push(frame(1, 1, camera_id="front"), frame(1, 1, camera_id="left")).window
        assert [f.camera_id for f in window.frames] == ["front", "left", "front", "left"]
        assert stamps(window) == [0, 0, 1, 1]
        assert (window.reference, window.views) == (2, (2, 3))

    def test_one_moving_camera_keeps_the_instant(self):
        """A camera far from the turning point moves while the one in it only turns a little."""
        sliding = SlidingWindow(config(size=2))
        sliding.push(frame(0, 0, camera_id="hub"), frame(0, 2, camera_id="tip"))
        window = sliding.push(frame(1, 0, 0.1, "hub"), frame(1, 2.2, 0.1, "tip")).window
        assert stamps(window) == [0, 0, 1, 1]

    def test_a_dead_camera_leaves_and_the_others_go_on(self):
        sliding = SlidingWindow(config(size=2))
        sliding.push(frame(0, 0, camera_id="front"), frame(0, 0, camera_id="left"))
        windows = [sliding.push(frame(t, t, camera_id="front")).window for t in (1, 2)]
        assert [f.camera_id for f in windows[0].frames] == ["front", "left", "front"]
        assert [f.camera_id for f in windows[1].frames] == ["front", "front"]

    def test_cameras_out_of_step_are_ordered_by_stamp(self):
        sliding = SlidingWindow(config(size=2))
        sliding.push(frame(1.0, 0, camera_id="front"))
        window = sliding.push(frame(0.9, 0, camera_id="left")).window
        assert stamps(window) == [0.9, 1.0]


def published(publish, arrivals, **parameters):
    """Stamps that go out, window by window, of frames of two cameras (camera, seconds)."""
    sliding = SlidingWindow(config(publish=publish, **parameters))
    windows = [sliding.push(frame(t, t, camera_id=name)).window for name, t in arrivals]
    return [[round(w.frames[i].stamp_ns / 1e9, 3) for i in w.views] for w in windows if w]


class TestLateInstants:
    """A camera that was taken for silent sends again: its instants come behind newer ones."""

    IN_THE_MIDDLE = (("a", 1), ("a", 2), ("a", 4), ("b", 3), ("a", 5))
    TOO_OLD = (("a", 1), ("a", 2), ("a", 4), ("b", 0.5), ("a", 5))

    @pytest.mark.parametrize(
        "publish, expected",
        [
            ("all", [[1, 2, 4], [3], [5]]),
            ("reference", [[2], [3], [4]]),
            ("newest", [[4], [5]]),
        ],
    )
    def test_one_in_the_middle_goes_out_once_and_nothing_goes_out_again(self, publish, expected):
        assert published(publish, self.IN_THE_MIDDLE) == expected

    @pytest.mark.parametrize(
        "publish, expected",
        [("all", [[1, 2, 4], [5]]), ("reference", [[2], [4]]), ("newest", [[4], [5]])],
    )
    def test_one_older_than_the_window_makes_none(self, publish, expected):
        assert published(publish, self.TOO_OLD) == expected

    def test_one_that_was_not_to_be_kept_is_named(self):
        sliding = SlidingWindow(config(size=2))
        for t in (1, 2):
            sliding.push(frame(t, t))
        late = frame(0.5, 0.5, camera_id="late")
        assert sliding.push(late).left == (late,)

    def test_the_stride_counts_those_that_are_held(self):
        arrivals = [("a", 1), ("a", 2), ("a", 4), ("b", 0.5), ("a", 5), ("b", 4.5)]
        assert published("all", arrivals, stride=2) == [[1, 2, 4], [4.5, 5]]


@pytest.mark.parametrize(
    "frames, reference, views",
    [((), 0, (0,)), ((0,), 1, (0,)), ((0,), 0, ()), ((0,), 0, (-1,))],
)
def test_impossible_windows_are_refused(frames, reference, views):
    with pytest.raises(ValueError):
        Window(tuple(frame(t) for t in frames), reference, views)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.floats(0, 3), st.sampled_from("ab")), max_size=40),
    st.integers(1, 5),
    st.integers(1, 5),
    st.floats(0.5, 20),
    st.sampled_from(["middle", "newest", "first"]),
    st.sampled_from(["reference", "newest", "all"]),
)
def test_whatever_arrives_windows_are_sound(arrivals, size, stride, max_age, reference, publish):
    stride = min(stride, size)
    sliding = SlidingWindow(
        config(size=size, stride=stride, max_age=max_age, reference=reference, publish=publish)
    )
    held, new, shown = [], [], []
    for t, x, camera_id in arrivals:
        pushed = frame(t, x, camera_id=camera_id)
        step = sliding.push(pushed)
        if step.refused:
            assert step.window is None and not step.left
            continue
        held, new = ([f for f in [*fs, pushed] if f not in step.left] for fs in (held, new))
        assert len(held) <= size
        if step.window is None:
            late = publish != "all" and held[-1] is not max(held, key=lambda f: f.stamp_ns)
            assert len(held) < size or len(new) < stride or late
            continue
        assert len(new) >= stride and len(step.window.frames) == size
        assert set(step.window.frames) == set(held)
        assert stamps(step.window) == sorted(stamps(step.window))
        assert stamps(step.window)[-1] - stamps(step.window)[0] <= max_age
        assert list(step.window.views) == sorted(set(step.window.views))
        shown += [step.window.frames[i] for i in step.window.views]
        assert len(shown) == len(set(shown))  # nothing goes out twice
        if publish == "all":
            assert set(new) <= set(shown)
        new = []


def test_publishing_all_publishes_every_frame_once_and_in_order():
    window = SlidingWindow(config(size=3, stride=2, publish="all"))
    steps = [window.push(frame(t, t, 0)) for t in range(9)]
    published = [s.window.frames[v].stamp_ns for s in steps if s.window for v in s.window.views]
    assert published == [t * 1_000_000_000 for t in range(9)]


def test_pictures_that_left_are_held_by_nobody():
    window = SlidingWindow(config())
    held = WeakSet()
    for k in range(20):
        one = frame(k, x=k, camera_id=f"cam{k}")
        held.add(one)
        window.push(one)
    del one
    assert len(held) == 3


VECTOR = st.tuples(*3 * [st.floats(-3, 3)]).map(np.array)
POSE = st.builds(lambda turn, t: poses.compose(cv2.Rodrigues(turn)[0], t), VECTOR, VECTOR)


def corrected(k, T_world_odom, T_odom_cam, camera_id="cam"):
    """Frame k of a camera whose odometry SLAM has placed."""
    image = np.zeros((3, 4, 3), np.uint8)
    T_world_cam = T_world_odom @ T_odom_cam
    return Frame(camera_id, k, image, CAMERA, T_world_cam, T_world_odom=T_world_odom)


@given(st.lists(st.tuples(POSE, POSE, st.sampled_from("ab")), min_size=1, max_size=6))
def test_a_window_has_one_correction_and_the_newest_view_its_own_place(views):
    frames = tuple(corrected(k, *view) for k, view in enumerate(views))
    T = Window(frames, 0, (0,)).T_world_cam
    np.testing.assert_array_equal(T[-1], frames[-1].T_world_cam)
    for k, (_, T_odom_cam, _) in enumerate(views):
        np.testing.assert_allclose(T[k], views[-1][0] @ T_odom_cam, atol=1e-9)
    T = Window(frames[::-1], 0, (0,)).T_world_cam  # by stamp, whatever the order
    np.testing.assert_array_equal(T[0], frames[-1].T_world_cam)


@given(st.lists(POSE, min_size=1, max_size=6), POSE, st.integers(0, 6))
def test_poses_are_left_to_the_bit_where_nothing_is_corrected(places, C, count):
    frames = [corrected(k, C, T) for k, T in enumerate(places)]
    frames[:count] = [replace(f, T_world_odom=None) for f in frames[:count]]
    T = Window(tuple(frames), 0, (0,)).T_world_cam
    np.testing.assert_array_equal(T, [f.T_world_cam for f in frames])


def test_a_correction_is_no_motion_and_hides_none():
    sliding, shift = SlidingWindow(config(size=2)), frame(0, 0.5).T_world_cam
    still, moved = frame(0, 1).T_world_cam, frame(0, 1.5).T_world_cam
    assert sliding.push(corrected(0, np.eye(4), still)).refused is None
    assert sliding.push(corrected(1, shift, still)).refused is Drop.NOT_MOVED
    assert sliding.push(corrected(2, poses.inverse(shift), moved)).window is not None
