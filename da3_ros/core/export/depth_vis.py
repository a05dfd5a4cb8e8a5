"""depth_vis: each view beside its color-coded depth, ``depth_vis/0000.jpg``."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from da3_ros.core import colormap
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.prediction import Prediction
from da3_ros.core.user_input.options import Flag, Maybe, Number, Options, option


@dataclass(frozen=True, eq=False)
class DepthVisOptions(Options):
    """Options of the format depth_vis."""

    percentile: float = option(
        2.0, Number(0, 50, "%"), "share of the inverse depths that each end of the colors takes"
    )
    legend: bool | None = option(
        None, Maybe(Flag()), "a legend in metres; None: when the depth is metric"
    )


def export_depth_vis(prediction: Prediction, folder: Path, options: DepthVisOptions) -> list[Path]:
    """One JPEG per view: the image, its depth, and a legend in metres.

    Colors are spread between two percentiles of each view's inverse depth.
    """
    percentile = options.percentile
    legend = bool(prediction.is_metric) if options.legend is None else options.legend

    def write(index: int) -> Path:
        image, depth = prediction.processed_images[index], prediction.depth[index]
        picture = side_by_side(image, depth, percentile, legend)
        return write_jpeg(folder / "depth_vis" / f"{index:04d}.jpg", picture)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(write, range(len(prediction.depth))))


def side_by_side(
    image: np.ndarray, depth: np.ndarray, percentile: float, legend: bool
) -> np.ndarray:
    """(H, W', 3) uint8: the image, its depth as colors, and perhaps the legend."""
    near, far = colormap.depth_range(depth, percentile)
    parts = [image, colormap.color_depth(depth, near, far)]
    if legend:
        parts.append(colormap.depth_legend(near, far, len(image)))
    return np.concatenate(parts, axis=1)


def write_jpeg(path: Path, image: np.ndarray) -> Path:
    """Write (H, W, 3) uint8 RGB at quality 95."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return path
