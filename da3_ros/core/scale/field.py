"""A smooth field over the picture, through what is known at scattered places.

Local lines (Cleveland 1979): around every node of a grid the values near it are fitted by a
plane, in which near ones count more and outliers less. Level and slope are pulled to the value
of the whole picture, which is what remains where nothing is near.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from da3_ros.core.scale.samples import Samples

REACH = 0.08
"""How far a point speaks for its surroundings, in widths of the picture (standard deviation)."""

PULL = 0.2
"""Weight, in points, of the value of the whole picture."""

STIFFNESS = 1.0
"""Weight, in points, of a slope of zero."""

GRID = (20, 28)
"""Rows and columns."""


@dataclass(frozen=True, eq=False)
class Field:
    """A grid (rows, columns) of ln factors over the picture, `height` widths high."""

    grid: np.ndarray
    height: float

    def __call__(self, log_depth: np.ndarray, place: np.ndarray) -> np.ndarray:
        x = (place[..., 0] * self.grid.shape[1] - 0.5).astype(np.float32)
        y = (place[..., 1] * (self.grid.shape[0] / self.height) - 0.5).astype(np.float32)
        shape = x.shape if x.ndim == 2 else (len(x), 1)
        values = cv2.remap(
            self.grid, x.reshape(shape), y.reshape(shape), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return values.reshape(x.shape)


class Neighbourhoods:
    """The points around each point and each place of the picture."""

    def __init__(self, samples: Samples):
        self._samples = samples
        self._median = samples.median
        self._rest = samples.log_ratio - self._median
        self._kernel = _kernel(samples.place)
        self._weight = self._trusted()

    def field(self, height: float) -> Field:
        """Through the ln ratios; their median where no point is near. height: in widths."""
        rows = (np.arange(GRID[0]) + 0.5) * height / GRID[0]
        columns = (np.arange(GRID[1]) + 0.5) / GRID[1]
        x, y = np.meshgrid(columns, rows)
        nodes = np.stack([x, y], axis=-1).reshape(-1, 2)
        place = self._samples.place
        kernel = _bell(rows, place[:, 1])[:, None] * _bell(columns, place[:, 0])
        values = self._median + self._smooth(kernel.reshape(len(nodes), -1), nodes, self._weight)
        within = values.clip(self._samples.log_ratio.min(), self._samples.log_ratio.max())
        return Field(within.reshape(GRID).astype(np.float32), height)

    def held_out(self, fold: np.ndarray) -> np.ndarray:
        """(P,) what fields say of the ln ratios, each point by one through other folds only."""
        others = np.where(fold[:, None] == fold, np.float32(0), self._kernel)
        return self._median + self._smooth(others, self._samples.place, self._weight)

    def _smooth(self, kernel: np.ndarray, at: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return _local_lines(kernel, at, self._samples.place, self._rest, weight)

    def _trusted(self) -> np.ndarray:
        """(P,) weights of mean one; points that disagree with those around them count less."""
        even = weight = self._samples.weight / self._samples.weight.mean()
        for _ in range(2):
            miss = self._rest - self._smooth(self._kernel, self._samples.place, weight)
            unit = 3 * max(1.4826 * np.median(np.abs(miss)), 0.01)
            weight = even / (1 + (miss / unit) ** 2)
        return weight


def _bell(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) float32 how much b speaks for a."""
    return np.exp(-((a[:, None] - b) ** 2) / (2 * REACH**2)).astype(np.float32)


def _kernel(place: np.ndarray) -> np.ndarray:
    """(P, P) float32 how much the points speak for each other; not for themselves."""
    x, y = place.astype(np.float32).T
    square = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2
    kernel = np.exp(square / np.float32(-2 * REACH**2))
    np.fill_diagonal(kernel, 0)
    return kernel


def _local_lines(kernel, at, place, rest, weight) -> np.ndarray:
    """(A,) local lines through `rest` (P,), level and slope pulled to zero.

    kernel: (A, P). at: (A, 2). weight: (P,) about one.
    """
    x, y = (place / REACH).T
    a, b = (at / REACH).T
    columns = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y, rest, rest * x, rest * y])
    n, sx, sy, sxx, sxy, syy, sr, srx, sry = (
        kernel @ (columns * weight).T.astype(kernel.dtype)
    ).T.astype(np.float64)
    # Moments about the place itself.
    mx, my = sx - a * n, sy - b * n
    mxx, mxy = sxx - 2 * a * sx + a * a * n, sxy - a * sy - b * sx + a * b * n
    myy = syy - 2 * b * sy + b * b * n
    flat = np.full_like(n, STIFFNESS)
    normal = np.stack([n + PULL, mx, my, mx, mxx + flat, mxy, my, mxy, myy + flat], axis=-1)
    right = np.stack([sr, srx - a * sr, sry - b * sr], axis=-1)
    return np.linalg.solve(normal.reshape(-1, 3, 3), right[..., None])[:, 0, 0]
