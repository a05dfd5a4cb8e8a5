"""Pictures as users have them (files, PIL, arrays) to RGB, one by one.

A picture's size is read from its header before anything is decoded: a few bytes may unpack to
gigabytes. The bound is Pillow's, ``PIL.Image.MAX_IMAGE_PIXELS`` (twice that many are refused,
179 million by default); who has larger pictures raises it there.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from da3_ros.core.user_input.options import shown

ORIENTATION = 0x0112
"""The EXIF tag; Pillow has a name for it from 9.4 on."""

_DEEP_MODES = ("I", "F")
"""PIL modes (with their variants, as I;16) whose values do not fit 8 bits."""

DARK = 64
"""Of 255: no color of a sensor of 14 bits reaches it in a picture of 16."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    AssertionError,
    struct.error,
)
"""What Pillow raises on bytes that are not a picture, or only a part of one."""


class ImageInputError(ValueError):
    """An image that cannot be read, or is not what the network takes."""


class PictureTooLargeError(ImageInputError):
    """A picture of more pixels than the bound, by its header."""


def read_rgb(source, name: str = "image") -> np.ndarray:
    """(H, W, 3) uint8 RGB of one image; a file turned as viewers show it.

    source: a file name, a PIL image, or a uint8 array: (H, W) or (H, W, 1) grey,
    (H, W, 3) RGB, (H, W, 4) RGBA whose alpha is dropped.
    """
    if isinstance(source, (str, os.PathLike)):
        return from_file(Path(source), name, upright=True)[0]
    if isinstance(source, Image.Image):
        with _maybe_closed(name):  # Pillow decodes it only now
            return _from_pil(source, name)
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    raise ImageInputError(
        f"{name} is a {type(source).__name__}, must be a file name, a PIL image or a numpy array"
    )


def is_lying(source, name: str = "image") -> bool:
    """Whether the EXIF orientation of a PIL image asks to turn it. Raises `ImageInputError`."""
    with _maybe_closed(name):
        return isinstance(source, Image.Image) and _asks_to_be_turned(source)


def from_file(path: Path, name: str, upright: bool) -> tuple[np.ndarray, bool]:
    """(H, W, 3) uint8 RGB of a picture, and whether its EXIF orientation asks to turn it.

    name: of the picture in sentences. upright: it is turned so. Raises `ImageInputError`.
    """
    with _open(path, name) as image:
        # First: to know its EXIF tags a PNG is decoded.
        is_deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        is_turned = _asks_to_be_turned(image)
        upright_image = ImageOps.exif_transpose(image) if is_turned and upright else image
        rgb = _from_pil(upright_image, name)
    if is_deep:
        _warn_if_dark(rgb, name)
    return rgb, is_turned


def picture_size(
    data: bytes | memoryview, name: str = "image", formats: Sequence[str] | None = None
) -> tuple[int, int]:
    """(height, width) of an encoded picture (JPEG, PNG, WebP and more), without decoding it.

    formats: names of Pillow's formats that may be; None: all that it reads. Raises
    `ImageInputError` for bytes that are not a picture, and for more pixels than the bound.
    """
    with _read(io.BytesIO(data), f"{name} of {len(data)} bytes", formats) as image:
        return image.height, image.width


def check_file(path: Path, name: str) -> None:
    """Raise `ImageInputError` for a file that is not a picture, without decoding it."""
    with _open(path, name):
        pass


def _asks_to_be_turned(image: Image.Image) -> bool:
    """Whether its EXIF orientation is another than upright. Raises `_BROKEN`."""
    return image.getexif().get(ORIENTATION, 1) in range(2, 9)


def _open(path: Path, name: str) -> AbstractContextManager[Image.Image]:
    called = f"{name}: cannot read {shown(str(path), longest=300)}"
    try:
        is_file = path.is_file()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageInputError(f"{called}, {reason}") from error
    if not is_file:
        reason = "it is not a file" if path.exists() else "there is no such file"
        raise ImageInputError(f"{called}, {reason}")
    return _read(path, called)


@contextmanager
def _read(
    source: Path | io.BytesIO, called: str, formats: Sequence[str] | None = None
) -> Iterator[Image.Image]:
    """A picture whose header is read; what is wrong with it, there or inside, is named."""
    with _named(called), Image.open(source, formats=formats) as image:
        yield image


@contextmanager
def _named(called: str) -> Iterator[None]:
    """Whatever Pillow raises on opening or decoding becomes one sentence."""
    try:
        yield
    except ImageInputError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureTooLargeError(
            f"{called}: it unpacks to more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels; if it is "
            "meant to be that large, raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except _BROKEN as error:
        raise ImageInputError(f"{called}, it is not a readable image") from error


@contextmanager
def _maybe_closed(name: str) -> Iterator[None]:
    """As `_named`, for a picture of the user's: Pillow has no words for one that was closed."""
    with _named(name):
        try:
            yield
        except (AssertionError, AttributeError) as error:
            raise ImageInputError(
                f"{name} was closed before it was decoded: give its file name, or image.copy() "
                "made while it was open"
            ) from error


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith(_DEEP_MODES):
        raise ImageInputError(
            f"{name} has values of more than 8 bits (PIL mode {image.mode}); convert it to 8 bits"
        )
    return np.array(image.convert("RGB"))


def _warn_if_dark(rgb: np.ndarray, name: str) -> None:
    """rgb: the upper 8 bits of 16, which Pillow keeps."""
    if rgb.max() < DARK:
        warnings.warn(
            f"{name} uses at most {8 + int(rgb.max()).bit_length()} of its 16 bits, and is nearly "
            "black for the network: scale its values up, or convert it to 8 bits",
            stacklevel=2,
        )


def _from_array(array: np.ndarray, name: str) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageInputError(
            f"{name} has shape {array.shape}, must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        )
    array = np.asarray(array)  # of a matrix, which has two axes whatever is done to it
    if array.dtype != np.uint8:
        raise ImageInputError(f"{name} has dtype {array.dtype}, must be uint8 (0 to 255)")
    if channels == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(array[..., :3])
