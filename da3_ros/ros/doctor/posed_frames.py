"""Images of a recording as the frames that the node would make of them."""

from __future__ import annotations

import numpy as np

from da3_ros.core.bit_depth import BitDepth
from da3_ros.core.body_mask import read_mask, usable_pixels
from da3_ros.core.config import Config
from da3_ros.core.frame import Frame
from da3_ros.ros.doctor.recording import Event, Recording
from da3_ros.ros.images import decode
from da3_ros.ros.messages import stamp_to_ns


class PosedFrames:
    """Frames of images, with the poses that `Recording.locate` has found, once it was called.

    events: the images that have one. bit_depth: of those that were asked for. mask: of input.mask.
    Raises `ValueError` in one sentence when the camera has no usable info.
    """

    def __init__(self, seen: Recording, config: Config):
        self.events = [e for e in seen.images if _stamp(e) in seen.poses]
        self.bit_depth = BitDepth()
        self._poses = seen.poses
        if not seen.infos:
            raise ValueError("there is no camera info")
        self._rectify = seen.rectifier(is_asked=config.input.rectify)
        self.mask = read_mask(config.input.mask, _name(seen.topics.image, config))
        self._usable = usable_pixels(self._rectify, self.mask)

    @property
    def T_world_frame(self) -> list[np.ndarray]:
        """(4, 4) of the frame_id of every event, as given."""
        return [self._poses[_stamp(e)].T_world_frame for e in self.events]

    def frame(self, event: Event) -> Frame:
        """An image, decoded and rectified. Raises `ValueError` in one sentence."""
        stamp_ns, image = _stamp(event), decode(event.msg, bit_depth=self.bit_depth)
        key, pose = (event.msg.header.frame_id, stamp_ns), self._poses.get(stamp_ns)
        if pose is None:
            return self._rectify.frame(*key, image, None, self._usable)
        return self._rectify.frame(*key, image, pose.T_world_frame, self._usable, pose.T_world_odom)


def _name(topic: str, config: Config) -> str:
    """Of the rig's camera that the topic belongs to; empty for a camera alone."""
    return next((name for name in config.input.cameras if name in topic.split("/")), "")


def _stamp(event: Event) -> int:
    return stamp_to_ns(event.msg.header.stamp)
