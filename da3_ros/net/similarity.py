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
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    centred_source, centred_target = source - mean_source, target - mean_target
    variance = (centred_source**2).sum() / len(source)
    covariance = centred_target.T @ centred_source / len(source)
    U, D, Vt = np.linalg.svd(covariance)
    if np.count_nonzero(D > np.finfo(D.dtype).eps) < 2:
        raise DegeneratePointsError(
            "camera positions lie in one place or on one line; their rotation is not determined"
        )
    signs = np.ones(3)
    if np.linalg.det(U) * np.linalg.det(Vt) < 0:
        signs[2] = -1
    R = U @ np.diag(signs) @ Vt
    scale = float((D * signs).sum() / variance)
    return R, mean_target - scale * (R @ mean_source), scale
