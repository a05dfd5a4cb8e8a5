"""Triangles out of a PLY file: any of its three encodings, polygons of any kind, colors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from da3_ros.core.files.mesh_bounds import LARGEST_PLY_HEADER, MeshBounds
from da3_ros.core.files.polygons import triangles_of

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ENCODINGS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
BRIGHTEST = 2.0
"""Of floating colors whose white is 1."""

_COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_CORNERS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class _Property:
    """A column; of lists where `count_type` is not empty."""

    name: str
    type: str
    count_type: str = ""


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property]


def read_ply(path: Path, bounds: MeshBounds) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertices (V, 3) float64, faces (F, 3) int64, vertex colors (V, 3) uint8 sRGB or None.

    Polygons become triangles; per-face values (texture coordinates, colors) are left out.
    Raises ValueError for what is not PLY, holds no faces, ends early, or is beyond the bounds.
    """
    data = path.read_bytes()
    encoding, elements, start = _header(data)
    if encoding == "ascii":
        bounds.check("text_bytes", len(data))
    body = data[start:].split() if encoding == "ascii" else memoryview(data)[start:]
    read = _read_text if encoding == "ascii" else _read_binary
    found, at = {}, 0
    for element in elements:
        # Every value takes a byte and more: a count that cannot be is found before memory is asked.
        if element.count * max(1, len(element.properties)) > len(body):
            raise ValueError(f"it ends before its {element.count} elements '{element.name}'")
        bounds.check("vertices" if element.name == "vertex" else "triangles", element.count)
        found[element.name], at = read(body, at, element, _ENCODINGS[encoding])
    if "face" not in found and "tristrips" in found:
        raise ValueError("its triangle strips are not read; convert it to a PLY of faces")
    vertices = found.get("vertex", {})
    if not all(axis in vertices for axis in "xyz"):
        raise ValueError("it holds no vertices x, y, z")
    points = np.stack([np.float64(vertices[axis]) for axis in "xyz"], axis=-1)
    lists = [found.get("face", {}).get(name) for name in _CORNERS]
    corners = next((c for c in lists if c is not None), None)
    if corners is None:
        raise ValueError("it holds no triangles")
    counts = np.asarray(corners[0])
    bounds.check("triangles", int(np.maximum(counts.astype(np.int64) - 2, 0).sum()))
    return points, triangles_of(points, *corners), _colors(vertices)


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """Encoding, elements, and where the body starts."""
    end = data.find(b"end_header", 0, LARGEST_PLY_HEADER)
    line_end = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or line_end < 0:
        raise ValueError(f"it has no PLY header of at most {LARGEST_PLY_HEADER >> 10} kB")
    encoding, elements = "", []
    for line in data[:end].decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            encoding = words[1]
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], int(words[2]), []))
        elif words[:2] == ["property", "list"]:
            elements[-1].properties.append(_Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
        elif words[:1] == ["property"]:
            elements[-1].properties.append(_Property(words[2], _TYPES[words[1]]))
    if encoding not in _ENCODINGS or any(e.count < 0 for e in elements):
        raise ValueError(f"its format '{encoding}' is not known")
    return encoding, elements, line_end + 1


def _read_binary(body, at: int, element: _Element, order: str):
    """Name -> values (n,), or for lists (counts (n,), all items in a row); where it ends."""
    widths = [0] * len(element.properties)
    if element.count:
        widths = _first_counts(body, at, element, order)
    fields = []
    for p, width in zip(element.properties, widths):
        if p.count_type:
            fields.append((f"#{p.name}", order + p.count_type))
        fields.append(
            (p.name, order + p.type, (width,)) if p.count_type else (p.name, order + p.type)
        )
    row = np.dtype(fields)
    if at + element.count * row.itemsize <= len(body):
        table = np.frombuffer(body, row, element.count, at)
        lists = [p for p in element.properties if p.count_type]
        if all((table[f"#{p.name}"] == table.dtype[p.name].shape).all() for p in lists):
            columns = {p.name: table[p.name] for p in element.properties}
            columns |= {p.name: (table[f"#{p.name}"], table[p.name].reshape(-1)) for p in lists}
            return columns, at + element.count * row.itemsize
    return _read_rows(body, at, element, order)


def _first_counts(body, at: int, element: _Element, order: str) -> list[int]:
    """Lengths of the lists in the first row; in most files all rows have the same."""
    counts = []
    for p in element.properties:
        width = 0
        if p.count_type:
            width = int(np.frombuffer(body, order + p.count_type, 1, at)[0])
            at += np.dtype(p.count_type).itemsize
        counts.append(width)
        at += np.dtype(p.type).itemsize * (width if p.count_type else 1)
    return counts


def _read_rows(body, at: int, element: _Element, order: str):
    """As `_read_binary`, for lists of different lengths: row by row."""
    counts = {p.name: [] for p in element.properties if p.count_type}
    items = {p.name: [] for p in element.properties}
    kinds = [
        (p.name, np.dtype(order + p.type), np.dtype(order + p.count_type) if p.count_type else None)
        for p in element.properties
    ]
    for _ in range(element.count):
        for name, kind, count_kind in kinds:
            width = 1
            if count_kind is not None:
                width = int(np.frombuffer(body, count_kind, 1, at)[0])
                at += count_kind.itemsize
                counts[name].append(width)
            if width < 0 or at + width * kind.itemsize > len(body):
                raise ValueError(f"it ends before its {element.count} elements '{element.name}'")
            items[name].append(body[at : at + width * kind.itemsize])
            at += width * kind.itemsize
    columns = {}
    for name, kind, count_kind in kinds:
        values = np.frombuffer(b"".join(items[name]), kind)
        columns[name] = values if count_kind is None else (np.array(counts[name]), values)
    return columns, at


def _read_text(words: list[bytes], at: int, element: _Element, _order: str):
    """As `_read_binary`, from the words of an ASCII file."""
    scalars = [p for p in element.properties if not p.count_type]
    if len(scalars) == len(element.properties):
        end = at + element.count * len(scalars)
        table = np.array(words[at:end], np.float64).reshape(element.count, len(scalars))
        return {
            p.name: table[:, i] if p.type[0] == "f" else table[:, i].astype(p.type)
            for i, p in enumerate(scalars)
        }, end
    counts = {p.name: [] for p in element.properties if p.count_type}
    items = {p.name: [] for p in element.properties}
    for _ in range(element.count):
        for p in element.properties:
            width = 1
            if p.count_type:
                width, at = int(words[at]), at + 1
                counts[p.name].append(width)
            if width < 0 or at + width > len(words):
                raise ValueError(f"it ends before its {element.count} elements '{element.name}'")
            items[p.name] += words[at : at + width]
            at += width
    columns = {p.name: np.array(items[p.name], np.float64) for p in element.properties}
    return {
        p.name: (np.array(counts[p.name]), columns[p.name]) if p.count_type else columns[p.name]
        for p in element.properties
    }, at


def _colors(vertices: dict) -> np.ndarray | None:
    """(V, 3) uint8 of 8-bit, 16-bit or floating (0 to 1, or 0 to 255) colors; None without."""
    for names in _COLORS:
        if all(name in vertices for name in names):
            colors = np.stack([vertices[name] for name in names], axis=-1)
            return np.round(np.clip(colors / _white(colors), 0, 1) * 255).astype(np.uint8)
    return None


def _white(colors: np.ndarray) -> float:
    if colors.dtype.kind == "u":
        return np.iinfo(colors.dtype).max
    # Rounding and highlights are little above 1; the brightest of 255 is far above.
    is_share = colors.dtype.kind == "f" and not (colors > BRIGHTEST).any()
    return 1.0 if is_share else 255.0
