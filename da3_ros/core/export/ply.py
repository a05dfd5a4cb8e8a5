"""ply: the coloured point cloud in the prediction's world frame, ``points.ply``."""

from __future__ import annotations

from pathlib import Path

from da3_ros.core.export import points
from da3_ros.core.files.ply import coloured_points, write_ply
from da3_ros.core.prediction import Prediction


def export_ply(
    prediction: Prediction,
    folder: Path,
    *,
    conf_thresh_percentile: float = 40.0,
    num_max_points: int = 1_000_000,
    filter_black_bg: bool = False,
    filter_white_bg: bool = False,
    filter_sky: bool = True,
) -> list[Path]:
    """Binary PLY of x, y, z float32 and red, green, blue uint8 (sRGB).

    In a world far from its origin (UTM, say) x, y, z are float64.
    """
    mask = points.confident_pixels(
        prediction,
        conf_thresh_percentile=conf_thresh_percentile,
        filter_black_bg=filter_black_bg,
        filter_white_bg=filter_white_bg,
        filter_sky=filter_sky,
    )
    mask = points.thin_out(mask, num_max_points)
    cloud = points.world_points(prediction, mask)
    vertices = coloured_points(cloud, prediction.processed_images[mask])
    unit = "metre" if prediction.is_metric else "unit of the model"
    return [write_ply(folder / "points.ply", vertices, f"world frame, {unit}")]
