"""A binary PLY writer: columns of vertices, and triangles."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from da3_ros.core.files.atomic_file import atomic_path

_KINDS = {"f4": "float", "f8": "double", "u1": "uchar"}
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def write_ply(
    path: Path,
    vertex: np.dtype,
    count: int,
    blocks: Iterable[np.ndarray],
    *comments: str,
    faces: np.ndarray | None = None,
) -> Path:
    """Binary little-endian PLY of `count` vertices, as they come, and triangles (F, 3), if any.

    vertex: columns of `<f4`, `<f8` and `u1`.
    """
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {comment}" for comment in comments),
        f"element vertex {count}",
        *(f"property {_KINDS[vertex[name].str[1:]]} {name}" for name in vertex.names),
    ]
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write("".join(f"{line}\n" for line in (*header, "end_header")).encode("ascii"))
        file.writelines(block.data for block in blocks if len(block))
        if faces is not None:
            rows = np.empty(len(faces), _FACE)
            rows["count"], rows["corners"] = 3, faces
            file.write(rows.tobytes())
    return path


def colored_points(points: np.ndarray, colors: np.ndarray | None) -> np.ndarray:
    """Vertices of points (n, 3), float32 or float64, and colors (n, 3) uint8 sRGB or None."""
    axes = [(axis, f"<f{points.dtype.itemsize}") for axis in "xyz"]
    channels = [] if colors is None else [(c, "u1") for c in ("red", "green", "blue")]
    vertices = np.empty(len(points), np.dtype(axes + channels))
    for i, (name, _) in enumerate(axes):
        vertices[name] = points[:, i]
    for i, (name, _) in enumerate(channels):
        vertices[name] = colors[:, i]
    return vertices
