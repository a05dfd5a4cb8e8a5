"""Triangle meshes: load, save, and the depth a camera would see."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.scene.render_depth import render_depth

SUFFIXES = (".ply", ".obj", ".glb")
_PARSER_ERRORS = (
    ValueError, LookupError, TypeError, AttributeError, NotImplementedError, OSError,
    MemoryError, struct.error,
)  # fmt: skip
"""What trimesh's readers raise for broken files, found by feeding them such."""


class MeshError(ValueError):
    """A mesh that cannot be read, or that cannot be."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in the world frame, metres.

    vertices: (V, 3) float32. faces: (F, 3) int64 rows of `vertices`, anticlockwise seen from
    outside. vertex_colors: (V, 3) uint8 sRGB or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    vertex_colors: np.ndarray | None = None

    def __post_init__(self):
        vertices = np.ascontiguousarray(self.vertices, dtype=np.float32)
        faces = np.ascontiguousarray(self.faces, dtype=np.int64)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            raise MeshError(f"vertices must be finite with shape (V, 3), got {vertices.shape}")
        if faces.ndim != 2 or faces.shape[1] != 3:
            raise MeshError(f"faces must have shape (F, 3), got {faces.shape}")
        if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
            raise MeshError(f"faces name vertices outside 0..{len(vertices) - 1}")
        if self.vertex_colors is not None:
            colors = np.ascontiguousarray(self.vertex_colors, dtype=np.uint8)
            if colors.shape != vertices.shape:
                raise MeshError(f"vertex_colors must be {vertices.shape}, got {colors.shape}")
            object.__setattr__(self, "vertex_colors", colors)
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Mesh:
        """Read a PLY, OBJ or GLB file; the parts of a scene become one mesh.

        Coordinates are taken as they are: metres in the world frame.
        """
        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise MeshError(f"{path}: mesh files end in {', '.join(SUFFIXES)}")
        if not path.is_file():
            raise MeshError(f"{path}: no such file")
        try:
            loaded = trimesh.load(path, force="mesh", process=False)
            if len(getattr(loaded, "faces", ())) == 0:
                raise MeshError("it holds no triangles")
            return cls(loaded.vertices, loaded.faces, _vertex_colors(loaded))
        except _PARSER_ERRORS as error:
            raise MeshError(f"{path} cannot be read as a mesh: {error}") from error

    def save_ply(self, path: str | os.PathLike) -> None:
        """Binary PLY with colours."""
        with atomic_path(path) as temporary:
            self._trimesh().export(temporary)

    def save_glb(self, path: str | os.PathLike) -> None:
        """Binary glTF, unlit: viewers show the colours as they are."""
        from da3_ros.core.files.gltf import TRIANGLES, Primitive, write_glb

        colors = self.vertex_colors
        if colors is None:
            colors = np.full(self.vertices.shape, 200, np.uint8)
        write_glb(Path(path), [Primitive("mesh", TRIANGLES, self.vertices, colors, self.faces)])

    def render_depth(
        self,
        transform: np.ndarray,
        calibration: CameraModel,
        cull_faces: bool = True,
        add_alpha: bool = True,
    ) -> np.ndarray:
        """Depth that a camera would see of this mesh, exact at every pixel centre.

        transform: (4, 4) camera to scene, optical axes (x right, y down, z forward).
        calibration: any size, principal point anywhere, with or without a lens.
        cull_faces: leave out triangles seen from behind. Returns float32 (H, W), depth along
        z in scene units, NaN where nothing is seen; with `add_alpha` (H, W, 2), the second
        channel 1 where something is seen and 0 elsewhere.
        Raises PoseError or CameraError naming what is wrong.
        """
        return render_depth(self, transform, calibration, cull_faces, add_alpha)

    def _trimesh(self) -> trimesh.Trimesh:
        return trimesh.Trimesh(
            self.vertices, self.faces, vertex_colors=self.vertex_colors, process=False
        )


def _vertex_colors(loaded: trimesh.Trimesh) -> np.ndarray | None:
    if loaded.visual.kind != "vertex":
        return None
    return np.asarray(loaded.visual.vertex_colors)[:, :3]
