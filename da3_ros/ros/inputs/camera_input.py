"""One camera's way in: image and info meet, wait for their pose, become a Frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage

from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.config import Config
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, Ledger
from da3_ros.core.poses import PoseError, compose
from da3_ros.core.preprocess import PreprocessError, plan_resize
from da3_ros.core.rectify import Rectifier
from da3_ros.ros.health.rates import Rate
from da3_ros.ros.health.throttled_log import Complaints
from da3_ros.ros.images import ImageError, compressed_to_rgb, to_rgb
from da3_ros.ros.inputs.pairing import Pair, Pairing
from da3_ros.ros.inputs.pose_source import Located, Lost, PoseSource, Waiting, WaitingLine
from da3_ros.ros.inputs.tf_buffer import stamp_to_ns
from da3_ros.ros.messages import rectifier

INFO_WAIT = 1.0
"""Seconds after which an image's camera info is not expected any more."""

JUMP_NS = 1_000_000_000
"""Images older than the newest by more than this mean that time started over."""


@dataclass(frozen=True)
class Desk:
    """What all cameras of the node share.

    take: gets each finished frame with the camera's name. start_over: time jumped back.
    wake: an image waits for its info or pose.
    """

    node: Node
    config: Config
    ledger: Ledger
    complaints: Complaints
    poses: PoseSource
    take: Callable[[str, Frame], None]
    start_over: Callable[[str], None]
    wake: Callable[[], None]


