"""Messages to the core's types and back. Nothing here waits, looks up or publishes.

Messages hold copies of the pixels and points given to them.
"""

from __future__ import annotations

import struct

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import (
    Point,
    Pose,
    PoseStamped,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header
from tf_transformations import quaternion_from_matrix, quaternion_matrix

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel, check_plausible
from da3_ros.core.far_world import float32_origin
from da3_ros.core.point_cloud import FAR_POINT, POINT
from da3_ros.ros.depth_images import to_millimetres
from da3_ros.ros.images import BRIDGE, LARGEST_PICTURE

STRAIGHT_WHEN_ZERO = ("none", "plumb_bob", "rational_polynomial")
"""Lens models whose coefficients of zero (or none at all) leave a pinhole."""

FIELDS = [
    PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=1)
    for name, offset in (("x", 0), ("y", 4), ("z", 8), ("rgb", 16))
]
"""Of a cloud of `point_cloud.POINT`; by convention the four bytes of a color are a float32."""

CONFIDENCE = PointField(name="confidence", offset=20, datatype=PointField.FLOAT32, count=1)

PADDED = [*FIELDS, PointField(name="padding", offset=28, datatype=PointField.FLOAT32, count=1)]
"""The same up to the last byte of a point: Humble's create_cloud takes no point_step."""

FAR_FIELDS = [
    *(
        PointField(name=name, offset=offset, datatype=PointField.FLOAT64, count=1)
        for name, offset in (("x", 0), ("y", 8), ("z", 16))
    ),
    PointField(name="rgb", offset=24, datatype=PointField.FLOAT32, count=1),
]
"""Of a cloud of `point_cloud.FAR_POINT`."""

FAR_PADDED = [*FAR_FIELDS, PADDED[-1]]

LATEST_STAMP_NS = 2**31 * 1_000_000_000 - 1
"""The seconds of a stamp are an int32."""


def read_header(raw: bytes) -> tuple[int, str]:
    """stamp_ns and frame_id of a serialized message that begins with a std_msgs/Header."""
    order = "<" if raw[1] & 1 else ">"
    sec, nanosec, length = struct.unpack_from(f"{order}iII", raw, 4)
    frame_id = bytes(raw[16 : 16 + max(length - 1, 0)])
    return sec * 1_000_000_000 + nanosec, frame_id.decode("utf-8", "replace")


def stamp_to_ns(stamp: Time) -> int:
    """builtin_interfaces/Time to int nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def ns_to_stamp(stamp_ns: int) -> Time:
    """Int nanoseconds to builtin_interfaces/Time."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def header(frame_id: str, stamp_ns: int) -> Header:
    """std_msgs/Header."""
    return Header(frame_id=frame_id, stamp=ns_to_stamp(stamp_ns))


def camera_model(info: CameraInfo) -> CameraModel:
    """The camera that took the raw image: K and lens, cut to the region of interest and binned.

    Raises `CameraError` with one sentence.
    """
    model = info.distortion_model or "none"
    D = np.array(info.d, dtype=np.float64)
    if not D.any() and model in STRAIGHT_WHEN_ZERO:
        model, D = "none", np.zeros(0)
    if D.size and not info.distortion_model:
        raise CameraError(
            f"distortion_model is empty, but D has {D.size} coefficients: name the model, "
            "or leave D empty"
        )
    full = CameraModel(info.width, info.height, np.reshape(info.k, (3, 3)), model, D)
    return _cut_and_binned(_plausible(full), info)


def rectified_camera_model(info: CameraInfo) -> CameraModel:
    """The pinhole camera of the already rectified image: P without its baseline.

    K where P is not filled in. Raises `CameraError` with one sentence.
    """
    P = np.reshape(info.p, (3, 4))
    K = P[:, :3] if P.any() else np.reshape(info.k, (3, 3))
    try:
        camera = _plausible(CameraModel(info.width, info.height, K))
    except CameraError as error:
        raise CameraError(f"P: {error}" if P.any() else str(error)) from error
    return _cut_and_binned(camera, info)


def _plausible(camera: CameraModel) -> CameraModel:
    if camera.width * camera.height > LARGEST_PICTURE:
        size = f"{camera.width}x{camera.height}"
        raise CameraError(f"its size is {size}, must be at most {LARGEST_PICTURE:,} pixels")
    return check_plausible(camera)


def _cut_and_binned(camera: CameraModel, info: CameraInfo) -> CameraModel:
    roi, binning = info.roi, (max(info.binning_x, 1), max(info.binning_y, 1))
    if roi.width and roi.height:
        K = camera.K.copy()
        K[:2, 2] -= roi.x_offset, roi.y_offset
        cut = CameraModel(roi.width, roi.height, K, camera.distortion_model, camera.D)
        camera = _plausible(cut)
    if binning == (1, 1):
        return camera
    width, height = camera.width // binning[0], camera.height // binning[1]
    if not width or not height:
        raise CameraError(f"binning {binning[0]}x{binning[1]} leaves no pixel of the camera")
    # Rows and columns that fill no bin are left out, so the picture is not the whole sensor's.
    K = camera.K.copy()
    K[:2, 2] = (K[:2, 2] + 0.5) / binning - 0.5
    K[:2, :2] /= np.reshape(binning, (2, 1))
    return CameraModel(width, height, K, camera.distortion_model, camera.D)


