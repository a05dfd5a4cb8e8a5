"""Triangles out of a binary glTF 2.0 file (GLB), where its nodes put them.

Read: any number of nodes, meshes and primitives; triangles, strips and fans; sparse accessors;
KHR_mesh_quantization; vertex colors, which glTF keeps linear. Geometry in another compression,
moved by a skin, or repeated by an extension is refused by name.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import numpy as np

from da3_ros.core.files.mesh_bounds import LARGEST_JSON, MeshBounds
from da3_ros.core.files.srgb import srgb

_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_COMPRESSED = {
    "KHR_draco_mesh_compression": "compressed with Draco",
    "EXT_meshopt_compression": "compressed with meshopt",
    "KHR_meshopt_compression": "compressed with meshopt",
}
_HARMLESS = (
    "KHR_mesh_quantization",
    "KHR_materials_",
    "KHR_texture_",
    "EXT_texture_",
    "KHR_lights_",
)
"""Extensions that a file may require and that leave geometry as it is."""


def read_glb(path: Path, bounds: MeshBounds) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertices (V, 3) float64, faces (F, 3) int64, vertex colors (V, 3) uint8 sRGB or None.

    A file with `T_world_gltf` in its scene's extras (those that this package writes) comes out in
    that world frame; others in glTF's own. Raises ValueError naming what cannot be read.
    """
    return _Scene(*_chunks(path.read_bytes()), bounds).read()


def _chunks(data: bytes) -> tuple[dict, bytes]:
    """The JSON tree and the binary chunk."""
    if data[:4] != b"glTF" or len(data) < 20 or int.from_bytes(data[4:8], "little") != 2:
        raise ValueError("it is not a binary glTF 2.0 file")
    length = int.from_bytes(data[12:16], "little")
    if length > LARGEST_JSON:
        raise ValueError(f"its description has {length >> 20} MB, at most {LARGEST_JSON >> 20}")
    tree = json.loads(data[20 : 20 + length])
    if not isinstance(tree, dict):
        raise ValueError("its JSON is not an object")
    return tree, data[20 + length + 8 :]


