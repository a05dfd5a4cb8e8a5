"""Points from outside on their way in: clouds and depth images become `Anchors` in the world.

Each waits for the transform of its own frame at its own stamp, as long as an image waits for its
pose. Everything runs in the executor's thread.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from sensor_msgs_py import point_cloud2

from da3_ros.core.camera_model import CameraError
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.outlet import Log
from da3_ros.core.scale.anchors import MOST_POINTS, Anchors
from da3_ros.net.plain_text import plain
from da3_ros.ros.bounds import MOST_CLOUD_FIELDS, excess, field_count
from da3_ros.ros.depth_images import depth_metres
from da3_ros.ros.images import ImageError
from da3_ros.ros.inputs.info_doubts import is_raw, rectification_doubt
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable, is_same_frame
from da3_ros.ros.messages import camera_model, rectified_camera_model, stamp_to_ns
from da3_ros.ros.rectifier import optical_placement

MOST_WAITING, MOST_WAITING_BYTES = 1000, 1 << 26
"""Messages and bytes of points that wait; how long they do is bounded by `pose.timeout`."""

FLOAT_BYTES = {PointField.FLOAT32: 4, PointField.FLOAT64: 8}


class AnchorError(ValueError):
    """A message that holds no points; says why in one sentence."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    topic: str
    frame_id: str
    stamp_ns: int
    came_ns: int
    points: np.ndarray


class AnchorInput:
    """Messages in, anchors to `take`. now_ns: the node's clock."""

    def __init__(
        self,
        live: LiveConfig,
        log: Log,
        poses: PoseSource,
        take: Callable[[Anchors], None],
        now_ns: Callable[[], int],
    ):
        self._live, self._log, self._poses = live, log, poses
        self._take, self._now_ns = take, now_ns
        self._waiting: deque[_Waiting] = deque()
        self._info: CameraInfo | None = None
        self._early: Image | None = None
        self._depth_topic = "anchor/depth"  # as remapped, once it is subscribed to
        self.counts: Counter[str] = Counter()  # of messages: received, used, dropped by cause
        self.heard_ns = self.newest_ns = 0  # newest stamp of all, and of those that are used

    def name_topic(self, depth: str) -> None:
        """Where depth images come from, as remapped."""
        self._depth_topic = depth

    @property
    def memory(self) -> tuple[list[tuple[str, int]], bool, bool]:
        """What decides on the points that come: what waits, and the calibration of depth."""
        waiting = [(w.topic, w.stamp_ns) for w in self._waiting]
        return waiting, self._info is not None, self._early is not None

    @property
    def are_waiting(self) -> bool:
        """Whether any points wait for their transform."""
        return bool(self._waiting)

    def on_raw_points(self, raw: bytes) -> None:
        """A serialized cloud, if it has no more fields than any lidar's."""
        self.counts["received"] += 1
        if excess(PointCloud2, raw):
            sentence = (
                f"anchor/points is dropped: its points have {field_count(raw):,} fields, must have "
                f"at most {MOST_CLOUD_FIELDS}"
            )
            self._drop(("anchor/points", "fields"), "bad message", sentence)
            return
        try:
            msg = deserialize_message(raw, PointCloud2)
        except RuntimeError as error:  # RMWError
            sentence = f"anchor/points is dropped: it is not a PointCloud2: {error}"
            self._drop(("anchor/points", "bytes"), "bad message", sentence)
            return
        self._take_in("anchor/points", msg, cloud_xyz)

    def on_points(self, msg: PointCloud2) -> None:
        """A cloud in any frame."""
        self.counts["received"] += 1
        self._take_in("anchor/points", msg, cloud_xyz)

    def on_info(self, msg: CameraInfo) -> None:
        """The camera of the depth images."""
        is_first, self._info = self._info is None, msg
        if is_first:
            self._doubt(msg)
        if self._early is not None:
            early, self._early = self._early, None
            self._take_depth(early, self._info)

    def on_depth(self, msg: Image) -> None:
        """A depth image; the newest one waits for the first camera info."""
        self.counts["received"] += 1
        if self._info:
            self._take_depth(msg, self._info)
            return
        if self._early:
            self.counts["no camera info"] += 1
        self._early = msg
        self._warn("no info", "anchor/depth waits for its camera info on anchor/camera_info")

    def _doubt(self, info: CameraInfo) -> None:
        if doubt := rectification_doubt(self._depth_topic, info, rectify=True):
            self._warn("rectification", f"{doubt.what}: {doubt.fix}")
        if doubt := self._poses.stereo.doubt(info):
            self._warn("second camera", f"anchor/camera_info: {doubt.what}: {doubt.fix}")

    def locate(self) -> None:
        """Hand on all points whose transform is known by now; give up those too old to get one."""
        too_early: dict[str, int] = {}  # frame -> stamp that no transform has reached yet
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            if waiting.stamp_ns >= too_early.get(waiting.frame_id, waiting.stamp_ns + 1):
                self._waiting.append(waiting)
                continue
            try:
                placed = self._locate(waiting)
            except TransformUnavailable as error:
                waited = (self._now_ns() - waiting.came_ns) * 1e-9
                if error.may_come and 0 <= waited <= self._live.config.pose.timeout:
                    self._waiting.append(waiting)
                    too_early[waiting.frame_id] = waiting.stamp_ns
                else:
                    sentence = f"{waiting.topic} is dropped: {self._poses.explain(error)}"
                    self._drop((waiting.topic, error.cause), error.cause, sentence)
                continue
            self.counts["used"] += 1
            self.newest_ns = max(self.newest_ns, waiting.stamp_ns)
            self._take(Anchors.of(waiting.stamp_ns, waiting.points, *placed))

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._early = None
        self.heard_ns = self.newest_ns = 0

    def _take_depth(self, msg: Image, info: CameraInfo) -> None:
        raw = is_raw(self._depth_topic, info, rectify=True)
        second = self._poses.stereo.is_second(info)
        self._take_in(
            "anchor/depth",
            msg,
            lambda image: depth_xyz(image, info, is_raw=raw, is_second=second),
        )

    def _take_in(self, topic: str, msg, read: Callable) -> None:
        frame_id, stamp_ns = msg.header.frame_id, stamp_to_ns(msg.header.stamp)
        if not frame_id.strip("/") or stamp_ns <= 0:
            sentence = f"{topic} without frame_id or stamp is dropped"
            self._drop((topic, "header"), "header", sentence)
            return
        self.heard_ns = max(self.heard_ns, stamp_ns)
        try:
            points = read(msg)
        except (AnchorError, CameraError) as error:
            self._drop((topic, "message"), "bad message", f"{topic} is dropped: {error}")
            return
        self._waiting.append(_Waiting(topic, frame_id, stamp_ns, self._now_ns(), points))
        self.locate()
        while self._are_too_many():
            oldest = self._waiting.popleft()
            sentence = f"{oldest.topic} is dropped: too many points wait for their transforms"
            self._drop((oldest.topic, "many"), "too many wait", sentence)

    def _are_too_many(self) -> bool:
        size = sum(w.points.nbytes for w in self._waiting)
        return len(self._waiting) > MOST_WAITING or size > MOST_WAITING_BYTES

    def _locate(self, waiting: _Waiting) -> tuple[np.ndarray, np.ndarray | None]:
        """T_world_source and T_world_odom, (4, 4) each; the latter is None where there is none."""
        world = self._live.config.pose.world_frame
        if is_same_frame(waiting.frame_id, world):
            return np.eye(4), None
        key = waiting.frame_id, waiting.stamp_ns
        return self._poses.lookup(world, *key), self._poses.correction(*key)

    def _drop(self, cause: tuple[str, str], reason: str, sentence: str) -> None:
        self.counts[reason] += 1
        self._warn(cause, sentence)

    def _warn(self, cause, sentence: str) -> None:
        self._log.warn(("anchors", cause), sentence)


