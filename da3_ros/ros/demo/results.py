"""What the demo leaves: a table in the terminal, and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from da3_ros.core.config import SceneConfig
from da3_ros.core.files.ply import colored_points, write_ply
from da3_ros.ros.demo.film import POINT_EDGE, write_animation, write_film
from da3_ros.ros.demo.listener import Listener
from da3_ros.ros.demo.pictures import draw_depth, draw_from_above
from da3_ros.ros.demo.processes import DemoError
from da3_ros.ros.demo.progress import say

MAP_TIMEOUT = 20.0
"""Seconds in which the node has to show its map, which it looks after every two."""

VOXEL = SceneConfig().voxel_size

NO_POINTS = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)


def show(listener: Listener, out: Path, peak_memory: int) -> None:
    """Table, pictures, video and map. Raises `DemoError` when nothing was published."""
    if listener.status is None:
        raise DemoError(f"nothing was heard of the node; see {out / 'node.log'}")
    print_table(listener, peak_memory)
    if listener.depth is None or listener.rgb is None:
        raise DemoError(f"no depth was published: {listener.status.reason or 'see the table'}")
    for path, what in write_results(listener, out):
        say("writes", f"{path}: {what}")
    if "random weights" in listener.status.model:
        print("\nThe weights are random: nothing was trained, so the depth means nothing yet.")


def print_table(listener: Listener, peak_memory: int) -> None:
    """What became of the frames, and what it cost."""
    status = listener.status
    rows = [
        ("model", status.model),
        ("frames in", status.frames_received),
        ("windows", status.windows_processed),
        ("published", status.frames_published),
    ]
    counts = zip(status.dropped_reasons, status.dropped_counts)
    rows += [(f"dropped: {reason}", count) for reason, count in counts if count]
    rows.append(("still in the window", status.frames_pending))
    stages = list(listener.stages.items())  # its thread may add one
    rows += [(f"{stage}, ms", f"{np.median(ms):.0f}") for stage, ms in stages]
    rows.append(("peak memory, MB", peak_memory >> 20))
    print()
    for name, value in rows:
        print(f"{name:<28}{value}")
    print()


def write_results(listener: Listener, out: Path) -> Iterator[tuple[Path, str]]:
    """Each file as soon as it is written, and what it shows."""
    shots = listener.shots()
    placed = [shot for shot in shots.values() if shot.T_world_cam is not None]
    path = np.array([shot.T_world_cam[:3, 3] for shot in placed]).reshape(-1, 3)
    yield _write_png(out / "rgb.png", listener.rgb), "the newest picture"
    yield _write_png(out / "depth.png", draw_depth(listener.depth)), "its depth"
    points, colors = map(np.vstack, zip(NO_POINTS, *(shot.cloud() for shot in placed)))
    above = draw_from_above(points, colors, path, edge=POINT_EDGE)
    yield _write_png(out / "cloud_from_above.png", above), "the clouds of all pictures, and the way"
    if shots:
        yield write_film(out / "demo.mp4", shots), "the run: picture, depth, and the cloud growing"
        yield write_animation(out / "demo.webp", shots), "the same, small"
    if placed and (fused := listener.fused_map(MAP_TIMEOUT)):
        above = draw_from_above(*fused, path, edge=VOXEL)
        yield _write_png(out / "map_from_above.png", above), "the map that the node fused"
        vertices = colored_points(*fused)
        blocks = vertices.dtype, len(vertices), [vertices]
        file = write_ply(out / "map.ply", *blocks, "world frame, metres")
        yield file, f"its {len(vertices)} points"


def _write_png(path: Path, rgb: np.ndarray) -> Path:
    cv2.imwrite(str(path), rgb[..., ::-1])
    return path
