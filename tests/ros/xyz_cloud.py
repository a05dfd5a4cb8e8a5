"""Points as a lidar or a SLAM program sends them."""

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header


def xyz_cloud(header: Header, points: np.ndarray) -> PointCloud2:
    """points: (n, 3), m."""
    fields = [
        PointField(name=axis, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, axis in enumerate("xyz")
    ]
    kind = np.dtype([(axis, np.float32) for axis in "xyz"])
    packed = np.ascontiguousarray(points, np.float32).view(kind).ravel()
    return point_cloud2.create_cloud(header, fields, packed)
