import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from da3_ros.core import poses
from da3_ros.core.poses import PoseError

coordinate = st.floats(-1e6, 1e6)
vectors = st.tuples(coordinate, coordinate, coordinate).map(np.array)


@st.composite
def quaternions(draw):
    q = np.array(draw(st.tuples(*[st.floats(-1, 1)] * 4)))
    assume(np.linalg.norm(q) > 1e-3)
    return q / np.linalg.norm(q)


@st.composite
def transforms(draw):
    return poses.from_quat_xyzw(draw(quaternions()), draw(vectors))


@given(transforms())
def test_inverse_undoes(T):
    size = 1 + np.abs(T[:3, 3]).max()
    np.testing.assert_allclose(poses.inverse(T) @ T, np.eye(4), atol=1e-12 * size)
    np.testing.assert_allclose(T @ poses.inverse(T), np.eye(4), atol=1e-12 * size)


@given(transforms(), transforms())
def test_inverse_of_many_at_once(A, B):
    both = poses.inverse(np.stack([A, B]))
    np.testing.assert_array_equal(both[0], poses.inverse(A))
    np.testing.assert_array_equal(both[1], poses.inverse(B))


@given(quaternions())
def test_quaternions_go_round(q):
    back = poses.to_quat_xyzw(poses.from_quat_xyzw(q, np.zeros(3))[:3, :3])
    assert back[3] >= 0
    assert abs(back @ q) == pytest.approx(1, abs=1e-12)


@given(quaternions(), vectors)
def test_agrees_with_scipy(q, t):
    T = poses.from_quat_xyzw(q, t)
    np.testing.assert_allclose(T[:3, :3], Rotation.from_quat(q).as_matrix(), atol=1e-12)
    assert poses.rotation_angle(T[:3, :3]) == pytest.approx(
        Rotation.from_quat(q).magnitude(), abs=1e-7
    )


@given(transforms(), transforms(), st.floats(0, 1))
def test_interpolation_is_slerp_and_lerp(A, B, fraction):
    T = poses.interpolate(A, B, fraction)
    R_ab = A[:3, :3].T @ B[:3, :3]
    # Half a turn has two shortest ways.
    assume(poses.rotation_angle(R_ab) < np.pi - 1e-3)
    slerp = Slerp([0, 1], Rotation.from_matrix(np.stack([A[:3, :3], B[:3, :3]])))
    np.testing.assert_allclose(T[:3, :3], slerp(fraction).as_matrix(), atol=1e-6)
    np.testing.assert_allclose(
        T[:3, 3], (1 - fraction) * A[:3, 3] + fraction * B[:3, 3], rtol=1e-12, atol=1e-9
    )


@given(transforms(), st.integers(0, 2**31))
def test_rounded_rotations_become_exact(T, seed):
    """A TF quaternion in float32 is off by 1e-7; the matrix that leaves is orthonormal."""
    noisy = T.copy()
    noisy[:3, :3] += np.random.default_rng(seed).uniform(-1e-4, 1e-4, (3, 3))
    R = poses.rigid(noisy)[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(R, T[:3, :3], atol=1e-3)
    np.testing.assert_array_equal(poses.rigid(T[:3])[:3, 3], T[:3, 3])


def test_small_angles_do_not_vanish():
    for angle in (1e-9, 1e-5, 0.1, 3.1, np.pi):
        R = Rotation.from_rotvec([0, angle, 0]).as_matrix()
        assert poses.rotation_angle(R) == pytest.approx(angle, rel=1e-6)


@pytest.mark.parametrize(
    "T, words",
    [
        (np.eye(3), r"expected shape \(4, 4\)"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.diag([1.0, 1, 1, 2]), "last row"),
        (np.diag([1.01, 1, 1, 1]), "not orthonormal"),
        (np.diag([1.0, 1, -1, 1]), "reflection"),
    ],
)
def test_what_is_no_pose_is_refused_by_name(T, words):
    with pytest.raises(PoseError, match=f"T_odom_cam: .*{words}"):
        poses.rigid(T, "T_odom_cam")


@pytest.mark.parametrize(
    "q, t, words",
    [
        ((0, 0, 0, 0), (0, 0, 0), "length is 0"),
        ((0, 0, 0, 1.1), (0, 0, 0), "length is 1.1"),
        ((0, 0, 0, 1), (0, np.inf, 0), "infinity"),
    ],
)
def test_bad_quaternions_are_refused(q, t, words):
    with pytest.raises(PoseError, match=words):
        poses.from_quat_xyzw(q, t)


@pytest.mark.parametrize("far", [1.1e12, 1e300, -1e15])
def test_positions_beyond_all_digits_are_refused(far):
    T = np.eye(4)
    T[1, 3] = far
    with pytest.raises(PoseError, match=r"lies .* m from the origin, must be within 1e\+12 m"):
        poses.rigid(T)
