"""Point clouds as structured arrays.

Names and arguments are those of sensor_msgs_py in ros2/common_interfaces, for clouds whose
fields have one number each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

TYPES = {
    PointField.INT8: np.int8,
    PointField.UINT8: np.uint8,
    PointField.INT16: np.int16,
    PointField.UINT16: np.uint16,
    PointField.INT32: np.int32,
    PointField.UINT32: np.uint32,
    PointField.FLOAT32: np.float32,
    PointField.FLOAT64: np.float64,
}


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype:
    """The structured dtype of one point; without `point_step` it ends with its last field."""
    fields = list(fields)
    assert all(field.count == 1 for field in fields), "fields of several numbers are not supported"
    layout = {
        "names": [field.name for field in fields],
        "formats": [TYPES[field.datatype] for field in fields],
        "offsets": [field.offset for field in fields],
    }
    return np.dtype(layout if point_step is None else {**layout, "itemsize": point_step})


def create_cloud(
    header: Header, fields: Iterable[PointField], points: np.ndarray, point_step: int | None = None
) -> PointCloud2:
    """The cloud of points (N,), a structured array of exactly the dtype of the fields."""
    fields = list(fields)
    assert points.ndim == 1, "points must be one row"
    assert points.dtype == dtype_from_fields(fields, point_step), "points are not as the fields say"
    step = points.dtype.itemsize
    cloud = PointCloud2(
        header=header,
        height=1,
        width=len(points),
        is_dense=False,
        is_bigendian=sys.byteorder == "big",
        fields=fields,
        point_step=step,
        row_step=step * len(points),
    )
    cloud.data.frombytes(np.ascontiguousarray(points).view(np.uint8))  # the setter copies twice
    return cloud


def read_points(cloud: PointCloud2, field_names: list[str] | None = None) -> np.ndarray:
    """All points (height * width,) as a structured array, in the machine's byte order."""
    dtype = dtype_from_fields(cloud.fields, cloud.point_step)
    points = np.ndarray(cloud.width * cloud.height, dtype, cloud.data)
    if cloud.is_bigendian != (sys.byteorder == "big"):
        points = points.byteswap()
    return points if field_names is None else points[list(field_names)]
