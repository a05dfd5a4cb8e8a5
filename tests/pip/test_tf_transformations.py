"""What da3_ros relies on of tf_transformations; holds for ROS's own and for the one in pip/."""

import numpy as np
from tf_transformations import quaternion_from_matrix, quaternion_matrix


def by_definition(q) -> np.ndarray:
    """v -> q v q*, column by column."""
    u, w = np.array(q[:3]), q[3]
    columns = [v + 2 * np.cross(u, np.cross(u, v) + w * v) for v in np.eye(3)]
    return np.stack(columns, axis=1)


def random_quaternions(count: int):
    q = np.random.default_rng(1).normal(size=(count, 4))
    half_turns = np.eye(4)[:3]  # where naive formulas divide by zero
    return [*(q / np.linalg.norm(q, axis=1, keepdims=True)), *half_turns, (0, 0, 0, 1)]


def test_matrices_turn_vectors_as_the_quaternions_do():
    for q in random_quaternions(200):
        T = quaternion_matrix(q)
        np.testing.assert_allclose(T[:3, :3], by_definition(q), atol=1e-12)
        np.testing.assert_array_equal(T[3], (0, 0, 0, 1))
        np.testing.assert_array_equal(T[:3, 3], 0)


def test_quaternions_come_back():
    for q in random_quaternions(200):
        back = np.array(quaternion_from_matrix(quaternion_matrix(q)))
        assert abs(back @ q) > 1 - 1e-12 and back[3] >= -1e-9
