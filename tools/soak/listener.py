"""The other end of a soak: a user of the node who counts and times what comes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from da3_ros.msg import Status
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from da3_ros.ros.background_node import BackgroundNode
from da3_ros.ros.messages import read_header

QUEUE = 100
LEAP_NS = 60_000_000_000
"""Two published stamps further apart than this have a jump forward between them."""


class SoakListener(BackgroundNode):
    """Subscribes to the node `da3` and to its input.

    latencies: seconds from an image, heard, to its depth, heard. jumps: (back, forward) seen
    in the stamps of the first camera's depth. unbalanced: sentences about status messages that do
    not add up. came_at: s, `time.time()`, of each depth. cameras: of a rig, [""] for one alone.
    """

    def __init__(self, cameras: Sequence[str] = ("",)):
        self.depths = self.infos = self.clouds = 0
        self.jumps = [0, 0]
        self.latencies: list[float] = []
        self.statuses: list[Status] = []
        self.unbalanced: list[str] = []
        self.came_at: list[float] = []
        self._heard: dict[int, float] = {}
        self._newest_ns: int | None = None
        super().__init__("soak_listener")
        create = self.node.create_subscription
        for camera in cameras:
            prefix = f"{camera}/" if camera else ""
            on_depth = partial(self._on_depth, camera == cameras[0])
            # Raw: to make pictures of bytes would cost the cores that are tested.
            create(Image, f"{prefix}image", self._on_image, QUEUE, raw=True)
            create(Image, f"/da3/{prefix}depth/image", on_depth, QUEUE, raw=True)
            create(CameraInfo, f"/da3/{prefix}depth/camera_info", self._on_info, QUEUE)
            create(PointCloud2, f"/da3/{prefix}points", self._on_points, QUEUE, raw=True)
        create(Status, "/da3/status", self._on_status, QUEUE)

    def wait_until_settled(self, timeout: float = 30.0) -> Status:
        """The first status that says the same as the one before it: nothing moves any more."""
        deadline = time.monotonic() + timeout
        seen = len(self.statuses)
        while time.monotonic() < deadline:
            time.sleep(0.1)
            fresh = self.statuses[seen:]
            if len(fresh) > 2 and _counts(fresh[-1]) == _counts(fresh[-2]):
                break
        return self.statuses[-1]

    def _on_image(self, message: bytes) -> None:
        stamp, _ = read_header(message)
        self._heard[stamp] = time.monotonic()
        if len(self._heard) > QUEUE:
            self._heard.pop(next(iter(self._heard)))

    def _on_depth(self, is_first_camera: bool, message: bytes) -> None:
        stamp, _ = read_header(message)
        self.depths += 1
        self.came_at.append(time.time())
        if heard := self._heard.pop(stamp, None):
            self.latencies.append(time.monotonic() - heard)
        if not is_first_camera:
            return
        if self._newest_ns is not None:
            self.jumps[0] += stamp < self._newest_ns
            self.jumps[1] += stamp > self._newest_ns + LEAP_NS
        self._newest_ns = stamp

    def _on_info(self, _: CameraInfo) -> None:
        self.infos += 1

    def _on_points(self, _: bytes) -> None:
        self.clouds += 1

    def _on_status(self, msg: Status) -> None:
        self.statuses.append(msg)
        accounted = msg.frames_published + sum(msg.dropped_counts) + msg.frames_pending
        if msg.frames_received != accounted:
            self.unbalanced.append(f"{msg.frames_received} in, {accounted} accounted for")


def _counts(msg: Status) -> tuple:
    return msg.frames_received, msg.frames_published, msg.frames_pending, *msg.dropped_counts