def camera_info_message(
    camera: CameraModel, head: Header, centre: np.ndarray | None = None
) -> CameraInfo:
    """sensor_msgs/CameraInfo of a pinhole camera. centre: (3,) m, its place in its frame."""
    P = np.zeros((3, 4))
    P[:, :3] = camera.K
    if centre is not None:
        P[:, 3] = -camera.K @ centre
    return CameraInfo(
        header=head,
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=camera.K.ravel(),
        r=np.eye(3).ravel(),
        p=P.ravel(),
    )


def image_message(pixels: np.ndarray, encoding: str, head: Header) -> Image:
    """sensor_msgs/Image of pixels (H, W) or (H, W, C)."""
    return BRIDGE.cv2_to_imgmsg(pixels, encoding, head)


def depth_message(depth: np.ndarray, encoding: str, head: Header) -> Image:
    """Depth (H, W) float32 in metres as 32FC1 (NaN unknown, +Inf too far) or 16UC1 (mm, 0)."""
    if encoding == "16UC1":
        depth = to_millimetres(depth)
    return image_message(depth, encoding, head)


def cloud_message(points: np.ndarray, head: Header, *, confidence: bool = False) -> PointCloud2:
    """Organised cloud of points (H, W) of dtype `point_cloud.POINT` or `FAR_POINT`.

    confidence: it is a field of the cloud; of `POINT` only.
    """
    fields, padded = (FAR_FIELDS, FAR_PADDED) if points.dtype == FAR_POINT else (FIELDS, PADDED)
    flat = points.ravel().view(point_cloud2.dtype_from_fields(padded))
    msg = point_cloud2.create_cloud(head, padded, flat)
    # Of two dimensions create_cloud would take the first one for the width.
    msg.height, msg.width = points.shape
    msg.row_step = msg.point_step * msg.width
    msg.fields = [*fields, CONFIDENCE] if confidence else fields
    return msg


def cloud_points(msg: PointCloud2) -> np.ndarray:
    """Points (H, W) of a cloud as a structured array with its fields. May raise `ValueError`."""
    # Flat, for the same reason: read_points, too, would swap rows and columns.
    return point_cloud2.read_points(msg).reshape(msg.height, msg.width)


def map_message(points: np.ndarray, colors: np.ndarray, head: Header) -> PointCloud2:
    """Cloud of points (N, 3) and colors (N, 3) uint8: unorganised, all valid.

    x, y, z are float32, or float64 where the world is far from its origin (UTM, say).
    """
    r, g, b = colors.astype(np.uint32).T
    packed = np.zeros((1, len(points)), FAR_POINT if float32_origin(points).any() else POINT)
    for axis, values in zip("xyz", points.T, strict=True):
        packed[axis] = values
    packed["rgb"] = (r << 16) | (g << 8) | b
    msg = cloud_message(packed, head)
    msg.is_dense = True
    return msg


def pose_message(T: np.ndarray) -> Pose:
    """geometry_msgs/Pose of a (4, 4) transform."""
    pose = Pose()
    _fill(pose.position, pose.orientation, T)
    return pose


def pose_stamped(T: np.ndarray, head: Header) -> PoseStamped:
    """geometry_msgs/PoseStamped of a (4, 4) transform."""
    return PoseStamped(header=head, pose=pose_message(T))


def pose_matrix(pose: Pose, name: str = "pose") -> np.ndarray:
    """(4, 4) transform of a geometry_msgs/Pose. Raises `poses.PoseError`."""
    return _matrix(pose.position, pose.orientation, name)


def transform_matrix(transform: Transform) -> np.ndarray:
    """(4, 4) transform of a geometry_msgs/Transform. Raises `poses.PoseError`."""
    return _matrix(transform.translation, transform.rotation, "transform")


def transform_message(T: np.ndarray, head: Header, child_frame_id: str) -> TransformStamped:
    """geometry_msgs/TransformStamped: `head.frame_id` is the parent."""
    transform = Transform()
    _fill(transform.translation, transform.rotation, T)
    return TransformStamped(header=head, child_frame_id=child_frame_id, transform=transform)


def _matrix(t: Point | Vector3, q: Quaternion, name: str) -> np.ndarray:
    # quaternion_matrix would take NaN and quaternions of any length.
    T = quaternion_matrix(poses.unit_quaternion((q.x, q.y, q.z, q.w), name))
    T[:3, 3] = t.x, t.y, t.z
    poses.require_near(T[:3, 3], name)
    return T


def _fill(t: Point | Vector3, q: Quaternion, T: np.ndarray) -> None:
    t.x, t.y, t.z = map(float, T[:3, 3])
    q.x, q.y, q.z, q.w = map(float, quaternion_from_matrix(T))
