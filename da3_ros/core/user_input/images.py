"""Images as users have them (files, PIL, arrays) to one batch for the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from da3_ros.core import preprocess
from da3_ros.core.preprocess import ResizePlan

_DEEP_MODES = ("I", "F")
"""PIL modes (with their variants, as I;16) whose values do not fit 8 bits."""


class ImageInputError(ValueError):
    """An image that cannot be read, or is not what the network takes."""


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """images (N, h, w, 3) uint8 RGB and tensor (N, 3, h, w) float32, normalised, of one size.

    plans: how each image became its own size; `network_from_image` adds the batch's crop.
    """

    images: np.ndarray
    tensor: torch.Tensor
    plans: list[ResizePlan]

    def network_from_image(self, index: int) -> np.ndarray:
        """(3, 3): pixels of the given image to pixels of the network's."""
        plan = self.plans[index]
        size = self.images.shape[1:3]
        return preprocess.crop_intrinsics(plan.intrinsics(np.eye(3)), plan.size, size)


def read_batch(image: Sequence, process_res: int, method: str) -> ImageBatch:
    """Read, resize and normalise all images; several at a time.

    image: a list of file names, PIL images or arrays (see `read_rgb`). Images of different
    sizes are centre-cropped to the smallest height and width. Raises `ImageInputError` or
    `preprocess.PreprocessError`.
    """
    if isinstance(image, (str, os.PathLike, Image.Image)) or not hasattr(image, "__len__"):
        raise ImageInputError(f"image is a {type(image).__name__}, must be a list of images")
    if len(image) == 0:
        raise ImageInputError("image is an empty list, must hold at least one image")
    resized = _map(
        lambda i: _read_resized(image[i], f"image[{i}]", process_res, method),
        len(image),
        # Decoding files gains from threads; OpenCV has its own for the resizing of arrays.
        threads=os.cpu_count() if isinstance(image[0], (str, os.PathLike)) else 1,
    )
    plans = [plan for _, plan in resized]
    size = preprocess.common_size(plans)
    images = np.empty((len(plans), *size, 3), np.uint8)
    values = np.empty((len(plans), 3, *size), np.float32)
    for i, (pixels, _) in enumerate(resized):
        images[i] = preprocess.centre_crop(pixels, size)
        values[i] = preprocess.normalise(images[i]).numpy()
    return ImageBatch(images, torch.from_numpy(values), plans)


def _map(action: Callable, count: int, threads: int | None) -> list:
    if (threads or 1) == 1 or count == 1:
        return [action(i) for i in range(count)]
    with ThreadPoolExecutor(min(8, count, threads)) as pool:
        return list(pool.map(action, range(count)))


def _read_resized(source, name: str, process_res: int, method: str):
    pixels = read_rgb(source, name)
    plan = preprocess.plan_resize(*pixels.shape[:2], process_res, method)
    return plan.image(pixels), plan


def read_rgb(source, name: str = "image") -> np.ndarray:
    """(H, W, 3) uint8 RGB of one image.

    source: a file name, a PIL image, or a uint8 array: (H, W) or (H, W, 1) grey,
    (H, W, 3) RGB, (H, W, 4) RGBA whose alpha is dropped.
    """
    if isinstance(source, (str, os.PathLike)):
        return _from_file(Path(source), name)
    if isinstance(source, Image.Image):
        return _from_pil(source, name)
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    raise ImageInputError(
        f"{name} is a {type(source).__name__}, must be a file name, a PIL image or a numpy array"
    )


def _from_file(path: Path, name: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return _from_pil(image, name)
    except OSError as error:
        reason = "there is no such file" if not path.exists() else "it is not a readable image"
        raise ImageInputError(f"{name}: cannot read '{path}', {reason}") from error


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
