"""Images as users have them to one batch for the network; what a picture may be: pictures.py."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from da3_ros.core import preprocess
from da3_ros.core.preprocess import ResizePlan
from da3_ros.core.user_input.pictures import ImageInputError, from_file, is_lying, read_rgb


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
    height and width, and a warning says what the worst one loses. upright: turn files as viewers
    show them, by their EXIF orientation; else they stay as stored, and that is said. Raises
    `ImageInputError` or `preprocess.PreprocessError`.
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
            stacklevel=4,
        )
        turned = [False] * len(turned)
    size = preprocess.common_size(plans)
    _warn_of_cutting(plans, size)
    images = np.empty((len(plans), *size, 3), np.uint8)
    values = np.empty((len(plans), 3, *size), np.float32)
    for i, (pixels, *_) in enumerate(resized):
        images[i] = preprocess.centre_crop(pixels, size)
        values[i] = preprocess.normalise(images[i]).numpy()
    return ImageBatch(images, torch.from_numpy(values), plans, turned)


def image_list(image: Sequence | np.ndarray) -> list | np.ndarray:
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
    # By position, whatever its index: a column of a table keeps the labels of its rows.
    return image if isinstance(image, np.ndarray) else list(image)


def _warn_of_cutting(plans: Sequence[ResizePlan], size: tuple[int, int]) -> None:
    """Pictures of other proportions: only what all of them have stays."""
    lost = [1 - math.prod(size) / math.prod(plan.size) for plan in plans]
    if (most := max(lost)) > 0:
        warnings.warn(
            f"the images have different sizes, and are cut to what all of them have: "
            f"image[{lost.index(most)}] loses {100 * most:.2g} % of its picture",
            stacklevel=5,
        )


def _warn_of_lying(image: Sequence) -> None:
    """Pillow's pictures are taken as they are: whoever turned one has often left its note on."""
    for i, source in enumerate(image):
        if is_lying(source, f"image[{i}]"):
            warnings.warn(
                f"image[{i}] is used as its pixels lie, but its EXIF orientation asks to turn it: "
                "give its file name, or PIL.ImageOps.exif_transpose(image)",
                stacklevel=5,
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
        pixels, is_turned = from_file(Path(source), name, upright)
    else:
        pixels = read_rgb(source, name)
    height, width = pixels.shape[:2]
    plan = preprocess.plan_resize(height, width, process_res, method)
    return plan.image(pixels), plan, is_turned
