"""Whose frame a camera info names that says to be the second of a stereo pair."""

from __future__ import annotations

from collections.abc import Set

from sensor_msgs.msg import CameraInfo

from da3_ros.ros.inputs.info_doubts import Doubt
from da3_ros.ros.rectifier import baseline


class StereoFrames:
    """Frames in whose origin a camera stands: those of the camera infos whose P has no baseline.

    P of the second camera of a pair (Tx = -fx B) is measured from the first. By CameraInfo the
    origin of `header.frame_id` is the camera itself, and so do RealSense, ZED, OAK and the bags
    made of KITTI; other drivers give both cameras the first one's frame, and only there
    P says where in its frame the camera is.

    frames: of all cameras of a bag. None on a running graph, where not all are known: a frame is
    the camera's own there, as those of a rig have to be.
    """

    def __init__(self, frames: Set[str] | None = None):
        self.frames = frames

    def is_second(self, info: CameraInfo) -> bool:
        """Whether P says where in its frame the camera is: another camera stands in the origin."""
        frame_id = info.header.frame_id.lstrip("/")
        return bool(self.frames) and frame_id in self.frames and baseline(info) > 0

    def doubt(self, info: CameraInfo) -> Doubt | None:
        """What is assumed of the frame of a second camera where not all cameras are known."""
        if self.frames is not None or not baseline(info):
            return None
        what = (
            f"P says that the camera is {baseline(info):.3f} m beside the first of a stereo pair, "
            f"and '{info.header.frame_id}' is taken for its own frame, as CameraInfo defines it"
        )
        fix = "if it is the first camera's, give this one a frame of its own, with its place in TF"
        return Doubt(what, fix)
