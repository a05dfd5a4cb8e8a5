"""All cameras of the node, and the poses they share: what live and offline processing feed."""

from __future__ import annotations

from collections.abc import Callable

from sensor_msgs.msg import CompressedImage, Image

from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, FrameCounts
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.outlet import Log
from da3_ros.ros.health.time_jump import StampVerdict
from da3_ros.ros.inputs.camera_input import CameraInput
from da3_ros.ros.inputs.pose_source import PoseSource


class CameraInputs:
    """Messages in, frames to `take(name, frame)`.

    start_over: called with what jumped, and by how many seconds, before the first image from
    after a jump back in time is taken; everything that waits here is to be cleared then.
    now_ns: the node's clock.
    """

    def __init__(
        self,
        live: LiveConfig,
        counts: FrameCounts,
        log: Log,
        poses: PoseSource,
        take: Callable[[str, Frame], None],
        start_over: Callable[[str, float], None],
        now_ns: Callable[[], int],
    ):
        self.poses = poses
        self._start_over = start_over
        self.inputs = {
            name: CameraInput(name, live, counts, log, poses, take, now_ns)
            for name in live.config.input.cameras
        }

    def on_image(self, camera: CameraInput, msg: Image | CompressedImage) -> None:
        """Step receive, for one of `inputs`. Its frame loses the leading slash of ROS 1: tf2 of
        whoever takes our results refuses it.
        """
        msg.header.frame_id = msg.header.frame_id.lstrip("/")
        verdict, ahead = camera.judge(msg)
        if verdict is StampVerdict.OTHER_CLOCK:
            camera.refuse(ahead)
            return
        if verdict is StampVerdict.JUMP:
            what = "back" if ahead < 0 else "ahead"
            self._start_over(f"image stamps jumped {what}", abs(ahead))
        camera.on_image(msg)

    @property
    def memory(self) -> dict[str, tuple]:
        """What decides on the images that come, by camera."""
        return {name: camera.memory for name, camera in self.inputs.items()}

    @property
    def are_waiting(self) -> bool:
        """Whether any image waits for its info or its pose."""
        return any(camera.is_waiting for camera in self.inputs.values())

    def expire(self, now: float) -> None:
        """Give up images whose camera info has not come in time. now: s, `time.monotonic()`."""
        for camera in self.inputs.values():
            camera.expire(now)

    def end(self) -> None:
        """No message comes any more."""
        for camera in self.inputs.values():
            camera.end()

    def locate(self) -> None:
        """Finish every image whose pose is known by now."""
        for camera in self.inputs.values():
            camera.locate()

    def clear(self, reason: Drop) -> None:
        """Drop all images that wait."""
        for camera in self.inputs.values():
            camera.clear(reason)
