"""Messages to the core's types and back. Nothing here waits, looks up or publishes.

Pixel arrays enter a message without a copy: rclpy's C side reads any buffer, while its
public setter would copy the array item by item. The array must then stay as it is.
"""

from __future__ import annotations

import sys

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped, Transform, TransformStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel, check_plausible
from da3_ros.core.point_cloud import POINT
from da3_ros.core.rectify import Rectifier

MILLIMETRES_MAX = 65535
STRAIGHT_WHEN_ZERO = ("none", "plumb_bob", "rational_polynomial")
"""Lens models whose coefficients of zero (or none at all) leave a pinhole."""


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
    full = CameraModel(info.width, info.height, np.reshape(info.k, (3, 3)), model, D)
    return _cut_and_binned(check_plausible(full), info)


def rectified_camera_model(info: CameraInfo) -> CameraModel:
    """The pinhole camera of the already rectified image: P without its baseline.

    K where P is not filled in. Raises `CameraError` with one sentence.
    """
    P = np.reshape(info.p, (3, 4))
    K = P[:, :3] if P.any() else np.reshape(info.k, (3, 3))
    try:
        camera = check_plausible(CameraModel(info.width, info.height, K))
    except CameraError as error:
        raise CameraError(f"P: {error}" if P.any() else str(error)) from error
    return _cut_and_binned(camera, info)


def rectifier(info: CameraInfo, *, is_raw: bool) -> Rectifier:
    """Takes images of this camera to those that P describes, as image_proc does with K, D, R, P.

    is_raw: the images are as the lens made them; else they are rectified already. By the
    definition of CameraInfo, P takes a point in the frame of `header.frame_id` to its rectified
    pixel: its last column says where in that frame the camera is (`Rectifier.centre`).
    Raises `CameraError` with one sentence.
    """
    rectified = rectified_camera_model(info)
    centre = _centre(np.reshape(info.p, (3, 4)))
    if not is_raw:
        return Rectifier(rectified, centre=centre)
    R = np.reshape(info.r, (3, 3))
    return Rectifier(camera_model(info), R if R.any() else None, rectified.K, centre)


def _centre(P: np.ndarray) -> np.ndarray:
    """(3,) m: where the camera of P = K [I | -centre] is."""
    if not P[:, 3].any():
        return np.zeros(3)
    if not np.isfinite(P).all():
        raise CameraError("P must be finite")
    return -np.linalg.solve(P[:, :3], P[:, 3])


def _cut_and_binned(camera: CameraModel, info: CameraInfo) -> CameraModel:
    roi, binning = info.roi, (max(info.binning_x, 1), max(info.binning_y, 1))
    if roi.width and roi.height:
        K = camera.K.copy()
        K[:2, 2] -= roi.x_offset, roi.y_offset
        camera = CameraModel(roi.width, roi.height, K, camera.distortion_model, camera.D)
    if binning == (1, 1):
        return camera
    width, height = camera.width // binning[0], camera.height // binning[1]
    if not width or not height:
        raise CameraError(f"binning {binning[0]}x{binning[1]} leaves no pixel of the camera")
    return camera.scaled(width=width, height=height)


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
    """sensor_msgs/Image of pixels (H, W) or (H, W, C); their memory is shared, not copied."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    msg = Image(header=head, width=width, height=height, encoding=encoding)
    msg.is_bigendian = int(sys.byteorder == "big")
    msg.step = pixels.nbytes // height
    msg._data = pixels.reshape(-1).view(np.uint8)
    return msg


def depth_message(depth: np.ndarray, encoding: str, head: Header) -> Image:
    """Depth (H, W) float32 in metres as 32FC1 (NaN unknown, +Inf too far) or 16UC1 (mm, 0)."""
    if encoding == "16UC1":
        depth = to_millimetres(depth)
    return image_message(depth, encoding, head)


def to_millimetres(depth: np.ndarray) -> np.ndarray:
    """uint16 millimetres, 0 where depth is unknown, infinite or beyond 65.535 m."""
    millimetres = np.round(depth * 1000)
    known = (millimetres > 0) & (millimetres <= MILLIMETRES_MAX)
    return np.where(known, millimetres, 0).astype(np.uint16)


def cloud_message(points: np.ndarray, head: Header) -> PointCloud2:
    """Organised cloud of points (H, W) of dtype `point_cloud.POINT`; their memory is shared."""
    height, width = points.shape
    msg = PointCloud2(header=head, height=height, width=width, is_dense=False)
    msg.fields = [
        PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=1)
        for name, (_, offset) in POINT.fields.items()
    ]
    msg.point_step = POINT.itemsize
    msg.row_step = POINT.itemsize * width
    msg._data = points.reshape(-1).view(np.uint8)
    return msg


def map_message(points: np.ndarray, colours: np.ndarray, head: Header) -> PointCloud2:
    """Cloud of points (N, 3) float32 and colours (N, 3) uint8: unorganised, all valid."""
    r, g, b = colours.astype(np.uint32).T
    packed = np.zeros((1, len(points)), POINT)
    for axis, values in zip("xyz", points.T):
        packed[axis] = values
    packed["rgb"] = (r << 16) | (g << 8) | b
    msg = cloud_message(packed, head)
    msg.is_dense = True
    return msg


def pose_message(T: np.ndarray) -> Pose:
    """geometry_msgs/Pose of a (4, 4) transform."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = map(float, T[:3, 3])
    q = pose.orientation
    q.x, q.y, q.z, q.w = map(float, poses.to_quat_xyzw(T[:3, :3]))
    return pose


def pose_stamped(T: np.ndarray, head: Header) -> PoseStamped:
    """geometry_msgs/PoseStamped of a (4, 4) transform."""
    return PoseStamped(header=head, pose=pose_message(T))


def pose_matrix(pose: Pose, name: str = "pose") -> np.ndarray:
    """(4, 4) transform of a geometry_msgs/Pose. Raises `poses.PoseError`."""
    p, q = pose.position, pose.orientation
    return poses.from_quat_xyzw((q.x, q.y, q.z, q.w), (p.x, p.y, p.z), name)


def transform_message(T: np.ndarray, head: Header, child_frame_id: str) -> TransformStamped:
    """geometry_msgs/TransformStamped: `head.frame_id` is the parent."""
    transform = Transform()
    t, q = transform.translation, transform.rotation
    t.x, t.y, t.z = map(float, T[:3, 3])
    q.x, q.y, q.z, q.w = map(float, poses.to_quat_xyzw(T[:3, :3]))
    return TransformStamped(header=head, child_frame_id=child_frame_id, transform=transform)
