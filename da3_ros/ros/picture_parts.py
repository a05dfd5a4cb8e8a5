"""How many parts a compressed picture is made of: what a decoder takes time for, besides pixels.

Each scan of a progressive JPEG goes over all pixels again, each text of a PNG may unpack to 8 MB:
72 kB of the one took 16 s, 20 MB of the other as long, for 64 x 48 pixels.
"""

from __future__ import annotations

import struct

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
"""As Pillow calls what cameras and image_transport send: others are not even looked at. 20 MB that
begin like PostScript took Pillow 38 s."""

MOST_SCANS = 32
"""Of a JPEG; encoders make about 10, and one or two are those of a thumbnail."""

MOST_CHUNKS = 40
"""Of a PNG, besides those of its pixels: 2 s, where each holds as much text as it can."""

MOST_PIXEL_CHUNKS = 1 << 16
"""Of a PNG: 0.5 s. Writers put 8 kB or more of pixels into each."""

MOST_TAGS = 1000
"""Of the first directory of a TIFF; there are some 20."""

START_OF_SCAN = b"\xff\xda"
"""Never inside a scan's own data, where a zero follows each 255."""

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_CHUNK = 12
"""Bytes of a chunk without what it holds: length, kind and checksum."""


def too_many_parts(data: bytes | memoryview) -> str:
    """What there is too much of, in words; empty for pictures of cameras."""
    start = bytes(data[:8])
    if start.startswith(b"\xff\xd8"):
        return _more_than(MOST_SCANS, bytes(data).count(START_OF_SCAN), "scans")
    if start == PNG_MAGIC:
        of_pixels, others = _png_chunks(data)
        return _more_than(MOST_PIXEL_CHUNKS, of_pixels, "chunks of pixels") or _more_than(
            MOST_CHUNKS, others, "chunks besides its pixels"
        )
    if start[:4] in (b"II*\0", b"MM\0*"):
        return _more_than(MOST_TAGS, _tiff_tags(data), "tags")
    return ""


def _more_than(most: int, count: int, what: str) -> str:
    return f"has more than {most} {what}" if count > most else ""


def _png_chunks(data: bytes | memoryview) -> tuple[int, int]:
    """Chunks of pixels and others, up to the end of the data or to more than are allowed."""
    at, of_pixels, others = len(PNG_MAGIC), 0, 0
    while at + PNG_CHUNK <= len(data) and of_pixels <= MOST_PIXEL_CHUNKS and others <= MOST_CHUNKS:
        length, kind = struct.unpack_from(">I4s", data, at)
        of_pixels, others = of_pixels + (kind == b"IDAT"), others + (kind != b"IDAT")
        at += PNG_CHUNK + length
    return of_pixels, others


def _tiff_tags(data: bytes | memoryview) -> int:
    """Tags of the first directory; 0 where there is none."""
    order = "<" if data[0] == ord("I") else ">"
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        return struct.unpack_from(f"{order}H", data, at)[0]
    except struct.error:
        return 0
