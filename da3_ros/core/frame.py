"""Frame: one rectified picture of one camera, with the pose it was taken from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel


@dataclass(frozen=True, eq=False)
class Frame:
    """A rectified image, its camera and its pose; checked at birth, never changed.

    camera_id: the optical frame's name (ROS frame_id).
    stamp_ns: time of exposure, ns since the epoch, int.
    image: (H, W, 3) uint8 RGB, C-contiguous.
    camera: pinhole model of exactly this image.
    T_world_cam: (4, 4) float64, metres, optical axes (x right, y down, z forward);
        None only where poses come from the network itself (pose.source none).
    seen: (H, W) bool, the pixels that the lens saw; None where it saw all.
    centre: (3,) m, the camera's place in the frame `camera_id` (not zero for the right
        camera of a stereo pair that is published in the left one's frame).
    T_world_odom: (4, 4) at the stamp, where the frame of odometry is, in which the camera moves
        without jumps while SLAM corrects its place in the world; None where there is none.
    """

    camera_id: str
    stamp_ns: int
    image: np.ndarray
    camera: CameraModel
    T_world_cam: np.ndarray | None
    seen: np.ndarray | None = None
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))
    T_world_odom: np.ndarray | None = None

    def __post_init__(self):
        height, width = self.camera.height, self.camera.width
        if self.image.shape != (height, width, 3) or self.image.dtype != np.uint8:
            raise ValueError(
                f"image must be uint8 {(height, width, 3)} like its camera, "
                f"got {self.image.dtype} {self.image.shape}"
            )
        if self.camera.is_distorted:
            raise ValueError("a Frame holds a rectified image; rectify it with its camera first")
        if self.seen is not None and self.seen.shape != (height, width):
            raise ValueError(f"seen must be {(height, width)} like its camera")
        object.__setattr__(self, "image", np.ascontiguousarray(self.image))
        for name in ("T_world_cam", "T_world_odom"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, poses.rigid(getattr(self, name), name))

    @property
    def T_frame_cam(self) -> np.ndarray:
        """(4, 4) the camera in the frame `camera_id`."""
        return poses.compose(np.eye(3), self.centre)

    def pose_under(self, T_world_odom: np.ndarray | None) -> np.ndarray:
        """T_world_cam (4, 4) of a posed frame, had odometry been placed as at another moment.

        T_world_odom: (4, 4) of that moment. The pose as it is, to the bit, where that is the same,
        or not known here or there.
        """
        own = self.T_world_odom
        if own is None or T_world_odom is None or np.array_equal(own, T_world_odom):
            return self.T_world_cam
        return T_world_odom @ poses.inverse(own) @ self.T_world_cam

    @property
    def key(self) -> tuple[str, int]:
        """Frame id and stamp_ns: what tells one frame from all others."""
        return self.camera_id, self.stamp_ns
