"""Compressed pictures whose parts, not whose pixels, cost time: refused before they are decoded."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from sensor_msgs.msg import CompressedImage

from da3_ros.ros.images import ImageError, compressed_to_rgb
from da3_ros.ros.picture_parts import MOST_CHUNKS, MOST_PIXEL_CHUNKS, MOST_SCANS, MOST_TAGS

HEIGHT, WIDTH = 24, 32
PICTURE = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def written(kind, **options):
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, kind, **options)
    return file.getvalue()


def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def jpeg(more_scans):
    """A progressive JPEG whose last scan is repeated."""
    plain = written("JPEG", progressive=True)
    last = plain[plain.rindex(b"\xff\xda") : -2]
    return plain[:-2] + more_scans * last + plain[-2:]


def png(kind, content, count):
    plain = written("PNG")
    return plain[:-12] + count * chunk(kind, content) + plain[-12:]


def tiff(tags):
    entries = b"".join(struct.pack("<HHII", tag, 1, 1, 0) for tag in range(tags))
    return b"II*\0" + struct.pack("<IH", 8, tags) + entries + struct.pack("<I", 0)


TEXT = b"key\0\0" + zlib.compress(bytes(1 << 20))


def rgb(data):
    return compressed_to_rgb(CompressedImage(format="", data=data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_what_cameras_send_is_read(kind):
    assert rgb(written(kind)).shape == PICTURE.shape


@pytest.mark.parametrize("data", [jpeg(10), png(b"zTXt", TEXT, 20), png(b"IDAT", b"", 1000)])
def test_a_picture_of_many_parts_is_read(data):
    assert np.abs(rgb(data).astype(int) - PICTURE).max() <= 2


@pytest.mark.parametrize(
    "data, said",
    [
        (jpeg(100), f"more than {MOST_SCANS} scans"),
        (png(b"zTXt", TEXT, 100), f"more than {MOST_CHUNKS} chunks besides its pixels"),
        (png(b"IDAT", b"", 70_000), f"more than {MOST_PIXEL_CHUNKS} chunks of pixels"),
        (tiff(60_000), f"more than {MOST_TAGS} tags"),
    ],
)
def test_a_picture_of_too_many_parts_is_not_decoded(data, said, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ImageError, match=f"of {len(data)} bytes has {said}"):
        rgb(data)


@pytest.mark.parametrize("kind", ["EPS", "GIF", "ICO", "JPEG2000", "PPM", "SGI", "TGA"])
def test_what_no_camera_sends_is_not_looked_into(kind):
    with pytest.raises(ImageError, match="cannot be decoded"):
        rgb(written(kind))


def test_a_size_that_only_one_library_believes():
    """OpenCV raises where it mostly returns nothing."""
    data = bytearray(written("BMP"))
    data[22:26] = struct.pack("<i", 3_000_000)
    data[18:22] = struct.pack("<i", 1)
    with pytest.raises(ImageError, match="cannot be decoded"):
        rgb(bytes(data))
