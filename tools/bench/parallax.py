"""What metres from parallax cost a published frame: tracks, points and the correction."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np

from da3_ros.core import poses
from da3_ros.core.config import ScaleConfig
from da3_ros.core.frame import Frame
from da3_ros.core.scale.metric_scale import MetricScale
from da3_ros.core.scale.parallax import Parallax
from da3_ros.core.scale.placement import DepthMaps, NetworkPoses
from da3_ros.core.scale.scene_scale import SceneScale
from da3_ros.core.scene.one_thread import one_thread
from da3_ros.core.sliding_window import Window
from da3_ros.synthetic.room import CAMERA, demo_path, render_room

VIEWS = 4
WAY = 60
"""Views of the demo's loop: steps of 12 cm."""


def measure(frames: int = 20) -> dict:
    """Median CPU ms per 640x480 frame with 4 views, one core.

    points: following and triangulating them; correction: of the depth by them; cameras: what
    the step costs without points.
    """
    cv2.setNumThreads(1)
    with one_thread():
        shots = [render_room(T) for T in demo_path(WAY)[:frames]]
        alone, aided = (_placing(shots, source) for source in ("cameras", "parallax"))
        points = _following(shots)
    return {
        "points_ms_median": round(points, 1),
        "correction_ms_median": round(aided - alone - points, 1),
        "cameras_ms_median": round(alone, 1),
    }


def _placing(shots: list, source: str) -> float:
    config = ScaleConfig(source=source)
    scale = SceneScale(config, MetricScale(config), keeps_unit=True)

    def place(window: Window, depth: np.ndarray) -> Callable:
        maps, output = _said(window, depth)
        return lambda: scale.place(window, output, maps)

    return _milliseconds(shots, place)


def _following(shots: list) -> float:
    parallax = Parallax()

    def follow(window: Window, depth: np.ndarray) -> Callable:
        return lambda: parallax.look(window, window.reference, 0.0)

    return _milliseconds(shots, follow)


def _milliseconds(shots: list, work_on: Callable[[Window, np.ndarray], Callable]) -> float:
    """Of what `work_on` makes ready for a window and its reference's depth."""
    frames = [
        Frame("camera", k * 200_000_000, shot.image, shot.camera, shot.T_world_cam)
        for k, shot in enumerate(shots)
    ]
    seconds = []
    for k in range(len(frames) - VIEWS + 1):
        window = Window(tuple(frames[k : k + VIEWS]), VIEWS // 2, (VIEWS // 2,))
        work = work_on(window, shots[k + VIEWS // 2].depth)
        start = time.thread_time()
        work()
        seconds.append(time.thread_time() - start)
    return 1000 * median(seconds[1:])  # the first one tracks all its frames


def _said(window: Window, depth: np.ndarray) -> tuple[DepthMaps, NetworkPoses]:
    """What a network would say that bends depth a little."""
    camera = CAMERA.scaled(width=504, height=378)
    said = cv2.resize(depth, (504, 378), interpolation=cv2.INTER_NEAREST) ** 0.9
    T_cam_ref = poses.inverse(window.T_world_cam) @ window.T_world_cam[0]
    return DepthMaps(window.views, (camera,), said[None]), NetworkPoses(T_cam_ref[:, :3])
