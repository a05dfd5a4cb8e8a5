"""Files and result bags on the page: GLB, PLY (points, meshes, 3D Gaussians), rosbag2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation
from scipy.special import expit

from da3_ros.core.far_world import float32_origin
from da3_ros.core.files.gaussian_columns import NEEDED
from da3_ros.msg import CameraPoses
from da3_ros.net.plain_text import first_line
from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.bags.bag_files import is_bag_file
from da3_ros.ros.outputs.topics import DEPTH
from da3_ros.ros.view.frame_parts import KINDS, FrameParts, unit_of
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
        raise ViewFileError(f"{path} does not exist")
    if not is_bag(path) and path.suffix.lower() not in (".glb", ".ply"):
        raise ViewFileError(f"{path.name} is neither .glb nor .ply nor a rosbag2")


def add_file(page: Page, path: Path) -> str:
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
        vertices = loaded.metadata["_ply_raw"]["vertex"].get("data", {})
        places = np.asarray(getattr(loaded, "vertices", ()), np.float64)
    except Exception as error:  # trimesh raises what it likes on damaged files
        raise ViewFileError(f"{path.name} cannot be read as PLY: {first_line(error)}") from error
    if not len(places):
        raise ViewFileError(f"{path.name} holds no vertices: there is nothing to show")
    if "f_dc_0" in _names(vertices):
        return _show_gaussians(page, path.name, vertices)
    if not np.isfinite(places).all():
        raise ViewFileError(f"{path.name} has vertices of NaN or infinity: leave them out")
    page.origin = float32_origin(places)
    if isinstance(loaded, trimesh.Trimesh):
        return _show_mesh(page, path.name, loaded)
    colors = getattr(loaded, "colors", ())
    has_colors = len(colors) == len(places)
    colors = colors[:, :3] if has_colors else np.full((len(places), 3), 160, np.uint8)
    points = (places - page.origin).astype(np.float32)
    page.server.scene.add_point_cloud("/file", points, colors, point_size=0.01)
    return f"{len(places)} points"


def _names(vertices: np.ndarray | dict[str, np.ndarray]) -> tuple[str, ...]:
    """Of the properties: trimesh makes a table of a binary file, and a dict of one in ASCII."""
    return tuple(vertices) if isinstance(vertices, dict) else vertices.dtype.names or ()


def _show_mesh(page: Page, name: str, mesh: trimesh.Trimesh) -> str:
    faces = np.asarray(mesh.faces)
    if not 0 <= faces.min(initial=0) <= faces.max(initial=0) < len(mesh.vertices):
        raise ViewFileError(f"{name} has triangles with vertices that it lacks: write it again")
    page.show_mesh(mesh)
    return f"mesh of {len(faces)} triangles"


def _show_gaussians(page: Page, name: str, vertices: np.ndarray | dict[str, np.ndarray]) -> str:
    missing = [p for p in NEEDED if p not in _names(vertices)]
    if missing:
        has = f"{name} has f_dc_0 like 3D Gaussians, but no {', '.join(missing)}"
        raise ViewFileError(f"{has}: write all of them, or no f_dc_0 to have it shown as points")
    values = np.stack([np.ravel(vertices[p]) for p in NEEDED], axis=-1).astype(np.float64)
    centers, grey, opacity, scales, wxyz = np.split(values, (3, 6, 7, 10), axis=1)
    if not (np.isfinite(values).all() and wxyz.any(axis=1).all()):
        odd = "NaN, infinity or a rotation of zeros"
        raise ViewFileError(f"{name} has 3D Gaussians of {odd}: leave them out")
    from da3_ros.net.spherical_harmonics import DEGREE_0  # torch takes its time

    page.origin = float32_origin(centers)
    R = Rotation.from_quat(np.roll(wxyz, -1, axis=1)).as_matrix()
    axes = R * np.exp(scales)[:, None, :]
    page.server.scene.add_gaussian_splats(
        "/file",
        centers=centers - page.origin,
        covariances=axes @ np.swapaxes(axes, 1, 2),
        # Kerbl et al. 2023: the harmonic of degree 0 around grey.
        rgbs=np.clip(0.5 + DEGREE_0 * grey, 0, 1),
        opacities=expit(opacity),
    )
    return f"{len(values)} 3D Gaussians"
