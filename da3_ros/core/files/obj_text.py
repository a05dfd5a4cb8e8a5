"""OBJ files in the words that the reader of meshes takes."""

from __future__ import annotations

import re

import numpy as np

from da3_ros.core.files.polygons import triangles_of

_ODD = re.compile(
    rb"^[ \t]"  # a blank before the first word
    rb"|^\w+\t"  # a tab behind it
    rb"|^f(?=[ \t])[^#\n]*?[ \t](?:-|0+(?:[/\s]|$))"  # an index from the end, or 0
    rb"|^f [^\n]*\\\r?$"  # a face that goes on in the next line
    rb"|^f(?:[ \t]+[^\s#]+){4}",  # of more than three corners
    re.MULTILINE,
)


def plain_obj(data: bytes) -> bytes:
    """The same mesh with one blank between words, indices that count from the beginning, and
    triangles: whoever splits polygons into fans from their first corner fills hollow ones.

    An index from the end counts from where it stands: vertices may follow. Raises `ValueError`
    for a face that names no vertex before it by such an index, or vertex 0, and for polygons that
    `triangles_of` does not take.
    """
    if not _ODD.search(data):
        return data
    lines, faces, points, counts = [], [], [], {b"v": 0, b"vt": 0, b"vn": 0}
    for line in re.sub(rb"\\\r?\n", b" ", data).splitlines():
        words = line.split(b"#", 1)[0].split()
        if not words:
            continue
        if words[0] in counts:
            counts[words[0]] += 1
        if words[0] == b"v":
            points.append([float(word) for word in words[1:4]])
        if words[0] == b"f":
            faces.append([_from_beginning(word, list(counts.values())) for word in words[1:]])
        else:
            lines.append(b" ".join(words))
    lines += [b"f " + b" ".join(corners) for corners in _triangles(faces, points)]
    return b"\n".join(lines) + b"\n"


def _triangles(faces: list[list[bytes]], points: list[list[float]]) -> list[list[bytes]]:
    """Corners of the triangles of polygons."""
    corners = [corner for face in faces for corner in face]
    rows = np.array([int(corner.split(b"/", 1)[0]) - 1 for corner in corners], np.int64)
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(points)):
        raise ValueError(f"faces name vertices outside 1..{len(points)}")
    places = np.array(points, np.float64).reshape(-1, 3)[rows]
    triangles = triangles_of(places, [len(face) for face in faces], np.arange(len(corners)))
    return [[corners[i] for i in triangle] for triangle in triangles.tolist()]


def _from_beginning(corner: bytes, counts: list[int]) -> bytes:
    """v, v/vt, v//vn or v/vt/vn of a face; counts: of each, so far."""
    parts = corner.split(b"/")
    for i, (part, count) in enumerate(zip(parts, counts)):
        index = int(part) if part else 1
        if (index == 0 and i == 0) or index < -count:
            raise ValueError(
                f"a face names vertex {index} of {count}; they count from 1, or from -1 backwards"
            )
        if index < 0:
            parts[i] = b"%d" % (count + 1 + index)
    return b"/".join(parts)
