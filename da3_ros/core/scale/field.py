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

    @staticmethod
    def fit(samples: Samples, scale: float, height: float) -> Field:
        """Through ln ratios (P,) at places (P, 2); `scale` where no point is near."""
        weight = _locally_trusted(samples, scale)
        rows = (np.arange(GRID[0]) + 0.5) * height / GRID[0]
        columns = (np.arange(GRID[1]) + 0.5) / GRID[1]
        x, y = np.meshgrid(columns, rows)
        nodes = np.stack([x, y], axis=-1).reshape(-1, 2)
        kernel = _bell(rows, samples.place[:, 1])[:, None] * _bell(columns, samples.place[:, 0])
        kernel = kernel.reshape(len(nodes), -1)
        values = scale + _smooth(kernel, nodes, samples.place, samples.log_ratio - scale, weight)
        return Field(values.reshape(GRID).astype(np.float32), height)


def _bell(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) how much b speaks for a."""
    return np.exp(-((a[:, None] - b) ** 2) / (2 * REACH**2))


def _kernel(place: np.ndarray, others: np.ndarray) -> np.ndarray:
    apart = (place[:, None] - others[None]).astype(np.float32)
    return np.exp(np.einsum("abi,abi->ab", apart, apart) / np.float32(-2 * REACH**2))


def _smooth(kernel, at, place, rest, weight) -> np.ndarray:
    """(A,) local lines through `rest` (P,), level and slope pulled to zero.

    kernel: (A, P). at: (A, 2). weight: (P,) about one.
    """
    x, y = (place / REACH).T
    a, b = (at / REACH).T
    columns = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y, rest, rest * x, rest * y])
    n, sx, sy, sxx, sxy, syy, sr, srx, sry = ((kernel * weight) @ columns.T).T
    # Moments about the place itself.
    mx, my = sx - a * n, sy - b * n
    mxx, mxy = sxx - 2 * a * sx + a * a * n, sxy - a * sy - b * sx + a * b * n
    myy = syy - 2 * b * sy + b * b * n
    flat = np.full_like(n, STIFFNESS)
    normal = np.stack([n + PULL, mx, my, mx, mxx + flat, mxy, my, mxy, myy + flat], axis=-1)
    right = np.stack([sr, srx - a * sr, sry - b * sr], axis=-1)
    return np.linalg.solve(normal.reshape(-1, 3, 3), right[..., None])[:, 0, 0]


def _locally_trusted(samples: Samples, scale: float) -> np.ndarray:
    """(P,) weights of mean one; points that disagree with those around them count less."""
    even = samples.weight / samples.weight.mean()
    kernel = _kernel(samples.place, samples.place)
    np.fill_diagonal(kernel, 0)
    rest, weight = samples.log_ratio - scale, even
    for _ in range(2):
        miss = rest - _smooth(kernel, samples.place, samples.place, rest, weight)
        unit = 3 * max(1.4826 * np.median(np.abs(miss)), 0.01)
        weight = even / (1 + (miss / unit) ** 2)
    return weight
