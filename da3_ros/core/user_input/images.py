"""Images as users have them (files, PIL, arrays) to one batch for the network.

A picture's size is read from its header before anything is decoded: a few bytes may unpack to
gigabytes. The bound is Pillow's, ``PIL.Image.MAX_IMAGE_PIXELS`` (twice that many are refused,
179 million by default); who has larger pictures raises it there.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from da3_ros.core import preprocess
from da3_ros.core.preprocess import ResizePlan
from da3_ros.core.user_input.options import shown

ORIENTATION = 0x0112
"""The EXIF tag; Pillow has a name for it from 9.4 on."""

_DEEP_MODES = ("I", "F")
"""PIL modes (with their variants, as I;16) whose values do not fit 8 bits."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error)
"""What Pillow raises on bytes that are no picture, or only a part of one."""


class ImageInputError(ValueError):
    """An image that cannot be read, or is not what the network takes."""


class PictureTooLargeError(ImageInputError):
    """A picture of more pixels than the bound, by its header."""


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """images (N, h, w, 3) uint8 RGB and tensor (N, 3, h, w) float32, normalised, of one size.

    plans: how each image became its own size; `network_from_image` adds the batch's crop.
    turned: whether each was turned upright by its EXIF orientation.
    """

    images: np.ndarray
    tensor: torch.Tensor
    plans: list[ResizePlan]
    turned: list[bool]

    def network_from_image(self, index: int) -> np.ndarray:
        """(3, 3): pixels of the given image to pixels of the network's."""
        plan = self.plans[index]
        size = self.images.shape[1:3]
        return preprocess.crop_intrinsics(plan.intrinsics(np.eye(3)), plan.size, size)


def read_batch(
    image: Sequence, process_res: int, method: str, *, upright: bool = True
) -> ImageBatch:
    """Read, resize and normalise all images; several at a time.

    image: see `image_list`. Images of different sizes are centre-cropped to the smallest
    height and width. upright: turn files as viewers show them, by their EXIF orientation; else
    they stay as stored, and that is said. Raises `ImageInputError` or `preprocess.PreprocessError`.
    """
    image = image_list(image)
    if upright:
        _warn_of_lying(image)
    resized = _map(
        lambda i: _read_resized(image[i], f"image[{i}]", process_res, method, upright),
        len(image),
        # Decoding files gains from threads; OpenCV has its own for the resizing of arrays.
        threads=os.cpu_count() if isinstance(image[0], (str, os.PathLike)) else 1,
    )
    plans = [plan for _, plan, _ in resized]
    turned = [is_turned for *_, is_turned in resized]
    if any(turned) and not upright:
        warnings.warn(
            f"image[{turned.index(True)}] is used as stored, not turned as viewers show it (by its "
            "EXIF orientation): intrinsics belong to stored pixels",
            stacklevel=2,
        )
        turned = [False] * len(turned)
    size = preprocess.common_size(plans)
    images = np.empty((len(plans), *size, 3), np.uint8)
    values = np.empty((len(plans), 3, *size), np.float32)
    for i, (pixels, *_) in enumerate(resized):
        images[i] = preprocess.centre_crop(pixels, size)
        values[i] = preprocess.normalise(images[i]).numpy()
    return ImageBatch(images, torch.from_numpy(values), plans, turned)


def image_list(image: Sequence | np.ndarray) -> Sequence | np.ndarray:
    """`image` if it is a list of file names, PIL images or arrays (see `read_rgb`), or one array
    (N, H, W, 1 | 3 | 4); else `ImageInputError`.
    """
    if isinstance(image, np.ndarray) and image.dtype.kind not in "OU" and image.ndim != 4:
        raise ImageInputError(
            f"image is one array of shape {image.shape}, must be a list of images, or "
            "(N, H, W, 3); for one image write [image]"
        )
    is_list = hasattr(image, "__len__") and hasattr(image, "__getitem__")
    if not is_list or isinstance(image, (str, bytes, Mapping)):
        raise ImageInputError(f"image is a {type(image).__name__}, must be a list of images")
    if len(image) == 0:
        raise ImageInputError("image is an empty list, must hold at least one image")
    return image


