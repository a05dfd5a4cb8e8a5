"""OBJ files in the words that the reader of meshes takes."""

from __future__ import annotations

import re

_ODD = re.compile(
    rb"^[ \t]"  # a blank before the first word
    rb"|^\w+\t"  # a tab behind it
    rb"|^f(?=[ \t])[^#\n]*?[ \t](?:-|0+(?:[/\s]|$))"  # an index from the end, or 0
    rb"|^f [^\n]*\\\r?$",  # a face that goes on in the next line
    re.MULTILINE,
)


def plain_obj(data: bytes) -> bytes:
    """The same mesh with one blank between words, and indices that count from the beginning.

    An index from the end counts from where it stands: vertices may follow. Raises `ValueError`
    for a face that names no vertex before it by such an index, or vertex 0.
    """
    if not _ODD.search(data):
        return data
    lines, counts = [], {b"v": 0, b"vt": 0, b"vn": 0}
    for line in re.sub(rb"\\\r?\n", b" ", data).splitlines():
        words = line.split(b"#", 1)[0].split()
        if not words:
            continue
        if words[0] in counts:
            counts[words[0]] += 1
        if words[0] == b"f":
            words[1:] = [_from_beginning(word, list(counts.values())) for word in words[1:]]
        lines.append(b" ".join(words))
    return b"\n".join(lines) + b"\n"


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
