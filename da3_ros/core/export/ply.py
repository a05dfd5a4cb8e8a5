"""ply: the coloured point cloud in the prediction's world frame, ``points.ply``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from da3_ros.core.export import points
from da3_ros.core.export.points import CloudOptions
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.prediction import Prediction

_VERTEX = np.dtype(
    [
        *((axis, "<f4") for axis in "xyz"),
        *((channel, "u1") for channel in ("red", "green", "blue")),
    ]
)


def export_ply(prediction: Prediction, folder: Path, options: CloudOptions) -> list[Path]:
    """Binary PLY of x, y, z float32 and red, green, blue uint8 (sRGB)."""
    mask = points.chosen_pixels(prediction, options)
    vertices = np.empty(int(mask.sum()), _VERTEX)
    cloud, colors = points.unproject(prediction, mask), prediction.processed_images[mask]
    for i, name in enumerate(_VERTEX.names[:3]):
        vertices[name] = cloud[:, i]
    for i, name in enumerate(_VERTEX.names[3:]):
        vertices[name] = colors[:, i]
    unit = "metre" if prediction.is_metric else "unit of the model"
    about = f"world frame, {unit}"
    return [write_ply(folder / "points.ply", _VERTEX, len(vertices), [vertices], about)]


def write_ply(
    path: Path, vertex: np.dtype, count: int, blocks: Iterable[np.ndarray], comment: str
) -> Path:
    """Binary little-endian PLY of `count` vertices, of `<f4` and `u1` columns, as they come."""
    kinds = {"f": "float", "u": "uchar"}
    columns = [f"property {kinds[vertex[n].kind]} {n}" for n in vertex.names]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {comment}",
        f"element vertex {count}",
        *columns,
        "end_header",
    ]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write("".join(f"{line}\n" for line in header).encode("ascii"))
        file.writelines(block.data for block in blocks if len(block))
    return path
