"""tf2's rules, checked on the tf2_py that is installed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transforms import SECOND, about_z, transform

from da3_ros.core import poses
from da3_ros.ros.inputs.tf_buffer import (
    BadTransform,
    TransformBuffer,
    TransformUnavailable,
    is_same_frame,
)


@pytest.fixture
def buffer():
    return TransformBuffer()


def yaw_matrix(yaw, xyz=(0, 0, 0)):
    c, s = math.cos(yaw), math.sin(yaw)
    return poses.compose(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.array(xyz))


def test_interpolates_linearly_and_by_slerp(buffer):
    buffer.insert(
        transform("odom", "base", 10 * SECOND, xyz=(1, 0, 0), q=about_z(0.2)), static=False
    )
    buffer.insert(
        transform("odom", "base", 11 * SECOND, xyz=(2, 4, 0), q=about_z(1.0)), static=False
    )
    T = buffer.lookup("odom", "base", 10 * SECOND + SECOND // 4)
    np.testing.assert_allclose(T, yaw_matrix(0.4, (1.25, 1, 0)), atol=1e-12)


def test_takes_the_short_way_round(buffer):
    near = transform("odom", "base", 10 * SECOND, q=about_z(0.2))
    far = transform("odom", "base", 11 * SECOND, q=about_z(0.4))
    q = far.transform.rotation
    q.z, q.w = -q.z, -q.w
    for msg in (near, far):
        buffer.insert(msg, static=False)
    T = buffer.lookup("odom", "base", 10 * SECOND + SECOND // 2)
    np.testing.assert_allclose(T, yaw_matrix(0.3), atol=1e-12)


def chain(buffer):
    """map -> odom -> base -> camera, and base -> lidar."""
    for stamp in (10 * SECOND, 12 * SECOND):
        buffer.insert(transform("map", "odom", stamp, xyz=(5, 0, 0), q=about_z(0.5)), static=False)
        buffer.insert(
            transform("odom", "base", stamp, xyz=(1, 2, 0), q=about_z(-0.3)), static=False
        )
    buffer.insert(transform("base", "camera", xyz=(0.1, 0, 0.4), q=about_z(0.7)), static=True)
    buffer.insert(transform("base", "lidar", xyz=(0, 0.2, 0.9), q=about_z(1.1)), static=True)


def test_chains_up_and_down_the_tree(buffer):
    chain(buffer)
    up = yaw_matrix(0.5, (5, 0, 0)) @ yaw_matrix(-0.3, (1, 2, 0)) @ yaw_matrix(0.7, (0.1, 0, 0.4))
    across = poses.inverse(yaw_matrix(1.1, (0, 0.2, 0.9))) @ yaw_matrix(0.7, (0.1, 0, 0.4))
    stamp = 11 * SECOND
    np.testing.assert_allclose(buffer.lookup("map", "camera", stamp), up, atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("camera", "map", stamp), poses.inverse(up), atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("lidar", "camera", stamp), across, atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("base", "base", stamp), np.eye(4), atol=1e-12)


def test_leading_slashes_are_dropped(buffer):
    buffer.insert(transform("/base", "/camera", xyz=(1, 0, 0)), static=True)
    assert buffer.lookup("base", "camera", SECOND)[0, 3] == 1


def test_edges_above_the_common_frame_are_not_needed(buffer):
    chain(buffer)
    late = 100 * SECOND
    assert buffer.lookup("lidar", "camera", late).shape == (4, 4)


@pytest.mark.parametrize(
    "target, source, stamp, cause",
    [
        ("odom", "nowhere", 11 * SECOND, TransformUnavailable.UNKNOWN),
        ("nowhere", "base", 11 * SECOND, TransformUnavailable.UNKNOWN),
        ("island", "base", 11 * SECOND, TransformUnavailable.UNCONNECTED),
        ("odom", "camera", 12 * SECOND + 1, TransformUnavailable.NOT_YET),
        ("odom", "camera", 10 * SECOND - 1, TransformUnavailable.TOO_OLD),
    ],
)
def test_unavailable_transforms_say_why(buffer, target, source, stamp, cause):
    chain(buffer)
    buffer.insert(transform("sea", "island"), static=True)
    with pytest.raises(TransformUnavailable) as caught:
        buffer.lookup(target, source, stamp)
    assert caught.value.cause == cause
    assert caught.value.may_come == (cause != TransformUnavailable.TOO_OLD)


@pytest.mark.parametrize("late_ms, cause", [(-250, "TOO_OLD"), (250, "NOT_YET")])
@pytest.mark.parametrize("count", [1, 3])
def test_says_by_how_much_the_time_is_missed(buffer, count, late_ms, cause):
    for k in range(count):
        buffer.insert(transform("odom", "base", 10 * SECOND + k), static=False)
    stamp = 10 * SECOND + late_ms * SECOND // 1000
    with pytest.raises(TransformUnavailable, match=r"transform odom -> base .* 0\.250 s") as caught:
        buffer.lookup("odom", "base", stamp)
    assert caught.value.cause == getattr(TransformUnavailable, cause)


def test_a_mount_sent_once_among_moving_transforms_is_named_as_what_it_is(buffer):
    """It has stamp 0, or its own: no time at which the way is known, so none is said."""
    for stamp in (10 * SECOND, 11 * SECOND):
        buffer.insert(transform("odom", "base", stamp), static=False)
    buffer.insert(transform("base", "camera", 0), static=False)
    with pytest.raises(TransformUnavailable, match="no stamps in common .* on /tf_static"):
        buffer.lookup("odom", "camera", 10 * SECOND + 7)


def test_one_sample_is_good_for_its_own_time_only(buffer):
    buffer.insert(transform("odom", "base", 10 * SECOND, xyz=(3, 0, 0)), static=False)
    assert buffer.lookup("odom", "base", 10 * SECOND)[0, 3] == 3
    with pytest.raises(TransformUnavailable):
        buffer.lookup("odom", "base", 10 * SECOND + 1)


def test_keeps_ten_seconds(buffer):
    for second in range(10, 31):
        buffer.insert(transform("odom", "base", second * SECOND, xyz=(second, 0, 0)), static=False)
    assert buffer.lookup("odom", "base", 20 * SECOND)[0, 3] == 20
    # tf2 may keep one sample more.
    with pytest.raises(TransformUnavailable) as caught:
        buffer.lookup("odom", "base", 18 * SECOND)
    assert caught.value.cause == TransformUnavailable.TOO_OLD


def test_late_samples_are_sorted_in_unless_older_than_the_cache(buffer):
    for second in (30, 20, 25, 19):
        buffer.insert(transform("odom", "base", second * SECOND, xyz=(second, 0, 0)), static=False)
    assert buffer.lookup("odom", "base", 22 * SECOND)[0, 3] == pytest.approx(22)
    with pytest.raises(TransformUnavailable):
        buffer.lookup("odom", "base", 19 * SECOND)


def test_the_later_of_two_samples_of_one_time_wins(buffer):
    for x in (1, 2):
        buffer.insert(transform("odom", "base", 10 * SECOND, xyz=(x, 0, 0)), static=False)
    assert buffer.lookup("odom", "base", 10 * SECOND)[0, 3] == 2


def test_a_frame_may_change_its_parent(buffer):
    buffer.insert(transform("world", "table"), static=True)
    buffer.insert(transform("world", "hand"), static=True)
    buffer.insert(transform("table", "cup", 10 * SECOND, xyz=(1, 0, 0)), static=False)
    buffer.insert(transform("hand", "cup", 12 * SECOND, xyz=(7, 0, 0)), static=False)
    assert buffer.lookup("table", "cup", 11 * SECOND)[0, 3] == 1
    assert buffer.lookup("hand", "cup", 12 * SECOND)[0, 3] == 7


def test_static_transforms_hold_always_and_are_replaced(buffer):
    for x in (1, 2):
        buffer.insert(transform("base", "camera", xyz=(x, 0, 0)), static=True)
    assert buffer.lookup("base", "camera", 10**18)[0, 3] == 2


def test_clear_forgets_all_but_static_transforms(buffer):
    chain(buffer)
    buffer.clear()
    assert buffer.lookup("base", "camera", SECOND).shape == (4, 4)
    with pytest.raises(TransformUnavailable):
        buffer.lookup("odom", "base", 11 * SECOND)
    buffer.insert(transform("odom", "base", SECOND, xyz=(9, 0, 0)), static=False)
    assert buffer.lookup("odom", "base", SECOND)[0, 3] == 9


def spoiled(field, value):
    msg = transform("odom", "base", 10 * SECOND)
    owner = msg.transform.rotation if field in ("qx", "qw") else msg.transform.translation
    setattr(owner, field[-1], value)
    return msg


@pytest.mark.parametrize(
    "msg, words",
    [
        (spoiled("x", math.nan), "odom -> base contains NaN"),
        (spoiled("z", math.inf), "NaN or infinity"),
        (spoiled("qw", math.nan), "NaN or infinity"),
        (spoiled("qw", 0.0), "quaternion of length 0"),
        (spoiled("qx", 0.3), "quaternion of length 1.04"),
        (transform("", "base"), "lacks a frame name"),
        (transform("odom", ""), "lacks a frame name"),
        (transform("base", "/base"), "its own parent"),
    ],
)
def test_bad_transforms_are_refused_and_harm_nothing(buffer, msg, words):
    buffer.insert(transform("odom", "base", 10 * SECOND, xyz=(1, 0, 0)), static=False)
    with pytest.raises(BadTransform, match=words):
        buffer.insert(msg, static=False)
    assert buffer.lookup("odom", "base", 10 * SECOND)[0, 3] == 1


def test_a_loop_of_frames_is_an_error_not_a_hang(buffer):
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a"), ("sea", "island")):
        buffer.insert(transform(parent, child), static=True)
    with pytest.raises(TransformUnavailable):
        buffer.lookup("island", "a", SECOND)


def test_random_trees_are_products_of_interpolated_edges(buffer):
    rng = np.random.default_rng(0)
    edges = {}
    for child in range(1, 8):
        parent, ends = int(rng.integers(0, child)), []
        for second in (10, 11):
            msg = transform(f"f{parent}", f"f{child}", second * SECOND, xyz=rng.normal(size=3))
            r, q = msg.transform.rotation, rng.normal(size=4)
            r.x, r.y, r.z, r.w = map(float, q / np.linalg.norm(q))
            buffer.insert(msg, static=False)
            t = msg.transform.translation
            ends.append(poses.from_quat_xyzw((r.x, r.y, r.z, r.w), (t.x, t.y, t.z)))
        edges[child] = parent, ends

    def in_root(frame, fraction):
        if frame == 0:
            return np.eye(4)
        parent, ends = edges[frame]
        return in_root(parent, fraction) @ poses.interpolate(*ends, fraction)

    for _ in range(200):
        (target, source), fraction = rng.integers(0, 8, 2), rng.uniform(0.01, 0.99)
        stamp = 10 * SECOND + round(fraction * SECOND)
        expected = poses.inverse(in_root(target, fraction)) @ in_root(source, fraction)
        found = buffer.lookup(f"f{target}", f"f{source}", stamp)
        np.testing.assert_allclose(found, expected, atol=1e-6)


unit = st.floats(-1, 1)


@settings(max_examples=100, deadline=None)
@given(
    quats=st.lists(st.tuples(unit, unit, unit, unit), min_size=2, max_size=2),
    fraction=st.floats(0.01, 0.99),
)
def test_slerp_agrees_with_the_pose_library(quats, fraction):
    quats = [np.array(q) for q in quats]
    if min(map(np.linalg.norm, quats)) < 0.1 or abs(quats[0] @ quats[1]) < 1e-3:
        return
    ours = TransformBuffer()
    ends = []
    for second, q in zip((10, 11), quats):
        q = q / np.linalg.norm(q)
        msg = transform("odom", "base", second * SECOND, xyz=(second, 0, 0))
        r = msg.transform.rotation
        r.x, r.y, r.z, r.w = map(float, q)
        ours.insert(msg, static=False)
        ends.append(poses.from_quat_xyzw(q, (second, 0, 0)))
    stamp = 10 * SECOND + round(fraction * SECOND)
    expected = poses.interpolate(*ends, (stamp - 10 * SECOND) / SECOND)
    np.testing.assert_allclose(ours.lookup("odom", "base", stamp), expected, atol=1e-7)


@pytest.mark.parametrize("a, b, same", [("/odom", "odom", True), ("odom", "map", False)])
def test_a_leading_slash_makes_no_other_frame(a, b, same):
    assert is_same_frame(a, b) is is_same_frame(b, a) is same
