"""Smooth functions of pixels at every pixel: evaluated at each 16th, bicubic splines between."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_interp_spline

_STRIDE = 16  # px between the pixels where the function is evaluated
_SMALLEST = 4 * _STRIDE + 1  # px a side; below, the function itself is as quick
_PIECE = 256  # px a side, about

Function = Callable[[np.ndarray], np.ndarray]


def at_every_pixel(
    f: Function,
    width: int,
    height: int,
    error: Callable[[np.ndarray, np.ndarray], np.ndarray],
    most: float,
    dtype: type = np.float64,
) -> np.ndarray:
    """(k, H, W) `dtype`: f, which takes (n, 2) pixels u, v to (n, k) float64.

    error: takes pixels (n, 2) and what splines say there (n, k) to how far off that is. A piece
    of the picture is left to f itself where f is NaN or the error beyond `most`: at the edge of
    what a lens sees.
    """
    values = None
    for v in _pieces(height):
        for u in _pieces(width):
            piece = _piece(f, u, v, error, most)
            if values is None:
                values = np.empty((len(piece), height, width), dtype)
            values[:, v.start : v.stop, u.start : u.stop] = piece
    return values


def _pieces(count: int) -> list[range]:
    edges = np.linspace(0, count, max(1, round(count / _PIECE)) + 1).astype(int)
    return [range(first, last) for first, last in itertools.pairwise(edges)]


def _piece(f: Function, u: range, v: range, error, most: float) -> np.ndarray:
    if min(len(u), len(v)) >= _SMALLEST:
        spline = _PixelSpline(f, u, v)
        if spline.is_smooth and (error(*spline.between()) < most).all():
            return spline.everywhere()
    values = f(pixel_grid(u, v))
    return values.T.reshape(-1, len(v), len(u))


class _PixelSpline:
    """Of f at columns u and rows v. is_smooth: False where f is NaN, and then there is none."""

    def __init__(self, f: Function, u: range, v: range):
        self._first = np.array([u.start, v.start])
        self._u, self._v = _side(len(u)), _side(len(v))
        known = f(self._first + pixel_grid(self._u.known, self._v.known))
        self.is_smooth = not np.isnan(known).any()
        self._known = known.T.reshape(-1, len(self._v.known), len(self._u.known))

    def between(self) -> tuple[np.ndarray, np.ndarray]:
        """Places (n, 2) half way between those that are known, where a spline is worst, and its
        values there (n, k)."""
        values = self._v.to_middles @ self._known @ self._u.to_middles.T
        places = self._first + pixel_grid(self._u.middles, self._v.middles)
        return places, values.reshape(len(values), -1).T

    def everywhere(self) -> np.ndarray:
        """(k, rows, columns) float64."""
        return self._v.to_all @ self._known @ self._u.to_all.T


@dataclass(frozen=True, eq=False)
class _Side:
    """Pixels of a row or column: those that are known, and the places half way between.

    to_middles, to_all: (places or pixels, known); a spline is linear in what is known.
    """

    known: np.ndarray
    middles: np.ndarray
    to_middles: np.ndarray
    to_all: np.ndarray


@functools.lru_cache(maxsize=16)
def _side(count: int) -> _Side:
    pixels = np.arange(count, dtype=np.float64)
    known = np.unique(np.r_[pixels[::_STRIDE], pixels[-1]])
    middles = known[:-1] + np.diff(known) / 2
    spline = make_interp_spline(known, np.eye(len(known)))
    return _Side(known, middles, spline(middles), spline(pixels))


def pixel_grid(u: Sequence | np.ndarray, v: Sequence | np.ndarray) -> np.ndarray:
    """(n, 2) all (u, v), row after row. u, v: columns and rows."""
    return np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
