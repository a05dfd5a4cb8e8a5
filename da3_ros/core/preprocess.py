"""From pictures and poses to what the network takes.

Pictures: resize, crop, normalise. The sizes, the resampling and the rounding are those
the published weights were trained with (Depth Anything 3, ``process_res_method``);
pixel for pixel the same numbers. Poses: relative to the reference view, divided by the
median camera distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.net.camera import Cameras
from da3_ros.net.presets import PATCH

METHODS = ("upper_bound_resize", "upper_bound_crop", "lower_bound_resize", "lower_bound_crop")
"""`upper_bound`: the longest side becomes process_res; `lower_bound`: the shortest.
`resize`: both sides to the nearest multiple of 14 by a second resize; `crop`: down to a
multiple of 14 around the middle."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in ImageNet, of 1."""

MIN_DIVISOR = 0.1
"""Camera distances are never divided by less than this, metres (upstream's rule)."""


FOLLOWED = 0.85
"""How far apart a network's own cameras are at least, of what it was given, where it knows such
distances: 0.92 and more for two views up to 6 of its units apart, 0.75 for 10, 0.44 for 20
(da3-demo, whose depth shrinks likewise)."""


USUAL_DISTANCE = 5.0
"""Of its units; farther ones are named where a network does not follow."""


class PreprocessError(ValueError):
    """An image, a size or a method that the network cannot take."""


@dataclass(frozen=True)
class ResizePlan:
    """How one image size becomes the network's size. Sizes are (height, width) in px.

    `bounded`: after the first resize; `size`: what the network takes; `crops`: the second
    step is a centre crop instead of a resize.
    """

    original: tuple[int, int]
    bounded: tuple[int, int]
    size: tuple[int, int]
    crops: bool

    def image(self, image: np.ndarray) -> np.ndarray:
        """Resize one (H, W, 3) or (H, W) uint8 image to `size`."""
        image = _resize(image, self.bounded)
        return centre_crop(image, self.size) if self.crops else _resize(image, self.size)

    def intrinsics(self, K: np.ndarray) -> np.ndarray:
        """K (3, 3) of the original image for the image at `size`.

        Plain ratios, without the half-pixel term, as the public API has always done; the
        robot side uses `CameraModel.scaled` for the depth it publishes.
        """
        K = _scale_rows(K, self.original, self.bounded)
        if not self.crops:
            return _scale_rows(K, self.bounded, self.size)
        return crop_intrinsics(K, self.bounded, self.size)


