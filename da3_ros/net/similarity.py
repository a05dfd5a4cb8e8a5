"""The similarity transform between two sets of points (Umeyama 1991, eqs. 34 to 42)."""

from __future__ import annotations

import numpy as np


class DegeneratePointsError(ValueError):
    """Points that lie in one place or on one line: the rotation is not determined."""


def umeyama(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """R (3, 3), t (3,), s with ``target ~ s R source + t`` in the least-squares sense.

    source, target: (N, 3). Raises `DegeneratePointsError` when the covariance has
    rank below two: fewer than three points, identical points, an exactly straight line.
    """
    U, D, Vt, variance = _factorise(source, target)
    if np.count_nonzero(D > np.finfo(D.dtype).eps) < 2:
        raise DegeneratePointsError(
            "camera positions lie in one place or on one line; their rotation is not determined"
        )
    signs = np.ones(3)
    if np.linalg.det(U) * np.linalg.det(Vt) < 0:
        signs[2] = -1
    R = U @ np.diag(signs) @ Vt
    scale = float((D * signs).sum() / variance)
    return R, target.mean(axis=0) - scale * (R @ source.mean(axis=0)), scale


def size_ratio(source: np.ndarray, target: np.ndarray) -> float | None:
    """The scale of `umeyama`, which two points or a line determine too; None for one place."""
    U, D, Vt, variance = _factorise(source, target)
    if variance == 0:
        return None
    reflected = np.linalg.det(U) * np.linalg.det(Vt) < 0
    return float((D[0] + D[1] + (-D[2] if reflected else D[2])) / variance)


def _factorise(source, target) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """SVD of the covariance of the centred points, and the variance of the source."""
    centred_source = source - source.mean(axis=0)
    centred_target = target - target.mean(axis=0)
    covariance = centred_target.T @ centred_source / len(source)
    return *np.linalg.svd(covariance), (centred_source**2).sum() / len(source)
