"""How much of a mesh file is read: 460 bytes of GLB can ask for gigabytes."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_POLYGON = 4096
"""Corners of one polygon: the work to split a hollow one grows with their square."""

LARGEST_JSON = 32 << 20
"""Bytes of a GLB's description, 300 MB as objects; its geometry is beside it."""

LARGEST_PLY_HEADER = 64 << 10
"""Bytes; ours have some 1500. 3 MB of elements of nothing took 8 s."""


@dataclass(frozen=True)
class MeshBounds:
    """What a file may hold; larger ones raise ValueError before memory is asked for.

    The defaults are about 2 GB while a file is read. file_bytes: of the file. text_bytes: of one
    that is text (OBJ, ASCII PLY), ten times as large in memory. vertices, triangles: of all parts,
    each as often as it is repeated. instances: parts, empty ones too.
    """

    file_bytes: int = 1 << 30
    text_bytes: int = 256 << 20
    vertices: int = 20_000_000
    triangles: int = 40_000_000
    instances: int = 100_000

    def check(self, what: str, count: int) -> None:
        """Raise ValueError when there are more than the bound `what` allows."""
        if count > (most := getattr(self, what)):
            raise ValueError(
                f"it has {count:,} {what.replace('_', ' ')}, at most {most:,} are read: make it "
                "coarser (in Python, Mesh.load takes larger MeshBounds)"
            )


DEFAULT_BOUNDS = MeshBounds()
