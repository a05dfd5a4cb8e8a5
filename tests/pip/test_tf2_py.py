"""What da3_ros relies on of tf2_py; holds for ROS's own and for the one in pip/."""

import numpy as np
import pytest
import tf2_py
from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time
from transforms import SECOND, transform

from da3_ros.core import poses


def at(stamp_ns: int) -> Time:
    return Time(nanoseconds=stamp_ns)


def matrix(msg: TransformStamped) -> np.ndarray:
    t, q = msg.transform.translation, msg.transform.rotation
    return poses.from_quat_xyzw((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))


def x_of(buffer, target, source, stamp_ns=0) -> float:
    return buffer.lookup_transform_core(target, source, at(stamp_ns)).transform.translation.x


@pytest.fixture
def buffer():
    return tf2_py.BufferCore()


def test_twelve_thousand_random_transforms(buffer):
    """A tree of 40 moving frames, each with 300 transforms: its products, interpolated."""
    rng = np.random.default_rng(3)
    parents = {child: int(rng.integers(0, child)) for child in range(1, 41)}
    times = np.arange(300) * (SECOND // 32) + SECOND
    q = rng.normal(size=(41, 300, 4))
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    t = rng.normal(size=(41, 300, 3)) * 10
    for k in rng.permutation(300):  # out of order
        for child, parent in parents.items():
            msg = transform(f"f{parent}", f"f{child}", int(times[k]), t[child, k], q[child, k])
            buffer.set_transform(msg, "test")

    def in_root(frame: int, k: int, share: float) -> np.ndarray:
        T = np.eye(4)
        while frame:
            before, after = (poses.from_quat_xyzw(q[frame, i], t[frame, i]) for i in (k, k + 1))
            T = poses.interpolate(before, after, share) @ T
            frame = parents[frame]
        return T

    for _ in range(250):
        (target, source), k = map(int, rng.integers(0, 41, 2)), int(rng.integers(0, 299))
        stamp = int(rng.integers(times[k], times[k + 1]))
        share = (stamp - int(times[k])) / int(times[k + 1] - times[k])
        truth = poses.inverse(in_root(target, k, share)) @ in_root(source, k, share)
        found = buffer.lookup_transform_core(f"f{target}", f"f{source}", at(stamp))
        np.testing.assert_allclose(matrix(found), truth, atol=1e-6)
        assert (found.header.frame_id, found.child_frame_id) == (f"f{target}", f"f{source}")


def test_time_zero_is_the_newest_that_all_know(buffer):
    for stamp, x in ((10, 1), (12, 3)):
        buffer.set_transform(transform("map", "odom", stamp * SECOND, (x, 0, 0)), "test")
    for stamp, x in ((10, 10), (11, 20), (14, 50)):
        buffer.set_transform(transform("odom", "base", stamp * SECOND, (x, 0, 0)), "test")
    buffer.set_transform_static(transform("base", "camera", 0, (0.5, 0, 0)), "test")
    assert buffer.get_latest_common_time("map", "camera").nanoseconds == 12 * SECOND
    found = buffer.lookup_transform_core("map", "camera", at(0))
    assert found.transform.translation.x == pytest.approx(3 + 30 + 0.5)
    assert (found.header.stamp.sec, found.header.stamp.nanosec) == (12, 0)
    assert x_of(buffer, "base", "camera") == 0.5
    assert buffer.get_latest_common_time("base", "camera").nanoseconds == 0


def test_times_may_be_messages(buffer):
    buffer.set_transform(transform("odom", "base", SECOND + 5, (1, 0, 0)), "test")
    found = buffer.lookup_transform_core("odom", "base", TimeMessage(sec=1, nanosec=5))
    assert found.transform.translation.x == 1


def test_of_static_and_moving_the_last_one_says_which_it_is(buffer):
    buffer.set_transform(transform("base", "arm", 10 * SECOND, (1, 0, 0)), "test")
    buffer.set_transform_static(transform("base", "arm", 0, (2, 0, 0)), "test")
    assert x_of(buffer, "base", "arm", 99 * SECOND) == 2
    buffer.set_transform(transform("base", "arm", 20 * SECOND, (3, 0, 0)), "test")
    assert x_of(buffer, "base", "arm", 20 * SECOND) == 3
    with pytest.raises(tf2_py.ExtrapolationException):
        x_of(buffer, "base", "arm", 99 * SECOND)


def test_clear_keeps_what_is_sent_only_once(buffer):
    buffer.set_transform_static(transform("base", "camera", 0, (2, 0, 0)), "test")
    buffer.set_transform(transform("odom", "base", 10 * SECOND, (1, 0, 0)), "test")
    buffer.clear()
    assert x_of(buffer, "base", "camera", 5 * SECOND) == 2
    with pytest.raises(tf2_py.ExtrapolationException):
        x_of(buffer, "odom", "base", 10 * SECOND)
    with pytest.raises(tf2_py.TransformException):
        buffer.get_latest_common_time("odom", "base")
    buffer.set_transform(transform("odom", "base", SECOND, (7, 0, 0)), "test")
    assert x_of(buffer, "odom", "camera", SECOND) == 9


@pytest.mark.parametrize(
    "target, source, stamp, kind",
    [
        ("odom", "nowhere", 10, tf2_py.LookupException),
        ("nowhere", "odom", 10, tf2_py.LookupException),
        ("", "odom", 10, tf2_py.InvalidArgumentException),
        ("/odom", "base", 10, tf2_py.InvalidArgumentException),
        ("island", "base", 10, tf2_py.ConnectivityException),
        ("odom", "base", 9, tf2_py.ExtrapolationException),
        ("odom", "base", 13, tf2_py.ExtrapolationException),
        ("base", "odom", 13, tf2_py.ExtrapolationException),
        ("a", "island", 10, tf2_py.LookupException),
    ],
)
def test_each_reason_has_its_exception(buffer, target, source, stamp, kind):
    for second in (10, 12):
        buffer.set_transform(transform("odom", "base", second * SECOND), "test")
    buffer.set_transform_static(transform("sea", "island"), "test")
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a")):  # a loop
        buffer.set_transform_static(transform(parent, child), "test")
    with pytest.raises(kind):
        buffer.lookup_transform_core(target, source, at(stamp * SECOND))
    assert not buffer.can_transform_core(target, source, at(stamp * SECOND))[0]
    assert issubclass(kind, tf2_py.TransformException)


def test_what_is_known_can_be_transformed(buffer):
    buffer.set_transform(transform("odom", "base", 10 * SECOND), "test")
    assert buffer.can_transform_core("odom", "base", at(10 * SECOND))[0]


def test_a_frame_is_itself_without_any_transform(buffer):
    np.testing.assert_array_equal(
        matrix(buffer.lookup_transform_core("nowhere", "nowhere", at(5))), np.eye(4)
    )


@pytest.mark.parametrize(
    "bad",
    [
        transform("odom", "base", 10 * SECOND, (np.nan, 0, 0)),
        transform("odom", "base", 10 * SECOND, q=(0, 0, 0, np.nan)),
        transform("odom", "base", 10 * SECOND, q=(0, 0, 0, 0)),
        transform("base", "base", 10 * SECOND),
        transform("", "base", 10 * SECOND),
        transform("odom", "", 10 * SECOND),
    ],
)
def test_bad_transforms_are_ignored(buffer, bad):
    buffer.set_transform(transform("odom", "base", 10 * SECOND, (4, 0, 0)), "test")
    buffer.set_transform(bad, "test")
    assert x_of(buffer, "odom", "base", 10 * SECOND) == 4


def test_a_product_beyond_all_numbers_is_no_error_here(buffer):
    """Whoever asks has to look at what comes."""
    for parent, child in (("a", "b"), ("b", "c")):
        buffer.set_transform_static(transform(parent, child, 0, (1.7e308, 0, 0)), "test")
    assert not np.isfinite(x_of(buffer, "a", "c", SECOND))
