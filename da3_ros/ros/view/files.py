"""Files and result bags on the page: GLB, PLY (points, meshes, 3D Gaussians), rosbag2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from da3_ros.core.far_world import float32_origin
from da3_ros.msg import CameraPoses
from da3_ros.net.spherical_harmonics import DEGREE_0
from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.bags.bag_files import is_bag_file
from da3_ros.ros.view.frame_parts import DEPTH, KINDS, FrameParts, unit_of
from da3_ros.ros.view.page import Page
from da3_ros.ros.view.view_frame import ViewFrame

UPRIGHT = np.array([0.70710678, 0.70710678, 0.0, 0.0])
"""wxyz that takes glTF's y up to z up."""


class ViewFileError(ValueError):
    """A file that the page cannot show; one sentence."""


def is_bag(path: Path) -> bool:
    """Whether it is a rosbag2: a folder with metadata, or one of its files."""
    return path.is_dir() or is_bag_file(path)


def check(path: Path) -> None:
    """Before a page is served: raises `ViewFileError` for what it could never show."""
    if not path.exists():
        raise ViewFileError(f"there is no {path}")
    if not is_bag(path) and path.suffix.lower() not in (".glb", ".ply"):
        raise ViewFileError(f"{path.name} is neither .glb nor .ply nor a rosbag2")


def show_file(page: Page, path: Path) -> str:
    """Show a .glb or .ply that `check` let pass; returns what it is, in words. Raises
    `ViewFileError`."""
    if path.suffix.lower() == ".glb":
        page.server.scene.add_glb("/file", path.read_bytes(), wxyz=UPRIGHT)
        return "glTF scene"
    return _show_ply(page, path)


def bag_frames(path: Path) -> Iterator[ViewFrame]:
    """The published frames of a result of da3_process, or of a recording of the node.

    Raises `BagError`, and `ViewFileError` for a bag without depth images of ours.
    """
    with BagReader(path) as bag:
        topics = {c.topic for c in bag.connections}
        prefixes = sorted(t.removesuffix(DEPTH) for t in topics if t.endswith(f"/{DEPTH}"))
        if not prefixes:
            raise ViewFileError(
                f"{path} holds no .../{DEPTH}: give a result of da3_process, or replay the bag "
                "into a running node and start da3_view without a file"
            )
        wanted = {prefix + part: (prefix, part) for prefix in prefixes for part in KINDS}
        there = {prefix: {p for p in KINDS if prefix + p in topics} for prefix in prefixes}
        parts = FrameParts(_unit(bag))
        for topic, _, msg in bag.messages(*(t for t in wanted if t in topics)):
            prefix, part = wanted[topic]
            name = prefix.strip("/").partition("/")[2]
            yield from parts.add(name, part, msg, there[prefix])


def _unit(bag: BagReader) -> str:
    """Of the depth in a bag: metres where any window knew its scale."""
    topics = bag.topics_of(CameraPoses)
    scales = (msg.scale for _, _, msg in bag.messages(*topics))
    return unit_of(next(filter(math.isfinite, scales), math.nan))


def _show_ply(page: Page, path: Path) -> str:
    try:
        loaded = trimesh.load(path, process=False)
        vertices = loaded.metadata["_ply_raw"]["vertex"]["data"]
    except Exception as error:  # trimesh raises what it likes on damaged files
        raise ViewFileError(f"{path.name} cannot be read as PLY: {error}") from error
    if "f_dc_0" in (vertices.dtype.names or ()):
        return _show_gaussians(page, vertices)
    page.origin = float32_origin(np.asarray(loaded.vertices, np.float64))
    if isinstance(loaded, trimesh.Trimesh):
        page.show_mesh(loaded)
        return f"mesh of {len(loaded.faces)} triangles"
    colors = getattr(loaded, "colors", None)
    colors = np.full((len(loaded.vertices), 3), 160) if colors is None else colors[:, :3]
    points = (loaded.vertices - page.origin).astype(np.float32)
    page.server.scene.add_point_cloud("/file", points, colors, point_size=0.01)
    return f"{len(loaded.vertices)} points"


def _show_gaussians(page: Page, vertices: np.ndarray) -> str:
    def columns(*names: str) -> np.ndarray:
        return np.stack([vertices[name] for name in names], axis=-1).astype(np.float64)

    centers = columns("x", "y", "z")
    page.origin = float32_origin(centers)
    wxyz = columns(*(f"rot_{i}" for i in range(4)))
    R = Rotation.from_quat(np.roll(wxyz, -1, axis=1)).as_matrix()
    axes = R * np.exp(columns(*(f"scale_{i}" for i in range(3))))[:, None, :]
    page.server.scene.add_gaussian_splats(
        "/file",
        centers=centers - page.origin,
        covariances=axes @ np.swapaxes(axes, 1, 2),
        # Kerbl et al. 2023: the harmonic of degree 0 around grey.
        rgbs=np.clip(0.5 + DEGREE_0 * columns(*(f"f_dc_{i}" for i in range(3))), 0, 1),
        opacities=1 / (1 + np.exp(-columns("opacity"))),
    )
    return f"{len(vertices)} 3D Gaussians"