def plan_resize(
    height: int, width: int, process_res: int, method: str = "upper_bound_resize"
) -> ResizePlan:
    """Sizes that an image of `height` x `width` goes through.

    Raises `PreprocessError` for an unknown method, a `process_res` below 1, and an image
    so narrow that its short side would vanish.
    """
    if method not in METHODS:
        raise PreprocessError(
            f"process_res_method is '{method}', must be one of {', '.join(METHODS)}"
        )
    if process_res < 1:
        raise PreprocessError(f"process_res is {process_res}, must be at least {PATCH} px")
    side = max(height, width) if method.startswith("upper") else min(height, width)
    scale = process_res / float(side)
    bounded = tuple(max(1, round(n * scale)) for n in (height, width))
    crops = method.endswith("crop")
    size = tuple(n // PATCH * PATCH if crops else _nearest_multiple(n) for n in bounded)
    if min(size) < PATCH:
        raise PreprocessError(
            f"an image of {width}x{height} px becomes {bounded[1]}x{bounded[0]} at process_res "
            f"{process_res}, too narrow for patches of {PATCH} px; use a larger process_res "
            "or a less elongated image"
        )
    return ResizePlan((height, width), bounded, size, crops)


def normalise(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 RGB -> (3, H, W) float32, ImageNet mean 0 and deviation 1."""
    out = np.empty((3, *image.shape[:2]), np.float32)
    for plane, table, normalised in zip(cv2.split(image), _normalisation_tables(), out):
        cv2.LUT(plane, table, normalised)
    return torch.from_numpy(out)


def prepare_image(image: np.ndarray, plan: ResizePlan, size: tuple[int, int]) -> torch.Tensor:
    """(H, W, 3) uint8 RGB -> (3, h, w) float32 for the network.

    size: the batch's `common_size`; `plan.size` when all images are equal.
    """
    return normalise(centre_crop(plan.image(image), size))


def centre_crop(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle (h, w) of an (H, W, ...) array."""
    top, left = crop_offset(values.shape[:2], size)
    return values[top : top + size[0], left : left + size[1]]


def crop_intrinsics(K: np.ndarray, size: tuple[int, int], cropped: tuple[int, int]) -> np.ndarray:
    """K (3, 3) of an image of `size` after `centre_crop` to `cropped`."""
    K = K.copy()
    top, left = crop_offset(size, cropped)
    K[0, 2] -= left
    K[1, 2] -= top
    return K


def common_size(plans: list[ResizePlan]) -> tuple[int, int]:
    """(h, w) that all images of a batch are centre-cropped to: the smallest of each side."""
    return min(p.size[0] for p in plans), min(p.size[1] for p in plans)


def scale_camera(camera: CameraModel, plan: ResizePlan, size: tuple[int, int]) -> CameraModel:
    """The camera of the image that the network sees, cropped to the batch's common `size`.

    Follows the pixels exactly: half-pixel rule in every resize, offset in every crop.
    """
    for step, crops in ((plan.bounded, False), (plan.size, plan.crops), (size, True)):
        height, width = step
        if crops:
            K = crop_intrinsics(camera.K, (camera.height, camera.width), step)
            camera = CameraModel(width, height, K)
        else:
            camera = camera.scaled(width=width, height=height)
    return camera


def reference_first(count: int, reference: int) -> list[int]:
    """Order of the views with the reference at the front, the others as they were."""
    return [reference, *(i for i in range(count) if i != reference)]


def relative_to_reference(
    T_world_cam: np.ndarray, K: np.ndarray, divisor: float | None = None
) -> tuple[Cameras, float]:
    """Cameras as the network takes them, and the metres that became one unit.

    T_world_cam: (N, 4, 4) float64, the reference view first. K: (N, 3, 3) px at network
    size. Everything is float64 until the poses are relative: world coordinates of the size
    of UTM would lose centimetres in float32. `divisor` replaces the median rule.
    """
    T_ref_cam = poses.inverse(T_world_cam[0]) @ T_world_cam
    distances = np.linalg.norm(T_ref_cam[:, :3, 3], axis=1)
    divisor = divisor or max(_lower_median(distances), MIN_DIVISOR)
    T_ref_cam[:, :3, 3] /= divisor
    T_cam_ref = poses.inverse(T_ref_cam)
    T_cam_ref[0] = np.eye(4)
    cameras = Cameras(
        T_cam_ref=torch.from_numpy(T_cam_ref.astype(np.float32))[None],
        K=torch.from_numpy(np.asarray(K, dtype=np.float32))[None],
    )
    return cameras, divisor


def too_near(T_world_cam: np.ndarray) -> str:
    """What is wrong with poses (N, 4, 4) so near each other that `MIN_DIVISOR` stands in for their
    distance: the network sees them nearer still, and its depth is in no unit of theirs. Or empty.
    """
    distances = np.linalg.norm(T_world_cam[1:, :3, 3] - T_world_cam[0, :3, 3], axis=1)
    median = float(np.median(distances)) if len(distances) else 0.0
    if not 0 < median < MIN_DIVISOR:
        return ""
    factor = 10.0 ** np.ceil(np.log10(MIN_DIVISOR / median))
    return (
        f"extrinsics: the cameras lie so near each other ({median:.2g}, and below {MIN_DIVISOR:g} "
        "the network takes them for nearer still) that depth may be many times too large; give "
        f"their translations in a smaller unit ({factor:g} times the numbers), that of depth then"
    )


def not_followed(T_world_cam: np.ndarray, divisor: float, share: float) -> str:
    """What is wrong with poses (N, 4, 4) so far from each other that the network does not follow
    them: its depth is in no unit of theirs. Or empty.

    divisor: of the poses, as of `relative_to_reference`. share: how far apart the network has
    placed the cameras, of what it was given.
    """
    distances = np.linalg.norm(T_world_cam[:, :3, 3] - T_world_cam[0, :3, 3], axis=1)
    farthest = float(distances.max()) / divisor
    if farthest <= USUAL_DISTANCE or not share < FOLLOWED:
        return ""
    advice = "leave out views that are far from most others, or check the poses"
    if divisor == MIN_DIVISOR:
        factor = 10.0 ** -np.ceil(np.log10(farthest / USUAL_DISTANCE))
        advice = f"give translations in a larger unit ({factor:g} times the numbers), depth's then"
    return (
        f"extrinsics: the network was given cameras {farthest:.2g} of its units apart (each "
        f"{divisor:.2g} of yours), and sees them {share:.0%} as far apart: depth may be many times "
        f"too small; {advice}"
    )


def _lower_median(values: np.ndarray) -> float:
    """The reference's own distance, zero, counts: upstream's rule."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def _nearest_multiple(side: int) -> int:
    """Nearest multiple of the patch, ties up."""
    return (side + PATCH // 2) // PATCH * PATCH


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    grows = size[0] > image.shape[0] or size[1] > image.shape[1]
    interpolation = cv2.INTER_CUBIC if grows else cv2.INTER_AREA
    return cv2.resize(image, size[::-1], interpolation=interpolation)


def crop_offset(size: tuple[int, int], cropped: tuple[int, int]) -> tuple[int, int]:
    """Top and left px of the middle of a picture; sizes are (height, width)."""
    return (size[0] - cropped[0]) // 2, (size[1] - cropped[1]) // 2


def _scale_rows(K: np.ndarray, before: tuple[int, int], after: tuple[int, int]) -> np.ndarray:
    K = K.copy()
    K[0] *= after[1] / before[1]
    K[1] *= after[0] / before[0]
    return K


@cache
def _normalisation_tables() -> np.ndarray:
    """(3, 256) float32: each color's normalised value of every byte.

    Torch computes them, in torchvision's order of operations, so that a table look-up
    gives torchvision's very bits.
    """
    byte = torch.arange(256, dtype=torch.float32).div(255)
    mean, deviation = torch.tensor(MEAN)[:, None], torch.tensor(DEVIATION)[:, None]
    return byte.expand(3, -1).sub(mean).div(deviation).numpy()
