"""What da3_ros relies on of sensor_msgs_py; holds for ROS's own and for the one in pip/."""

import numpy as np
import pytest
from sensor_msgs.msg import PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

FIELDS = [
    PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name="intensity", offset=6, datatype=PointField.UINT16, count=1),
    PointField(name="t", offset=8, datatype=PointField.FLOAT64, count=1),
]


def some_points(dtype: np.dtype, count: int = 7) -> np.ndarray:
    points = np.zeros(count, dtype)
    for k, name in enumerate(dtype.names):
        points[name] = np.arange(count) * (k + 1)
    return points


def test_the_dtype_is_that_of_the_fields():
    dtype = point_cloud2.dtype_from_fields(FIELDS)
    assert (dtype.names, dtype.itemsize) == (("x", "intensity", "t"), 16)
    assert [dtype.fields[name][1] for name in dtype.names] == [0, 6, 8]
    assert dtype["intensity"] == np.uint16


def test_clouds_go_round():
    points = some_points(point_cloud2.dtype_from_fields(FIELDS))
    head = Header(frame_id="lidar")
    cloud = point_cloud2.create_cloud(head, FIELDS, points)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 7, 16, 112)
    assert cloud.header == head and list(cloud.fields) == FIELDS and not cloud.is_dense
    np.testing.assert_array_equal(point_cloud2.read_points(cloud), points)
    times = point_cloud2.read_points(cloud, ["t"])
    assert times.dtype.names == ("t",)
    np.testing.assert_array_equal(times["t"], points["t"])


def test_a_cloud_is_a_copy():
    points = some_points(point_cloud2.dtype_from_fields(FIELDS))
    cloud = point_cloud2.create_cloud(Header(), FIELDS, points)
    points["x"] = -1
    assert point_cloud2.read_points(cloud)["x"].min() == 0


def test_organised_clouds_are_read_in_rows():
    cloud = point_cloud2.create_cloud(
        Header(), FIELDS, some_points(point_cloud2.dtype_from_fields(FIELDS), 6)
    )
    cloud.height, cloud.width = 2, 3
    np.testing.assert_array_equal(point_cloud2.read_points(cloud)["x"], np.arange(6))


def test_other_byte_orders_are_read():
    dtype = point_cloud2.dtype_from_fields(FIELDS)
    points = some_points(dtype)
    cloud = point_cloud2.create_cloud(Header(), FIELDS, points)
    cloud.is_bigendian, cloud.data = True, points.byteswap().tobytes()
    np.testing.assert_array_equal(point_cloud2.read_points(cloud), points)


def test_points_of_another_dtype_are_refused():
    with pytest.raises(AssertionError):
        point_cloud2.create_cloud(Header(), FIELDS, np.zeros(3, [("x", "f4")]))
