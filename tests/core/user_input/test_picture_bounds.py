"""Pictures that unpack to gigabytes are refused by their header; broken ones in one sentence."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from da3_ros.core.user_input.pictures import ImageInputError, picture_size, read_rgb


def png(width, height):
    """A PNG of one grey value, whole and tiny."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    row = b"\0" * (1 + (width + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def with_size(data, format, width, height):
    """The bytes of a small picture whose header says another size."""
    if format == "PNG":
        ihdr = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + data[33:]
    if format == "JPEG":
        at = data.index(b"\xff\xc0")
        return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]
    assert format == "BMP"
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


def encoded(format, size=(40, 30)):
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


FORMATS = ["PNG", "JPEG", "BMP", "TIFF", "GIF"] + ["WEBP"] * features.check("webp")


@pytest.mark.parametrize("format", FORMATS)
def test_the_size_is_read_from_the_header(format):
    assert picture_size(encoded(format)) == (30, 40)


def test_a_small_file_of_a_huge_picture_is_not_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(30000, 30000))
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(ImageInputError, match="bomb.png': it unpacks to more than 178,956,970 pix"):
        read_rgb(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    with pytest.raises(ImageInputError, match="raise PIL.Image.MAX_IMAGE_PIXELS"):
        picture_size(path.read_bytes())


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP"])
def test_a_header_that_promises_too_much_is_named(tmp_path, format):
    data = with_size(encoded(format), format, 40000, 40000)
    with pytest.raises(ImageInputError, match="image of .* bytes: it unpacks to more than"):
        picture_size(data[:4096])
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ImageInputError, match=r"image\[3\]: cannot read .*: it unpacks to more"):
        read_rgb(tmp_path / "a", "image[3]")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_bound_is_pillows_and_can_be_raised(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png(100, 80))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3999)
    with pytest.raises(ImageInputError, match="more than 7,998 pixels"):
        read_rgb(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    assert read_rgb(path).shape == (80, 100, 3)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40)
@given(st.data())
def test_broken_bytes_are_a_picture_or_named(tmp_path_factory, format, data):
    whole = encoded(format)
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 8))):
        if broken:
            broken[data.draw(st.integers(0, min(len(broken), 200) - 1))] = data.draw(
                st.integers(0, 255)
            )
    path = tmp_path_factory.getbasetemp() / f"broken.{format}"
    path.write_bytes(broken)
    try:
        assert read_rgb(path).dtype == np.uint8
    except ImageInputError as error:
        assert "\n" not in str(error)


def test_an_opened_picture_that_is_cut_off_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG")[:-300])
    with (
        Image.open(tmp_path / "a.jpg") as image,
        pytest.raises(ImageInputError, match=r"image\[2\], it is not a readable image"),
    ):
        read_rgb(image, "image[2]")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 300, "File name too long"),
        ("a\0b", "null byte|no such file"),
        (".", "it is not a file"),
        ("/dev/zero", "it is not a file"),
        ("no\nsuch", "there is no such file"),
    ],
)
def test_names_that_are_no_files(name, said):
    with pytest.raises(ImageInputError, match=said) as caught:
        read_rgb(name)
    assert "\n" not in str(caught.value)