class _Scene:
    """One scene of a file, read once. taken: how much of each bound is used. decoded: buffers that
    the description holds."""

    def __init__(self, tree: dict, binary: bytes, bounds: MeshBounds):
        self.tree, self.binary, self.bounds = tree, binary, bounds
        self.decoded: dict[int, bytes] = {}
        self.taken: Counter[str] = Counter()

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        self._refuse_extensions()
        all_nodes = {"nodes": list(range(len(self.tree.get("nodes", ()))))}
        scene = (self.tree.get("scenes") or [all_nodes])[self.tree.get("scene", 0)]
        T_world_gltf = (scene.get("extras") or {}).get("T_world_gltf")
        root = np.eye(4) if T_world_gltf is None else np.float64(T_world_gltf).reshape(4, 4)
        parts = []
        for index in scene.get("nodes", ()):
            self._walk(index, root, parts, depth=0)
        if not parts:
            raise ValueError("it holds no triangles")
        first = np.cumsum([0] + [len(vertices) for vertices, _, _ in parts])
        vertices = np.concatenate([vertices for vertices, _, _ in parts])
        faces = np.concatenate([faces + n for (_, faces, _), n in zip(parts, first)])
        return vertices, faces, _joined_colors(parts)

    def _refuse_extensions(self) -> None:
        used = self.tree.get("extensionsUsed", [])
        for name, what in _COMPRESSED.items():
            if name in used:
                raise ValueError(
                    f"it is {what} ({name}), which is not read; save it without compression"
                )
        if "EXT_mesh_gpu_instancing" in used:
            raise ValueError("it repeats meshes (EXT_mesh_gpu_instancing), which is not read")
        for name in self.tree.get("extensionsRequired", []):
            if not name.startswith(_HARMLESS):
                raise ValueError(f"it requires the extension {name}, which is not read")

    def _walk(self, index: int, T_world_parent: np.ndarray, parts: list, depth: int) -> None:
        if depth > len(self.tree["nodes"]):
            raise ValueError("its nodes form a circle")
        self._take("instances", 1)  # a node of nothing, too: branches that meet multiply
        node = self.tree["nodes"][index]
        T_world_node = T_world_parent @ _matrix(node)
        if "mesh" in node:
            if "skin" in node:
                raise ValueError("its mesh is moved by a skin, which is not read")
            mesh = self.tree["meshes"][node["mesh"]]
            weights = np.any(node.get("weights", mesh.get("weights", ())))
            for primitive in mesh["primitives"]:
                if weights and primitive.get("targets"):
                    raise ValueError("its mesh is moved by morph targets, which are not read")
                self._add(primitive, T_world_node, parts)
        for child in node.get("children", ()):
            self._walk(child, T_world_node, parts, depth + 1)

    def _add(self, primitive: dict, T_world_node: np.ndarray, parts: list) -> None:
        self._take("instances", 1)
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN) or "POSITION" not in primitive["attributes"]:
            return  # points and lines
        count = self._count(primitive["attributes"]["POSITION"])
        corners = self._count(primitive["indices"]) if "indices" in primitive else count
        self._take("vertices", count)
        self._take("triangles", corners // 3 if mode == _TRIANGLES else max(corners - 2, 0))
        positions = self._accessor(primitive["attributes"]["POSITION"])
        order = np.arange(count)
        if "indices" in primitive:
            order = self._accessor(primitive["indices"])[:, 0].astype(np.int64)
        if order.size and order.max() >= count:
            raise ValueError(f"faces name vertices outside 0..{count - 1}")
        faces = _faces(order, mode)
        if np.linalg.det(T_world_node[:3, :3]) < 0:
            faces = faces[:, ::-1]  # a mirror turns fronts into backs
        color = primitive["attributes"].get("COLOR_0")
        if color is not None and self._count(color) != count:
            raise ValueError(f"it has {self._count(color)} colors for {count} vertices")
        linear = None if color is None else self._accessor(color, is_share=True)[:, :3]
        parts.append((positions @ T_world_node[:3, :3].T + T_world_node[:3, 3], faces, linear))

    def _take(self, what: str, count: int) -> None:
        self.taken[what] += count
        self.bounds.check(what, self.taken[what])

    def _count(self, index: int) -> int:
        count = int(self.tree["accessors"][index]["count"])
        if count < 0:
            raise ValueError("an accessor has an impossible count")
        return count

    def _accessor(self, index: int, is_share: bool = False) -> np.ndarray:
        """(n, width) float64; integers that are normalised, or `is_share`, as shares of 1."""
        accessor = self.tree["accessors"][index]
        kind, width = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        count = self._count(index)
        if "bufferView" in accessor:
            offset = accessor.get("byteOffset", 0)
            values = self._view(accessor["bufferView"], offset, kind, width, count)
        else:
            values = np.zeros((count, width), kind)
        if "sparse" in accessor:
            values = values.copy()
            sparse = accessor["sparse"]
            rows, items = sparse["indices"], sparse["values"]
            row_kind = np.dtype(_TYPES[rows["componentType"]])
            n = int(sparse["count"])
            at = self._view(rows["bufferView"], rows.get("byteOffset", 0), row_kind, 1, n)[:, 0]
            values[at] = self._view(items["bufferView"], items.get("byteOffset", 0), kind, width, n)
        values = values.astype(np.float64)
        if kind.kind in "iu" and (is_share or accessor.get("normalized")):
            values = np.maximum(values / np.iinfo(kind).max, -1.0)
        return values

    def _view(self, index: int, offset: int, kind: np.dtype, width: int, count: int) -> np.ndarray:
        view = self.tree["bufferViews"][index]
        buffer = self._buffer(view["buffer"])
        start = view.get("byteOffset", 0) + offset
        row = kind.itemsize * width
        stride = view.get("byteStride", row) or row
        if start < 0 or count and start + (count - 1) * stride + row > len(buffer):
            raise ValueError("an accessor reaches beyond its buffer")
        if not count:
            return np.zeros((0, width), kind)
        return np.ndarray((count, width), kind, buffer, start, (stride, kind.itemsize))

    def _buffer(self, index: int) -> bytes:
        uri = self.tree["buffers"][index].get("uri")
        if uri is None:
            return self.binary
        if uri.startswith("data:"):
            if index not in self.decoded:  # a hundred thousand parts may name the same
                self.decoded[index] = base64.b64decode(uri.split(",", 1)[1])
            return self.decoded[index]
        raise ValueError(f"its data is in another file, '{uri[:80]}'; save it as one GLB")


def _matrix(node: dict) -> np.ndarray:
    """(4, 4) of a node: to its parent."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), np.float64)
    T = np.eye(4)
    T[:3, :3] = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    ) * np.array(node.get("scale", (1, 1, 1)), np.float64)
    T[:3, 3] = node.get("translation", (0, 0, 0))
    return T


def _faces(order: np.ndarray, mode: int) -> np.ndarray:
    """(F, 3) of a list, strip or fan of vertices."""
    if mode == _TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    if mode == _FAN:
        return np.stack(
            [np.full(max(len(order) - 2, 0), order[:1].sum()), order[1:-1], order[2:]], axis=-1
        )
    faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=-1)
    faces[1::2] = faces[1::2, [1, 0, 2]]
    return faces


def _joined_colors(parts: list) -> np.ndarray | None:
    """(V, 3) uint8 sRGB of all parts; white where a part has none; None where none has any."""
    if all(linear is None for _, _, linear in parts):
        return None
    linear = [np.ones((len(v), 3)) if c is None else c for v, _, c in parts]
    return srgb(np.concatenate(linear))
