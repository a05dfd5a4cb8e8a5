"""Depth at another size, without values that no surface has.

A depth map is continuous on a surface and jumps between surfaces. On a surface the
inverse depth is interpolated (it is linear in the image of a plane); across a jump the
nearest pixel is taken, so that no point floats between foreground and background.
"""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.core.camera_model import CameraModel

MAX_STEP = 0.1
"""Neighbouring pixels whose depths differ by more than this share are on two surfaces."""


class Resampler:
    """Takes maps from the pixels of one pinhole camera to those of another.

    Both are one camera: the source is the target resized, or a middle part of that.
    Pixels that the source does not see become NaN. Raises `ValueError` for other cameras.
    """

    def __init__(self, source: CameraModel, target: CameraModel):
        self._source_size = (source.height, source.width)
        self._target_size = (target.height, target.width)
        top, bottom = _missing(source, target, axis=1)
        left, right = _missing(source, target, axis=0)
        self._missing = ((top, bottom), (left, right))
        self._rows = _cells(source.height + top + bottom, target.height)
        self._columns = _cells(source.width + left + right, target.width)

    def __call__(self, depth: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        """(h, w) float32 metres -> (H, W) float32; likewise maps that belong to it.

        NaN and infinity keep their pixels. `others` (confidence, say) are interpolated
        where the depth is.
        """
        depth, *others = (self._complete(m) for m in (depth, *others))
        on_one_surface = self._on_one_surface(depth)
        with np.errstate(divide="ignore"):
            blended = self._bilinear(1 / depth)
            np.divide(1, blended, out=blended)
        return (
            cv2.copyTo(blended, on_one_surface, self._nearest(depth)),
            *(cv2.copyTo(self._bilinear(m), on_one_surface, self._nearest(m)) for m in others),
        )

    def nearest(self, mask: np.ndarray) -> np.ndarray:
        """(h, w) bool -> (H, W) bool, False where the source sees nothing."""
        return self._nearest(np.pad(mask, self._missing).view(np.uint8)).view(bool)

    def _complete(self, values: np.ndarray) -> np.ndarray:
        """All of the target's field of view, NaN where the source sees nothing."""
        if values.shape != self._source_size:
            raise ValueError(f"expected a map of {self._source_size}, got {values.shape}")
        if not np.any(self._missing):
            return values
        (top, bottom), (left, right) = self._missing
        return cv2.copyMakeBorder(
            values, top, bottom, left, right, cv2.BORDER_CONSTANT, value=np.nan
        )

    def _bilinear(self, values: np.ndarray) -> np.ndarray:
        # At the border the pixel that counts for nothing may be unknown, and 0 x NaN is NaN.
        known = np.where(np.isfinite(values), values, np.float32(0))
        return cv2.resize(known, self._target_size[::-1], interpolation=cv2.INTER_LINEAR)

    def _nearest(self, values: np.ndarray) -> np.ndarray:
        return cv2.resize(values, self._target_size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)

    def _on_one_surface(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) uint8, 1 where the four pixels around are valid and near in depth, else 0."""
        # Cell (i, j) is spanned by pixels i - 1, i and j - 1, j; the outer ones by edge pixels.
        padded = cv2.copyMakeBorder(depth, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        low = np.minimum(padded[:, :-1], padded[:, 1:])
        high = np.maximum(padded[:, :-1], padded[:, 1:])
        low, high = np.minimum(low[:-1], low[1:]), np.maximum(high[:-1], high[1:])
        # False for NaN; infinity is near nothing.
        near = (high <= low * (1 + MAX_STEP)) & (high < np.inf)
        return near.view(np.uint8).take(self._columns, 1).take(self._rows, 0)


def _missing(source: CameraModel, target: CameraModel, axis: int) -> tuple[int, int]:
    """Source pixels to add before and after so that it covers the target's field of view."""
    count, wanted = ((c.width, c.height)[axis] for c in (source, target))
    scale = source.K[axis, axis] / target.K[axis, axis]
    # The half-pixel rule: edges, not centres, of the two images coincide.
    before = (target.K[axis, 2] + 0.5) * scale - (source.K[axis, 2] + 0.5)
    after = wanted * scale - count - before
    if min(before, after) < -0.01 or abs(before - round(before)) + abs(after - round(after)) > 0.01:
        raise ValueError("the two cameras are not one camera at two sizes")
    return round(before), round(after)


def _cells(count: int, wanted: int) -> np.ndarray:
    """For each of `wanted` pixels the cell between two of `count` pixels that it falls into."""
    position = (np.arange(wanted) + 0.5) * (count / wanted) - 0.5
    return np.floor(position).astype(np.intp) + 1
