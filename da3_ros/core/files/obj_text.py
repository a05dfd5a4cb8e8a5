"""OBJ files in the words that the reader of meshes takes."""

from __future__ import annotations

import re
from array import array

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
    """The same vertices and triangles in words that any reader takes: one blank between them,
    indices that count from the beginning, and no polygons: whoever splits them into fans from
    their first corner fills hollow ones. Where nothing of that is odd, the data as it is.

    An index from the end counts from where it stands: vertices may follow. Textures and normals
    of rewritten faces are left out. Raises `ValueError` for a face that names no vertex before it
    by such an index, or vertex 0, and for polygons that `triangles_of` does not take.
    """
    if not _ODD.search(data):
        return data
    # Numbers, not objects: a mesh has millions.
    lines, points, counts, corners = [], array("d"), array("q"), array("q")
    for line in re.sub(rb"\\\r?\n", b" ", data).splitlines():
        words = line.split(b"#", 1)[0].split()
        if not words:
            continue
        if words[0] == b"v":
            points.extend(map(float, words[1:4]))
        if words[0] == b"f":
            counts.append(len(words) - 1)
            corners.extend(_row(word, len(points) // 3) for word in words[1:])
        else:
            lines.append(b" ".join(words))
    places = np.array(points, np.float64).reshape(-1, 3)
    for triangle in triangles_of(places, np.array(counts), np.array(corners)) + 1:
        lines.append(b"f %d %d %d" % tuple(triangle))
    return b"\n".join(lines) + b"\n"


def _row(corner: bytes, count: int) -> int:
    """Of the vertex of v, v/vt, v//vn or v/vt/vn of a face; count: vertices so far."""
    index = int(corner.split(b"/", 1)[0])
    if index == 0 or index < -count:
        raise ValueError(
            f"a face names vertex {index} of {count}; they count from 1, or from -1 backwards"
        )
    return index - 1 if index > 0 else count + index
