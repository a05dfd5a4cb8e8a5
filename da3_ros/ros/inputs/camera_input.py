"""One camera's way in: image, camera info and pose become a Frame."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Hashable

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from da3_ros.core.bit_depth import BitDepth
from da3_ros.core.blank_picture import BlankPictureError, check_picture
from da3_ros.core.body_mask import check_mask, mask_doubt, read_mask, usable_pixels
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, FrameCounts
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.outlet import Log
from da3_ros.core.parameter import ConfigError
from da3_ros.core.poses import PoseError
from da3_ros.core.preprocess import PreprocessError
from da3_ros.core.rectify import Rectifier
from da3_ros.ros.bounds import LONGEST_FRAME
from da3_ros.ros.health.clock_watch import far_from_clock
from da3_ros.ros.health.rates import Rate
from da3_ros.ros.health.time_jump import JUMP_NS, StampVerdict, StreamClock
from da3_ros.ros.images import ImageError, decode
from da3_ros.ros.inputs.arrivals import Arrival, ArrivalQueue, Lost
from da3_ros.ros.inputs.info_doubts import frame_doubt, is_raw, rectification_doubt
from da3_ros.ros.inputs.patience import Patience
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.messages import rectified_camera_model, stamp_to_ns
from da3_ros.ros.rectifier import rectifier

FAULTS = (
    (ImageError, Drop.BAD_IMAGE, ""),
    (PreprocessError, Drop.BAD_IMAGE, ""),
    (BlankPictureError, Drop.BLANK_IMAGE, ""),
    (CameraError, Drop.BAD_CAMERA_INFO, "camera_info: "),
    (PoseError, Drop.NO_POSE, "no pose: "),
    (ConfigError, Drop.BAD_IMAGE, ""),
)
"""What can be wrong with messages: the error, the reason it counts under, words put before it."""


class CameraInput:
    """Messages of one camera in, frames to `take(name, frame)`.

    Everything runs in the executor's thread. now_ns: the node's clock. Raises `ConfigError` when
    there is no picture at input.mask.
    """

    def __init__(
        self,
        name: str,
        live: LiveConfig,
        counts: FrameCounts,
        log: Log,
        poses: PoseSource,
        take: Callable[[str, Frame], None],
        now_ns: Callable[[], int],
    ):
        self.name = name
        self.rate = Rate()
        self._live, self._counts, self._log = live, counts, log
        self._take, self._now_ns = take, now_ns
        config = live.config
        patience = Patience(config.input.queue_size)
        self._queue = ArrivalQueue(poses, patience, config.pose.timeout)
        self._clock = StreamClock(poses.known_until_ns, now_ns)
        self._unsaid: tuple[int, str] | None = None  # stamp and sentence of an image refused
        self._image_topic = "image"  # as remapped, once it is subscribed to
        self._info: CameraInfo | None = None
        self._stereo, self._is_second = poses.stereo, False
        self._is_doubted = False
        self._doubts: list[str] = []
        self._bit_depth = BitDepth()
        self._rectifier: Rectifier | None = None
        self._mask = read_mask(config.input.mask, name)
        self._mask_doubt = mask_doubt(self._mask)
        self._usable: np.ndarray | None = None

    def set_patience(self, patience: Patience) -> None:
        """How long images and camera infos wait for each other, not `input.queue_size` of them."""
        self._queue.patience = patience

    def name_topics(self, image: str, info: str) -> None:
        """Where images and camera infos come from, as remapped."""
        self._image_topic, self._queue.info_topic = image, info

    def judge(self, msg: Image | CompressedImage) -> tuple[StampVerdict, float]:
        """What the image says about time, and how many seconds it is ahead of those before."""
        frame_id, stamp_ns = _key(msg)
        if header_fault(frame_id, stamp_ns):
            return StampVerdict.IN_TIME, 0.0
        return self._clock.judge(stamp_ns)

    def refuse(self, ahead: float) -> None:
        """Step receive: an image of another clock, `ahead` s ahead of the one followed."""
        self.rate.tick()
        self._counts.refuse(Drop.OUT_OF_ORDER)
        where = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'}"
        sentence = (
            f"image dropped: its stamp is {where} the others of its topic: two programs publish "
            "it, with clocks apart; end one, or synchronise them"
        )
        early_ns, self._unsaid = self._clock.early_ns, None
        if early_ns is None:
            self._warn((Drop.OUT_OF_ORDER, "clock"), sentence)
        else:
            self._unsaid = early_ns, sentence

    def on_image(self, msg: Image | CompressedImage) -> None:
        """Step receive: an image."""
        self.rate.tick()
        frame_id, stamp_ns = _key(msg)
        if fault := header_fault(frame_id, stamp_ns):
            self._counts.refuse(Drop.BAD_HEADER)
            sentence = f"image {fault} is dropped; set it in the camera driver"
            self._warn((Drop.BAD_HEADER, fault), sentence)
            return
        self._clock.follow(stamp_ns)
        self._say_unsaid(stamp_ns)
        if far := far_from_clock(stamp_ns, self._now_ns()):
            self._warn("far from the clock", far)
        if not self._counts.receive(_key(msg)):
            sentence = "two images have the same stamp; the second is dropped"
            if self.name:
                sentence += ": was it sent twice, or has another camera its frame_id?"
            self._warn(Drop.DUPLICATE_STAMP, sentence)
            return
        self._give_up(self._queue.add_image(msg, time.monotonic(), self._now_ns()))
        self.locate()

    def _say_unsaid(self, stamp_ns: int) -> None:
        """Of an image that was refused as too far ahead, unless the others have come there."""
        unsaid, self._unsaid = self._unsaid, None
        if unsaid and stamp_ns < unsaid[0] - JUMP_NS:
            self._warn((Drop.OUT_OF_ORDER, "clock"), unsaid[1])

    def on_info(self, msg: CameraInfo) -> None:
        """Step receive: a camera info; it is kept until its image comes."""
        longest = max(len(msg.header.frame_id), len(msg.distortion_model), len(msg.d))
        if longest > LONGEST_FRAME:
            sentence = f"camera_info with a name or D of {longest} elements is dropped"
            self._warn((Drop.BAD_CAMERA_INFO, "length"), sentence)
            return
        self._give_up(self._queue.add_info(msg, self._now_ns()))
        self.locate()

    @property
    def memory(self) -> tuple:
        """What decides on the images that come: their clock, what waits, and what white is."""
        return self._clock.memory, self._queue.memory, self._bit_depth.bits

    @property
    def is_waiting(self) -> bool:
        """Whether an image waits for its info or its pose."""
        return len(self._queue) > 0

    def expire(self, now: float) -> None:
        """Give up images whose camera info has not come in time. now: s, `time.monotonic()`."""
        self._give_up(self._queue.expire(now, self._now_ns()))

    def locate(self) -> None:
        """Step locate: finish every image whose pose is known by now."""
        for outcome in self._queue.poll(self._now_ns()):
            if isinstance(outcome, Lost):
                self._give_up([outcome])
            else:
                self._finish(outcome)

    def end(self) -> None:
        """No message comes any more: give up images whose camera info has not come."""
        self._give_up(self._queue.end())

    def clear(self, reason: Drop) -> None:
        """Drop everything that waits."""
        self._clock.restart()
        self._unsaid = None
        for msg in self._queue.clear():
            self._counts.drop(_key(msg), reason)

    def _finish(self, arrival: Arrival) -> None:
        """Step convert, and on to step collect. Every frame is accounted for."""
        try:
            self._take(self.name, self._frame(arrival))
        except tuple(kind for kind, _, _ in FAULTS) as error:
            _, reason, words = next(fault for fault in FAULTS if isinstance(error, fault[0]))
            place = traceback.extract_tb(error.__traceback__)[-1]
            detail = place.filename, place.lineno
            self._give_up([Lost(arrival.image, reason, f"{words}{error}", detail)])
        except Exception:  # the node says the error itself
            self._counts.drop(_key(arrival.image), Drop.INTERNAL_ERROR)
            raise

    def _frame(self, arrival: Arrival) -> Frame:
        image = arrival.image
        # Of another size it is not worth decoding.
        bits = self._bit_depth.bits
        rgb = decode(image, lambda size: self._rectifier_of(arrival.info, size), self._bit_depth)
        if change := self._bit_depth.change(bits):
            self._warn("bit depth", change)
        rectify = self._rectifier_of(arrival.info, rgb.shape[:2])
        if not self._is_doubted:
            self._doubt(image.header.frame_id)
        key, T_world_frame = (image.header.frame_id, arrival.stamp_ns), arrival.T_world_frame
        frame = rectify.frame(*key, rgb, T_world_frame, self._usable, arrival.T_world_odom)
        check_picture(frame)
        return frame

    def _rectifier_of(self, info: CameraInfo, size: tuple[int, int]) -> Rectifier:
        """The rectifier of the newest camera info; most are equal to the last one.

        size: (height, width) of the image. Raises `CameraError`, and `ConfigError` for a mask of
        another size.
        """
        is_second = self._stereo.is_second(info)
        if not (self._info and _same_camera(info, self._info) and is_second == self._is_second):
            # First the sizes: the maps of a rectifier may be of gigabytes.
            _check_size(rectified_camera_model(info), size)
            check_mask(self._mask, size)
            is_asked = self._live.config.input.rectify
            raw = is_raw(self._image_topic, info, rectify=is_asked)
            rectify = rectifier(info, is_raw=raw, is_second=is_second)
            self._usable = usable_pixels(rectify, self._mask)
            self._rectifier, self._info, self._is_second = rectify, info, is_second
            self._is_doubted = False
        _check_size(self._rectifier.camera, size)
        return self._rectifier

    def _doubt(self, frame_id: str) -> None:
        """Say what looks wrong about a new camera info and the mask; what was said of the one
        before is not said again: an autofocus changes it with each picture.
        """
        self._is_doubted = True
        info, doubts = self._info, {}
        doubts["rectification"] = rectification_doubt(
            self._image_topic, info, rectify=self._live.config.input.rectify
        )
        if info.header.frame_id:  # some drivers leave it empty
            doubts["frame of the info"] = frame_doubt(frame_id, info)
        if not self.name:  # cameras of a rig have frames of their own
            doubts["second camera"] = self._stereo.doubt(info)
        said = {
            cause: f"camera_info on {self._queue.info_topic}: {doubt.what}: {doubt.fix}"
            for cause, doubt in doubts.items()
            if doubt
        }
        if self._mask_doubt:
            said["mask"] = self._mask_doubt
        for cause, sentence in said.items():
            if sentence not in self._doubts:
                self._warn(cause, sentence)
        self._doubts = [*said.values()]

    def _give_up(self, lost: list[Lost]) -> None:
        for image in lost:
            self._counts.drop(_key(image.image), image.reason)
            if image.sentence:
                self._warn((image.reason, image.detail), image.sentence)

    def _warn(self, cause: Hashable, sentence: str) -> None:
        sentence = f"camera {self.name}: {sentence}" if self.name else sentence
        self._log.warn((self.name, cause), sentence)


def header_fault(frame_id: str, stamp_ns: int) -> str:
    """What is wrong with an image's header, in words; empty when it says where and when."""
    if not frame_id.strip("/"):
        return "without a frame_id"
    if len(frame_id) > LONGEST_FRAME:
        return f"with a frame_id of more than {LONGEST_FRAME} characters"
    return "" if stamp_ns > 0 else "without a stamp"


def _check_size(camera: CameraModel, size: tuple[int, int]) -> None:
    if (camera.height, camera.width) != size:
        raise CameraError(
            f"its size is {camera.width}x{camera.height}, but the image is {size[1]}x{size[0]}"
        )


def _same_camera(a: CameraInfo, b: CameraInfo) -> bool:
    same_size = (a.width, a.height, a.roi) == (b.width, b.height, b.roi)
    same_lens = (a.distortion_model, a.d) == (b.distortion_model, b.d)
    same_binning = (a.binning_x, a.binning_y) == (b.binning_x, b.binning_y)
    same_matrices = all(a.k == b.k) and all(a.r == b.r) and all(a.p == b.p)
    return same_size and same_lens and same_binning and same_matrices


def _key(msg: Image | CompressedImage) -> tuple[str, int]:
    return msg.header.frame_id, stamp_to_ns(msg.header.stamp)