class CameraInput:
    """Callbacks of one camera's subscriptions. Everything runs in the executor's thread."""

    def __init__(self, name: str, desk: Desk):
        self.name = name
        self.rate = Rate()
        self.heard_at = time.monotonic()
        self.info_topic = "camera_info"  # as remapped, once it is subscribed to
        self._desk = desk
        queue_size = desk.config.input.queue_size
        self._pairing = Pairing(queue_size)
        self._line = WaitingLine(desk.poses, desk.config.pose, queue_size)
        self._newest_ns = 0
        self._has_heard_info = False
        self._info: CameraInfo | None = None
        self._rectifier: Rectifier | None = None

    def on_image(self, msg) -> None:
        """Step receive: an Image or CompressedImage."""
        self.rate.tick()
        self.heard_at = time.monotonic()
        if not self._has_good_header(msg):
            return
        self._watch_time(msg)
        if not self._desk.ledger.receive(_key(msg)):
            self._warn("two images have the same stamp; the second is dropped")
            return
        pair, lost = self._pairing.add_image(msg, time.monotonic())
        self._give_up(lost)
        if pair:
            self._line_up(pair)
        if self.is_waiting:
            self._desk.wake()

    def on_info(self, msg: CameraInfo) -> None:
        """Step receive: a CameraInfo."""
        self._has_heard_info = True
        pair, lost = self._pairing.add_info(msg)
        self._give_up(lost)
        if pair:
            self._line_up(pair)

    @property
    def is_waiting(self) -> bool:
        """Whether an image waits for its info or its pose."""
        return len(self._pairing) > 0 or len(self._line) > 0

    def expire(self, now: float) -> None:
        """Give up images whose camera info has not come in time."""
        self._give_up(self._pairing.expire(now, INFO_WAIT))

    def locate(self) -> None:
        """Step locate: finish every image whose pose is known by now."""
        for fate in self._line.poll(self._desk.node.get_clock().now().nanoseconds):
            self._settle(fate)

    def clear(self, reason: Drop) -> None:
        """Drop everything that waits."""
        self._newest_ns = 0
        waiting = [*self._pairing.clear(), *(pair.image for pair in self._line.clear())]
        for msg in waiting:
            self._desk.ledger.drop(_key(msg), reason)

    def _has_good_header(self, msg) -> bool:
        if msg.header.frame_id.strip("/") and stamp_to_ns(msg.header.stamp) > 0:
            return True
        missing = "stamp" if msg.header.frame_id.strip("/") else "frame_id"
        self._desk.ledger.refuse(Drop.BAD_HEADER)
        self._warn(f"image without a {missing} is dropped; set it in the camera driver")
        return False

    def _watch_time(self, msg) -> None:
        stamp = stamp_to_ns(msg.header.stamp)
        if stamp < self._newest_ns - JUMP_NS:
            back = (self._newest_ns - stamp) / 1e9
            self._desk.start_over(f"image stamps jumped back by {back:.1f} s")
        self._newest_ns = max(self._newest_ns, stamp)

    def _line_up(self, pair: Pair) -> None:
        now_ns = self._desk.node.get_clock().now().nanoseconds
        waiting = Waiting(pair, pair.image.header.frame_id, pair.stamp_ns, now_ns)
        oldest = self._line.add(waiting)
        if oldest:
            sentence = "too many images wait for their poses; the oldest is dropped"
            self._drop(oldest, Drop.QUEUE_FULL, sentence)
        self.locate()

    def _settle(self, fate: Located | Lost) -> None:
        try:
            if isinstance(fate, Lost):
                self._drop(fate.item, Drop.NO_POSE, f"no pose: {fate.sentence}")
            else:
                self._convert(fate.item, fate.T_world_cam)
        except Exception:
            # Every frame is accounted for; the node says the error itself.
            self._desk.ledger.drop(_key(fate.item.image), Drop.INTERNAL_ERROR)
            raise

    def _convert(self, pair: Pair, T_world_cam: np.ndarray | None) -> None:
        """Step convert: messages and pose to a Frame."""
        try:
            frame = self._frame(pair, T_world_cam)
        except (ImageError, PreprocessError) as error:
            self._drop(pair, Drop.BAD_IMAGE, str(error))
        except CameraError as error:
            self._drop(pair, Drop.BAD_CAMERA_INFO, f"camera_info: {error}")
        except PoseError as error:
            self._drop(pair, Drop.NO_POSE, f"no pose: {error}")
        else:
            self._desk.take(self.name, frame)

    def _frame(self, pair: Pair, T_world_cam: np.ndarray | None) -> Frame:
        image = pair.image
        rgb = compressed_to_rgb(image) if isinstance(image, CompressedImage) else to_rgb(image)
        self._follow(pair.info, rgb.shape[:2])
        rectify, frame_id = self._rectifier, image.header.frame_id
        if T_world_cam is not None:  # so far of the frame, which the camera may stand beside
            T_world_cam = T_world_cam @ compose(np.eye(3), rectify.centre)
        picture = (rectify(rgb), rectify.camera)
        return Frame(frame_id, pair.stamp_ns, *picture, T_world_cam, rectify.seen, rectify.centre)

    def _follow(self, info: CameraInfo, size: tuple[int, int]) -> None:
        """Keep the rectifier of the newest camera info; most are equal to the last one.

        size: (height, width) of the image. Raises `CameraError` and `PreprocessError`.
        """
        if not (self._info and _same_camera(info, self._info)):
            plan_resize(*size, self._desk.config.model.process_res)  # or it says why not
            rectify = rectifier(info, is_raw=self._desk.config.input.rectify)
            _check_size(rectify.camera, size)
            self._rectifier, self._info = rectify, info
        _check_size(self._rectifier.camera, size)

    def _give_up(self, images: list) -> None:
        for msg in images:
            self._desk.ledger.drop(_key(msg), Drop.NO_CAMERA_INFO)
            why = "those have other stamps" if self._has_heard_info else "none has come there yet"
            self._warn(
                "no camera_info has the stamp of the image; it is dropped (camera_info is read "
                f"from {self.info_topic}: {why})"
            )

    def _drop(self, pair: Pair, reason: Drop, sentence: str) -> None:
        self._desk.ledger.drop(_key(pair.image), reason)
        self._warn(sentence)

    def _warn(self, sentence: str) -> None:
        self._desk.complaints.warn(f"camera {self.name}: {sentence}" if self.name else sentence)


def _check_size(camera: CameraModel, size: tuple[int, int]) -> None:
    if (camera.height, camera.width) != size:
        raise CameraError(
            f"its size is {camera.width}x{camera.height}, but the image is {size[1]}x{size[0]}"
        )


def _same_camera(a: CameraInfo, b: CameraInfo) -> bool:
    same_size = (a.width, a.height, a.roi) == (b.width, b.height, b.roi)
    same_lens = (a.distortion_model, list(a.d)) == (b.distortion_model, list(b.d))
    same_binning = (a.binning_x, a.binning_y) == (b.binning_x, b.binning_y)
    same_matrices = all(a.k == b.k) and all(a.r == b.r) and all(a.p == b.p)
    return same_size and same_lens and same_binning and same_matrices


def _key(msg) -> tuple[str, int]:
    return msg.header.frame_id, stamp_to_ns(msg.header.stamp)
