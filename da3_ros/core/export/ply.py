"""ply: the colored point cloud in the prediction's world frame, ``points.ply``."""

from __future__ import annotations

from pathlib import Path

from da3_ros.core.export import points
from da3_ros.core.export.points import CloudOptions
from da3_ros.core.files.ply import colored_points, write_ply
from da3_ros.core.prediction import Prediction

_ABOUT = "world frame"
FIRST_LINES = f"ply\nformat binary_little_endian 1.0\ncomment {_ABOUT}, ".encode("ascii")
"""By which a file of ours is known."""


def export_ply(prediction: Prediction, folder: Path, options: CloudOptions) -> list[Path]:
    """Binary PLY of x, y, z float32 and red, green, blue uint8 (sRGB).

    In a world far from its origin (UTM, say) x, y, z are float64.
    """
    mask = points.chosen_pixels(prediction, options)
    cloud = points.world_points(prediction, mask)
    vertices = colored_points(cloud, prediction.processed_images[mask])
    unit = "metre" if prediction.is_metric else "unit of the model"
    about = f"{_ABOUT}, {unit}"
    return [write_ply(folder / "points.ply", vertices.dtype, len(vertices), [vertices], about)]