def _warn_of_lying(image: Sequence) -> None:
    """Pillow's pictures are taken as they are: whoever turned one has often left its note on."""
    for i, source in enumerate(image):
        with _named(f"image[{i}]"):
            is_lying = isinstance(source, Image.Image) and _asks_to_be_turned(source)
        if is_lying:
            warnings.warn(
                f"image[{i}] is used as its pixels lie, but its EXIF orientation asks to turn it: "
                "give its file name, or PIL.ImageOps.exif_transpose(image)",
                stacklevel=3,
            )
            return


def _map(action: Callable, count: int, threads: int | None) -> list:
    if (threads or 1) == 1 or count == 1:
        return [action(i) for i in range(count)]
    with ThreadPoolExecutor(min(8, count, threads)) as pool:
        return list(pool.map(action, range(count)))


def _read_resized(source, name: str, process_res: int, method: str, upright: bool):
    """Resized pixels, how they became so, and whether the file asks to be turned."""
    is_turned = False
    if isinstance(source, (str, os.PathLike)):
        pixels, is_turned = _from_file(Path(source), name, upright)
    else:
        pixels = read_rgb(source, name)
    height, width = pixels.shape[:2]
    plan = preprocess.plan_resize(height, width, process_res, method)
    return plan.image(pixels), plan, is_turned


def read_rgb(source, name: str = "image") -> np.ndarray:
    """(H, W, 3) uint8 RGB of one image; a file turned as viewers show it.

    source: a file name, a PIL image, or a uint8 array: (H, W) or (H, W, 1) grey,
    (H, W, 3) RGB, (H, W, 4) RGBA whose alpha is dropped.
    """
    if isinstance(source, (str, os.PathLike)):
        return _from_file(Path(source), name, upright=True)[0]
    if isinstance(source, Image.Image):
        with _named(name):  # Pillow decodes it only now
            return _from_pil(source, name)
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    raise ImageInputError(
        f"{name} is a {type(source).__name__}, must be a file name, a PIL image or a numpy array"
    )


def picture_size(
    data: bytes | memoryview, name: str = "image", formats: Sequence[str] | None = None
) -> tuple[int, int]:
    """(height, width) of an encoded picture (JPEG, PNG, WebP and more), without decoding it.

    formats: names of Pillow's formats that may be; None: all that it reads. Raises
    `ImageInputError` for bytes that are no picture, and for more pixels than the bound.
    """
    with _read(io.BytesIO(data), f"{name} of {len(data)} bytes", formats) as image:
        return image.height, image.width


def check_file(path: Path, name: str) -> None:
    """Raise `ImageInputError` for a file that is no picture, without decoding it."""
    with _open(path, name):
        pass


def _asks_to_be_turned(image: Image.Image) -> bool:
    """Whether its EXIF orientation is another than upright. Raises `_BROKEN`."""
    return image.getexif().get(ORIENTATION, 1) in range(2, 9)


def _from_file(path: Path, name: str, upright: bool) -> tuple[np.ndarray, bool]:
    """Pixels of a picture, and whether its EXIF orientation asks to turn it."""
    with _open(path, name) as image:
        is_turned = _asks_to_be_turned(image)
        if is_turned and upright:
            return _from_pil(ImageOps.exif_transpose(image), name), True
        return _from_pil(image, name), is_turned


def _open(path: Path, name: str) -> AbstractContextManager[Image.Image]:
    called = f"{name}: cannot read {shown(str(path), longest=300)}"
    try:
        is_file = path.is_file()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageInputError(f"{called}, {reason}") from error
    if not is_file:
        reason = "it is no file" if path.exists() else "there is no such file"
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


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith(_DEEP_MODES):
        raise ImageInputError(
            f"{name} has values of more than 8 bits (PIL mode {image.mode}); convert it to 8 bits"
        )
    return np.array(image.convert("RGB"))


def _from_array(array: np.ndarray, name: str) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageInputError(
            f"{name} has shape {array.shape}, must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        )
    if array.dtype != np.uint8:
        raise ImageInputError(f"{name} has dtype {array.dtype}, must be uint8 (0 to 255)")
    if channels == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(array[..., :3])
