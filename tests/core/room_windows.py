"""Windows of the demo room with true depth, small and rendered once."""

from functools import lru_cache

import numpy as np

from da3_ros.core import poses
from da3_ros.core.frame import Frame
from da3_ros.core.sliding_window import Window
from da3_ros.synthetic.room import CAMERA, RoomView, demo_path, render_room

ROOM_CAMERA = CAMERA.scaled(width=320, height=240)


@lru_cache(maxsize=32)
def view(i: int, n: int = 60) -> RoomView:
    return render_room(demo_path(n)[i % n], ROOM_CAMERA)


def frame(i: int, **changed) -> Frame:
    found = view(i)
    values = {
        "camera_id": "cam",
        "stamp_ns": i * 200_000_000,
        "image": found.image,
        "camera": found.camera,
        "T_world_cam": found.T_world_cam,
    }
    return Frame(**values | changed)


def window(start: int = 0, count: int = 4) -> Window:
    frames = tuple(frame(start + k) for k in range(count))
    return Window(frames, count // 2, (count // 2,))


def turned_frames() -> list[Frame]:
    """A camera that turns on the spot."""
    frames = []
    for k in range(3):
        turn = poses.from_quat_xyzw((0, np.sin(0.02 * k), 0, np.cos(0.02 * k)), (0, 0, 0))
        T_world_cam = view(0).T_world_cam @ turn
        image = render_room(T_world_cam, ROOM_CAMERA).image
        frames.append(frame(0, stamp_ns=k, image=image, T_world_cam=T_world_cam))
    return frames


def true_at(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    columns, rows = np.rint(pixels).astype(int).T
    return depth[rows, columns]