def cloud_xyz(msg: PointCloud2) -> np.ndarray:
    """(P, 3) points of a cloud, at most about `MOST_POINTS`, with all digits that it has: a far
    world's coordinates come in float64. Raises `AnchorError`.
    """
    if msg.height > 1 and msg.row_step != msg.width * msg.point_step:
        raise AnchorError("its rows are padded; publish them without gaps")
    if len(msg.data) < msg.width * msg.height * msg.point_step:
        raise AnchorError(
            f"{len(msg.data)} bytes are not {msg.width}x{msg.height} points of {msg.point_step}"
        )
    points = point_cloud2.read_points(_positions_of(msg)).ravel()
    points = points[:: _step(len(points))]
    return np.stack([points[axis] for axis in "xyz"], axis=-1)


def _positions_of(msg: PointCloud2) -> PointCloud2:
    """The same cloud with the fields x, y and z only: what the others are said to be may be
    wrong, or nothing that the reader knows."""
    there = {f.name: f for f in msg.fields}
    fields = [there[axis] for axis in "xyz" if axis in there]
    if len(fields) < 3 or any(f.datatype not in FLOAT_BYTES or f.count > 1 for f in fields):
        names = plain(", ".join(sorted(there))) or "none"
        raise AnchorError(f"its fields are {names}; x, y and z must be floats")
    if any(f.offset + FLOAT_BYTES[f.datatype] > msg.point_step for f in fields):
        raise AnchorError(f"its points have {msg.point_step} bytes, and x, y, z lie beyond them")
    return PointCloud2(
        width=msg.width,
        height=msg.height,
        fields=[
            PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=1) for f in fields
        ],
        is_bigendian=msg.is_bigendian,
        point_step=msg.point_step,
        row_step=msg.row_step,
        data=msg.data,
    )


def depth_xyz(
    msg: Image, info: CameraInfo, *, is_raw: bool = True, is_second: bool = False
) -> np.ndarray:
    """(P, 3) float32 points of a depth image in the frame of its header; holes are left out.

    is_raw: its pixels are as the lens made them, else P describes them. Either way the frame is
    what it is for a color image (`ros.rectifier`): R turns into it, and P places the camera
    in it. Raises `AnchorError` and `CameraError`.
    """
    if (info.width, info.height) != (msg.width, msg.height):
        raise AnchorError(
            f"it is {msg.width}x{msg.height}, its camera info says {info.width}x{info.height}"
        )
    try:
        depth = depth_metres(msg)
    except ImageError as error:
        raise AnchorError(str(error)) from error
    with np.errstate(invalid="ignore"):
        rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    kept = slice(None, None, _step(len(rows)))
    rows, columns = rows[kept], columns[kept]
    camera = camera_model(info) if is_raw else rectified_camera_model(info)
    rays = camera.unproject(np.stack([columns, rows], axis=-1))
    T_frame_cam = optical_placement(info, is_raw=is_raw, is_second=is_second)
    points = rays / rays[:, 2:] * depth[rows, columns, None] @ T_frame_cam[:3, :3].T
    return (points + T_frame_cam[:3, 3]).astype(np.float32)


def _step(count: int) -> int:
    return max(1, -(-count // MOST_POINTS))
