"""The part of ROS 2's tf_transformations that da3_ros uses, for environments of pip: it has none.

Names and arguments are those of DLu/tf_transformations; quaternions are (x, y, z, w).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def quaternion_matrix(quaternion) -> np.ndarray:
    """(4, 4) matrix of a rotation."""
    matrix = np.identity(4)
    matrix[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    return matrix


def quaternion_from_matrix(matrix) -> tuple[float, float, float, float]:
    """Quaternion, w >= 0, of the rotation in a (4, 4) matrix."""
    return tuple(Rotation.from_matrix(np.asarray(matrix)[:3, :3]).as_quat(canonical=True))
