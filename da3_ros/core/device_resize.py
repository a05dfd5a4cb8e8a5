"""Pictures resized and normalised on a GPU, as preprocess.py does on the processor.

OpenCV's resampling is separable: rows and columns are two matrix products. The results are equal
but for pixels that fall between two levels of 255, which may come out one level apart.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from da3_ros.core.preprocess import DEVIATION, MEAN, ResizePlan, crop_offset

CUBIC = -0.75
"""OpenCV's constant of bicubic interpolation."""

LEAST_SHARE = 1e-3
"""Of a pixel; OpenCV leaves smaller ones out of a mean over areas."""


def prepare_on_device(image: Tensor, plan: ResizePlan, size: tuple[int, int]) -> Tensor:
    """(H, W, 3) uint8 RGB -> (3, h, w) float32 for the network; see `preprocess.prepare_image`."""
    picture = _resized(image.permute(2, 0, 1).float(), plan.bounded)
    picture = _cropped(picture, plan.size) if plan.crops else _resized(picture, plan.size)
    mean, deviation = _normalisation(image.device)
    return _cropped(picture, size).div(255).sub(mean).div(deviation)


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W) to (3, h, w), whole numbers from 0 to 255."""
    before = picture.shape[1:]
    if before == size:
        return picture
    grows = size[0] > before[0] or size[1] > before[1]
    rows, columns = (_weights(n, wanted, grows, picture.device) for n, wanted in zip(before, size))
    exact = rows @ picture @ columns.T
    halves_up = not grows and before[0] == 2 * size[0] and before[1] == 2 * size[1]
    return (exact.add(0.5).floor() if halves_up else exact.round()).clamp(0, 255)


def _cropped(picture: Tensor, size: tuple[int, int]) -> Tensor:
    top, left = crop_offset(picture.shape[1:], size)
    return picture[:, top : top + size[0], left : left + size[1]]


@lru_cache(maxsize=32)
def _weights(before: int, after: int, grows: bool, device: torch.device) -> Tensor:
    """(after, before) float32: what each old pixel gives to each new one along one axis."""
    weights = (_cubic_weights if grows else _area_weights)(before, after)
    return torch.from_numpy(weights.astype(np.float32)).to(device)


def _area_weights(before: int, after: int) -> np.ndarray:
    """Shares of the old pixels in the area of each new one."""
    scale = before / after
    start = np.arange(after)[:, None] * scale
    width = np.minimum(scale, before - start)
    pixel = np.arange(before)
    share = np.minimum(start + scale, pixel + 1) - np.maximum(start, pixel)
    return np.where(share > LEAST_SHARE, share, 0) / width


def _cubic_weights(before: int, after: int) -> np.ndarray:
    """Bicubic weights of four neighbours; beyond the border its pixel is repeated."""
    centre = (np.arange(after) + 0.5) * before / after - 0.5
    first = np.floor(centre).astype(int)
    weights = np.zeros((after, before))
    for step in (-1, 0, 1, 2):
        pixel = np.clip(first + step, 0, before - 1)
        np.add.at(weights, (np.arange(after), pixel), _cubic(np.abs(centre - first - step)))
    return weights


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel at distances from 0 to 2."""
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return np.where(x < 1, near, far)


@lru_cache(maxsize=4)
def _normalisation(device: torch.device) -> tuple[Tensor, Tensor]:
    mean, deviation = (torch.tensor(x)[:, None, None].to(device) for x in (MEAN, DEVIATION))
    return mean, deviation
