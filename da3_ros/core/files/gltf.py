"""A binary glTF 2.0 writer for colored points, lines and triangles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.files.srgb import linear_rgb

POINTS, LINES, TRIANGLES = 0, 1, 4

Z_UP_TO_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""World axes (z up, REP-103) to glTF's (y up)."""

_FLOAT, _UINT = 5126, 5125
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963


@dataclass(frozen=True, eq=False)
class Primitive:
    """One draw call: positions (n, 3) float32, colors (n, 3) uint8 sRGB, indices (m,) or None."""

    name: str
    mode: int
    positions: np.ndarray
    colors: np.ndarray
    indices: np.ndarray | None = None


def write_glb(
    path: Path,
    primitives: list[Primitive],
    *,
    extras: dict | None = None,
    T_gltf_local: np.ndarray | None = None,
) -> None:
    """Write primitives as one scene, one mesh node each; empty ones are left out.

    The material is unlit, so viewers show the colors as they are. `extras` becomes the
    scene's metadata. `T_gltf_local` (4, 4) is every node's matrix: positions stay in their
    own frame while viewers show them in glTF's (y up).
    """
    document = _Document()
    for primitive in primitives:
        if len(primitive.positions):
            document.add(primitive, T_gltf_local)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        document.write(file, extras)


class _Document:
    """The JSON tree and the binary chunks behind it, grown primitive by primitive."""

    def __init__(self):
        self.nodes, self.meshes, self.accessors, self.views = [], [], [], []
        self.chunks = []
        self.length = 0

    def add(self, primitive: Primitive, matrix: np.ndarray | None) -> None:
        positions = np.ascontiguousarray(primitive.positions, dtype=np.float32)
        low, high = _bounds(positions)
        attributes = {
            "POSITION": self._accessor(positions, "VEC3", _FLOAT, _ARRAY_BUFFER, min=low, max=high),
            "COLOR_0": self._accessor(linear_rgb(primitive.colors), "VEC3", _FLOAT, _ARRAY_BUFFER),
        }
        entry = {"attributes": attributes, "mode": primitive.mode, "material": 0}
        if primitive.indices is not None:
            indices = np.ascontiguousarray(primitive.indices.reshape(-1), dtype=np.uint32)
            entry["indices"] = self._accessor(indices, "SCALAR", _UINT, _ELEMENT_ARRAY_BUFFER)
        node = {"name": primitive.name, "mesh": len(self.meshes)}
        if matrix is not None:
            node["matrix"] = np.float64(matrix).T.ravel().tolist()
        self.nodes.append(node)
        self.meshes.append({"name": primitive.name, "primitives": [entry]})

    def _accessor(self, array, kind, component, target, **more) -> int:
        view = {"buffer": 0, "byteOffset": self.length, "byteLength": array.nbytes}
        self.views.append({**view, "target": target})
        self.chunks.append(array)
        self.length += array.nbytes
        about = {"componentType": component, "count": len(array), "type": kind}
        self.accessors.append({"bufferView": len(self.views) - 1, **about, **more})
        return len(self.accessors) - 1

    def write(self, file, extras: dict | None) -> None:
        text = json.dumps(self._tree(extras), separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        body = 8 + self.length if self.chunks else 0
        header = (0x46546C67, 2, 12 + 8 + len(text) + body, len(text), 0x4E4F534A)
        file.write(np.array(header, "<u4").tobytes() + text)
        if self.chunks:
            file.write(np.array((self.length, 0x004E4942), "<u4").tobytes())
        for chunk in self.chunks:
            file.write(chunk.data)

    def _tree(self, extras: dict | None) -> dict:
        scene = {"extras": extras} if extras else {}
        tree = {"asset": {"version": "2.0", "generator": "da3_ros"}, "scene": 0, "scenes": [scene]}
        if not self.nodes:
            return tree
        scene["nodes"] = list(range(len(self.nodes)))
        unlit = {"KHR_materials_unlit": {}}
        material = {"pbrMetallicRoughness": {"metallicFactor": 0.0}, "extensions": unlit}
        return tree | {
            "extensionsUsed": ["KHR_materials_unlit"],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "materials": [material],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": self.length}],
        }


def _bounds(positions: np.ndarray) -> tuple[list[float], list[float]]:
    """Smallest and largest x, y, z of (n, 3); many points side by side, which is far quicker."""
    side = max(1, min(256, len(positions) // 2))
    whole = len(positions) // side * side
    wide = positions[:whole].reshape(-1, 3 * side)
    rest = positions[whole:]
    low = np.concatenate([wide.min(axis=0).reshape(-1, 3), rest]).min(axis=0)
    high = np.concatenate([wide.max(axis=0).reshape(-1, 3), rest]).max(axis=0)
    return low.tolist(), high.tolist()
