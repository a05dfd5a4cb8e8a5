"""Windows of the demo room with true depth, small and rendered once."""

from functools import lru_cache

import numpy as np

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


def true_at(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    columns, rows = np.rint(pixels).astype(int).T
    return depth[rows, columns]
