"""ply: the coloured point cloud in the prediction's world frame, ``points.ply``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from da3_ros.core.export import points
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.prediction import Prediction

_VERTEX = np.dtype(
    [
        *((axis, "<f4") for axis in "xyz"),
        *((channel, "u1") for channel in ("red", "green", "blue")),
    ]
)


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
    """Binary PLY of x, y, z float32 and red, green, blue uint8 (sRGB)."""
    mask = points.confident_pixels(
        prediction,
        conf_thresh_percentile=conf_thresh_percentile,
        filter_black_bg=filter_black_bg,
        filter_white_bg=filter_white_bg,
        filter_sky=filter_sky,
    )
    mask = points.thin_out(mask, num_max_points)
    vertices = np.empty(int(mask.sum()), _VERTEX)
    cloud, colors = points.unproject(prediction, mask), prediction.processed_images[mask]
    for i, name in enumerate(_VERTEX.names[:3]):
        vertices[name] = cloud[:, i]
    for i, name in enumerate(_VERTEX.names[3:]):
        vertices[name] = colors[:, i]
    unit = "metre" if prediction.is_metric else "unit of the model"
    return [write_ply(folder / "points.ply", vertices, f"world frame, {unit}")]


def write_ply(path: Path, vertices: np.ndarray, comment: str) -> Path:
    """Binary little-endian PLY of a structured array of `<f4` and `u1` columns."""
    kinds = {"f": "float", "u": "uchar"}
    columns = [f"property {kinds[vertices.dtype[n].kind]} {n}" for n in vertices.dtype.names]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {comment}",
        f"element vertex {len(vertices)}",
        *columns,
        "end_header",
    ]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write("".join(f"{line}\n" for line in header).encode("ascii"))
        file.write(vertices.data if len(vertices) else b"")
    return path
