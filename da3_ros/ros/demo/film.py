"""The demo's video: picture and depth, beside the cloud that grows, seen from above."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from da3_ros.core.colormap import color_depth, depth_legend, depth_range
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.files.video import write_video
from da3_ros.ros.demo.listener import Shot
from da3_ros.ros.demo.pictures import ViewFromAbove

SLOWEST, FASTEST = 2.0, 30.0
"""Pictures per second of a video."""

POINT_EDGE = 0.03
"""m, of a point seen from above."""

ANIMATION_WIDTH = 640
ANIMATION_LENGTH = 80
ANIMATION_SECONDS = 8.0
"""px, pictures, and how long the animation takes: it has to fit into a web page."""


def film(shots: list[Shot]) -> Iterator[np.ndarray]:
    """(2 h, 2 h + w + legend, 3) uint8 RGB of each shot; colors mean the same in all of them."""
    near, far = depth_range(np.stack([_fit(s.depth, shots[0].depth) for s in shots])[:, ::4, ::4])
    height = shots[0].rgb.shape[0]
    legend = depth_legend(near, far, 2 * height)
    clouds = [shot.cloud() for shot in shots]
    path = np.array([s.T_world_cam[:3, 3] for s in shots if s.T_world_cam is not None])
    above = ViewFromAbove(
        np.vstack([points for points, _ in clouds]),
        path.reshape(-1, 3),
        size=2 * height,
        edge=POINT_EDGE,
    )
    way: list[np.ndarray] = []
    for shot, cloud in zip(shots, clouds):
        above.add(*cloud)
        if shot.T_world_cam is not None:
            way.append(shot.T_world_cam[:3, 3])
        rgb, depth = _fit(shot.rgb, shots[0].rgb), _fit(shot.depth, shots[0].depth)
        halves = np.vstack([rgb, color_depth(depth, near, far)])
        yield np.hstack([halves, legend, above.picture(np.array(way).reshape(-1, 3))])


def write_film(path: Path, shots: dict[int, Shot]) -> Path:
    """An MP4 at the pace of the recording. shots: by stamp in ns."""
    stamps = list(shots)
    seconds = (stamps[-1] - stamps[0]) * 1e-9
    fps = (len(stamps) - 1) / seconds if seconds > 0 else SLOWEST
    return write_video(path, film(list(shots.values())), fps=min(max(fps, SLOWEST), FASTEST))


def write_animation(path: Path, shots: dict[int, Shot]) -> Path:
    """A small animated WebP of at most `ANIMATION_LENGTH` of the shots, for a web page."""
    step = -(-len(shots) // ANIMATION_LENGTH)
    kept = islice(film(list(shots.values())), 0, None, step)
    pictures = [Pillow.fromarray(picture) for picture in kept]
    width, height = pictures[0].size
    size = ANIMATION_WIDTH, round(ANIMATION_WIDTH * height / width)
    first, *others = (p.resize(size, Pillow.Resampling.LANCZOS) for p in pictures)
    with atomic_path(path) as temporary:
        first.save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=others,
            duration=round(1000 * ANIMATION_SECONDS / len(pictures)),
            loop=0,
            quality=60,
        )
    return path


def _fit(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The picture in the rows of the first one: cameras of a bag may change their size."""
    height = like.shape[0]
    if len(picture) == height:
        return picture
    fitted = np.zeros((height, *picture.shape[1:]), picture.dtype)
    fitted[: len(picture)] = picture[:height]
    return fitted
