"""Triangle meshes: load, save, and the depth a camera would see."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from da3_ros.core import far_world, poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.colormap import UNCOLORED
from da3_ros.core.files.gltf import TRIANGLES, Z_UP_TO_Y_UP, Primitive, write_glb
from da3_ros.core.files.mesh_bounds import DEFAULT_BOUNDS, MeshBounds
from da3_ros.core.files.obj_text import plain_obj
from da3_ros.core.files.ply import colored_points, write_ply
from da3_ros.core.files.read_gltf import read_glb
from da3_ros.core.files.read_ply import read_ply
from da3_ros.core.scene.render_depth import render_depth
from da3_ros.net.plain_text import LONGEST_PATH, LONGEST_SENTENCE, plain

SUFFIXES = (".ply", ".obj", ".glb")
_PARSER_ERRORS = (
    ValueError, LookupError, TypeError, AttributeError, NotImplementedError, OSError,
    MemoryError, ArithmeticError, RecursionError, struct.error,
)  # fmt: skip
"""What readers raise for broken files, found by feeding them such."""


class MeshError(ValueError):
    """A mesh that is unreadable or invalid."""


def whole_numbers(values: np.ndarray, dtype: type, name: str, what: str) -> np.ndarray:
    """The same numbers as a contiguous array of an integer type.

    name, what: of the values, in words. Raises `MeshError` for numbers that the type does not
    have: it would cut or wrap them.
    """
    values, limits = np.asarray(values), np.iinfo(dtype)
    is_whole = values.dtype.kind in "iu"
    if values.size and not (is_whole and values.min() >= limits.min and values.max() <= limits.max):
        raise MeshError(f"{name} must be whole numbers: {what}; got {_range(values)}")
    return np.ascontiguousarray(values, dtype=dtype)


def _range(values: np.ndarray) -> str:
    if values.dtype.kind not in "iuf":
        return str(values.dtype)
    return f"{values.dtype} from {values.min():g} to {values.max():g}"


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in the world frame, metres.

    vertices: (V, 3) float64, so that a far world (UTM, ECEF) costs no digits. faces: (F, 3) int64
    rows of `vertices`, anticlockwise seen from outside. vertex_colors: (V, 3) uint8 sRGB or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    vertex_colors: np.ndarray | None = None

    def __post_init__(self):
        vertices = np.ascontiguousarray(self.vertices, dtype=np.float64)
        faces = whole_numbers(self.faces, np.int64, "faces", "rows of vertices")
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            raise MeshError(f"vertices must be finite with shape (V, 3), got {vertices.shape}")
        if faces.ndim != 2 or faces.shape[1] != 3:
            raise MeshError(f"faces must have shape (F, 3), got {faces.shape}")
        if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
            raise MeshError(f"faces name vertices outside 0..{len(vertices) - 1}")
        if self.vertex_colors is not None:
            what = "red, green and blue from 0 to 255 (shares from 0 to 1: multiply by 255)"
            colors = whole_numbers(self.vertex_colors, np.uint8, "vertex_colors", what)
            if colors.shape != vertices.shape:
                raise MeshError(f"vertex_colors must be {vertices.shape}, got {colors.shape}")
            object.__setattr__(self, "vertex_colors", colors)
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)

    @classmethod
    def load(cls, path: str | os.PathLike, bounds: MeshBounds = DEFAULT_BOUNDS) -> Mesh:
        """Read a PLY, OBJ or GLB file; the parts of a scene become one mesh.

        Coordinates are taken as they are: metres in the world frame. A GLB file of this package
        says where its world is (`T_world_gltf`) and comes back as it was. bounds: how much is
        read; larger files are refused before memory is asked for. Raises `MeshError`.
        """
        path = Path(path)
        called = plain(str(path), LONGEST_PATH)
        if path.suffix.lower() not in SUFFIXES:
            raise MeshError(f"{called}: mesh files end in {', '.join(SUFFIXES)}")
        if not os.path.isfile(path):
            what = "it is a folder, not a file" if os.path.isdir(path) else "no such file"
            raise MeshError(f"{called}: {what}")
        try:
            bounds.check("file_bytes", path.stat().st_size)
            vertices, faces, colors = _READERS[path.suffix.lower()](path, bounds)
            if len(faces) == 0:
                raise MeshError("it holds no triangles")
            return cls(vertices, faces, colors)
        except _PARSER_ERRORS as error:
            reason = plain(str(error), LONGEST_SENTENCE // 2)
            raise MeshError(f"{called} cannot be read as a mesh: {reason}") from error

    def save_ply(self, path: str | os.PathLike) -> None:
        """Binary PLY with colors; x, y, z are float32, or float64 far from the world's origin."""
        is_far = far_world.float32_origin(self.vertices).any()
        points = self.vertices if is_far else self.vertices.astype(np.float32)
        vertices = colored_points(points, self.vertex_colors)
        kind, count = vertices.dtype, len(vertices)
        write_ply(Path(path), kind, count, [vertices], "world frame, metre", faces=self.faces)

    def save_glb(
        self,
        path: str | os.PathLike,
        *,
        metadata: dict | None = None,
        origin: np.ndarray | None = None,
    ) -> None:
        """Binary glTF, unlit: viewers show the colors as they are, and world z upwards.

        Vertices are float32 around `origin` (3,), by default the world's own, or whole metres
        near the middle of a far mesh. The scene's extras hold `T_world_gltf`, which carries what
        a viewer sees back to the world frame, and `metadata`.
        """
        if origin is None:
            origin = far_world.float32_origin(self.vertices)
        colors = self.vertex_colors
        if colors is None:
            colors = np.full(self.vertices.shape, UNCOLORED, np.uint8)
        part = Primitive("mesh", TRIANGLES, self.vertices - origin, colors, self.faces)
        T_world_gltf = poses.compose(np.eye(3), origin) @ poses.inverse(Z_UP_TO_Y_UP)
        extras = {"T_world_gltf": T_world_gltf.tolist(), "unit": "m", "frame": "world"}
        extras |= metadata or {}
        write_glb(Path(path), [part], extras=extras, T_gltf_local=Z_UP_TO_Y_UP)

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3) m: the smallest and the largest x, y, z. MeshError without vertices."""
        if len(self.vertices) == 0:
            raise MeshError("a mesh without vertices has no bounds")
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])

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


def _read_obj(path: Path, bounds: MeshBounds) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    bounds.check("text_bytes", path.stat().st_size)
    # Materials name other files, pictures too, anywhere on the disk.
    loaded: trimesh.Trimesh = trimesh.load(
        io.BytesIO(plain_obj(path.read_bytes())),
        file_type="obj",
        force="mesh",
        process=False,
        skip_materials=True,
    )
    bounds.check("vertices", len(getattr(loaded, "vertices", ())))
    bounds.check("triangles", len(getattr(loaded, "faces", ())))
    if len(getattr(loaded, "faces", ())) == 0:
        raise ValueError("it holds no triangles")
    has_colors = loaded.visual.kind == "vertex"
    colors = np.asarray(loaded.visual.vertex_colors)[:, :3] if has_colors else None
    return loaded.vertices, loaded.faces, colors


_READERS = {".ply": read_ply, ".obj": _read_obj, ".glb": read_glb}
