"""Lenses, forward and inverse, in float64: where a direction lands on the image plane, and back.

The image plane here is normalised: K takes (x, y, 1) to pixels, skew included. Definitions:
OpenCV 4 (calib3d and fisheye), Agisoft Metashape (user manual, appendix "Camera models").

A polynomial lens folds back on itself far outside the picture it was fitted to. What lies
beyond the fold was never seen: it has no place on the plane (NaN), and a point of the plane that
no direction reaches has no direction (NaN).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TABLE = 4096  # samples of the radial curve that Newton starts from
_STEPS = 30
_SOLVED = 1e-11  # of the image plane, where one is a focal length


class BrownLens:
    """Radial (rational), tangential, thin prism and tilt: OpenCV's lens, with one more power.

    numerator: k of r^2, r^4, ... denominator: likewise. p: OpenCV's p1, p2. s: s1..s4 of the
    thin prism. tilt: tau_x, tau_y of the sensor.
    """

    def __init__(self, numerator, denominator=(), p=(0, 0), s=(0, 0, 0, 0), tilt=(0, 0)):
        self._N = np.polynomial.Polynomial([1.0, *numerator])
        self._M = np.polynomial.Polynomial([1.0, *denominator])
        self._dN, self._dM = self._N.deriv(), self._M.deriv()
        self._p, self._s = tuple(map(float, p)), tuple(map(float, s))
        self._tilt = _tilt(*tilt) if np.any(tilt) else None
        self.fold = np.sqrt(self._first_turn())
        """r of the undistorted plane beyond which the radial curve runs back; may be inf."""

    def distort(self, directions: np.ndarray) -> np.ndarray:
        """Image plane (n, 2) of directions (n, 3), any length; NaN where the lens sees nothing."""
        with np.errstate(all="ignore"):
            x, y = (directions[:, :2] / directions[:, 2:]).T
            near = (directions[:, 2] > 0) & (x * x + y * y < self.fold**2)
            if near.all():
                return self._distort(x, y)
            plane = np.full((len(near), 2), np.nan)
            plane[near] = self._distort(x[near], y[near])
        return plane

    def _distort(self, x, y):
        """Image plane (n, 2) of undistorted points before the fold; NaN where nothing is seen."""
        u, v, radial = self._bend(x, y)
        plane, seen = np.stack([u, v], axis=-1), np.ones(len(u), bool)
        if any(self._p) or any(self._s):  # they bend the fold out of its circle
            a, b, c, d = self._jacobian(x, y, *radial)
            seen &= a * d - b * c > 0
        if self._tilt is not None:
            q = np.c_[plane, np.ones(len(plane))] @ self._tilt.T
            plane, seen = q[:, :2] / q[:, 2:], seen & (q[:, 2] > 0)
        plane[~seen] = np.nan
        return plane

    def directions(self, plane: np.ndarray) -> np.ndarray:
        """(n, 3) float64 directions with z = 1 of points (n, 2) of the image plane; NaN without."""
        with np.errstate(all="ignore"):
            if self._tilt is not None:
                q = np.linalg.solve(self._tilt, np.c_[plane, np.ones(len(plane))].T)
                plane = (q[:2] / np.where(q[2] > 0, q[2], np.nan)).T
            x, y = self._straighten(*plane.T)
        return np.stack([x, y, np.where(np.isnan(x), np.nan, 1.0)], axis=-1)

    def _bend(self, x, y):
        """Plane point u, v before the tilt, and (r^2, the radial factor) of (x, y)."""
        (p1, p2), (s1, s2, s3, s4) = self._p, self._s
        r2 = x * x + y * y
        g = _horner(self._N.coef, r2)
        if len(self._M.coef) > 1:
            g = g / _horner(self._M.coef, r2)
        u, v = x * g, y * g
        if any(self._p):
            u = u + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
            v = v + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
        if any(self._s):
            u, v = u + (s1 + s2 * r2) * r2, v + (s3 + s4 * r2) * r2
        return u, v, (r2, g)

    def _jacobian(self, x, y, r2, g):
        """du/dx, du/dy, dv/dx, dv/dy; NaN behind a pole of the rational function."""
        (p1, p2), (s1, s2, s3, s4) = self._p, self._s
        m = _horner(self._M.coef, r2)
        dg = (_horner(self._dN.coef, r2) - g * _horner(self._dM.coef, r2)) / m  # by r^2
        a = np.where(g > 0, g, np.nan) + 2 * x * x * dg + 2 * p1 * y + 6 * p2 * x
        b = 2 * x * y * dg + 2 * p1 * x + 2 * p2 * y
        d = g + 2 * y * y * dg + 2 * p2 * x + 6 * p1 * y
        along, across = 2 * (s1 + 2 * s2 * r2), 2 * (s3 + 2 * s4 * r2)
        return a + along * x, b + along * y, b + across * x, d + across * y

    def _straighten(self, u, v):
        """Undistorted (x, y) of plane points; NaN of those that no direction reaches."""
        rd = np.hypot(u, v)
        r_table, rd_table = self._radial_table(np.nanmax(rd, initial=0.0))
        near = rd <= (rd_table[-1] + self._farthest_bend() if np.isfinite(self.fold) else np.inf)
        u, v, rd = u[near], v[near], rd[near]
        start = np.where(rd > 0, np.interp(rd, rd_table, r_table) / rd, 1.0)
        x, y = self._solve(u, v, u * start, v * start)
        fu, fv, radial = self._bend(x, y)
        a, b, c, d = self._jacobian(x, y, *radial)
        error = np.maximum(np.abs(u - fu), np.abs(v - fv))
        good = (error < _SOLVED * (1 + rd)) & (radial[0] < self.fold**2) & (a * d - b * c > 0)
        straight = np.full((2, len(near)), np.nan)
        straight[:, near] = np.where(good, (x, y), np.nan)
        return straight

    def _solve(self, u, v, x, y):
        """Newton's method from (x, y); those that are found are left alone."""
        x, y, left = x.copy(), y.copy(), np.arange(len(u))
        for _ in range(_STEPS):
            lx, ly = x[left], y[left]
            fu, fv, radial = self._bend(lx, ly)
            a, b, c, d = self._jacobian(lx, ly, *radial)
            eu, ev = u[left] - fu, v[left] - fv
            det = a * d - b * c
            dx, dy = (d * eu - b * ev) / det, (a * ev - c * eu) / det
            # A step as long as the way from the axis overshoots the fold.
            short = np.minimum(1.0, 0.5 * (np.hypot(lx, ly) + 0.1) / np.hypot(dx, dy))
            short = np.where(np.isnan(short), 1.0, short)
            x[left], y[left] = lx + short * dx, ly + short * dy
            error = np.maximum(np.abs(eu), np.abs(ev))
            step = np.maximum(np.abs(dx), np.abs(dy))
            left = left[(error > 1e-15) & (step > 1e-15)]
            if not len(left):
                break
        return x, y

    def _farthest_bend(self) -> float:
        """How far tangential and thin prism terms move anything within a finite fold, at most."""
        p, (s1, s2, s3, s4) = np.abs(self._p).sum(), np.abs(self._s)
        return (4 * p + s1 + s3) * self.fold**2 + (s2 + s4) * self.fold**4

    def _radial_table(self, rd_max: float) -> tuple[np.ndarray, np.ndarray]:
        """r and the distorted r of the radial curve, both rising, up to `rd_max` or the fold."""
        reach = self.fold
        if np.isinf(reach):
            reach = 1.0
            while reach < 1e6 and reach * self._N(reach**2) / self._M(reach**2) < rd_max:
                reach *= 2
        r = np.linspace(0, reach * (1 - 1e-9), _TABLE)
        return r, np.maximum.accumulate(r * self._N(r * r) / self._M(r * r))

    def _first_turn(self) -> float:
        """Smallest r^2 at which r N / M stops rising, or where N / M has a pole; may be inf."""
        N, M = self._N, self._M
        s = np.polynomial.Polynomial([0.0, 1.0])
        slope = (N + 2 * s * self._dN) * M - 2 * s * N * self._dM  # times M^2
        return min(_first_sign_change(slope), _first_sign_change(M))


class FisheyeLens:
    """Equidistant (Kannala and Brandt): r = theta (1 + k1 theta^2 + ... + k4 theta^8).

    Sees beyond 90 degrees from the axis, where directions have z <= 0.
    """

    def __init__(self, k):
        self._curve = np.polynomial.Polynomial([0.0, 1.0, *(w for c in k for w in (0.0, float(c)))])
        self._slope = self._curve.deriv()
        self.fold = min(np.pi, _first_sign_change(self._slope))
        """theta beyond which the lens sees nothing."""
        self._theta = np.linspace(0, self.fold, _TABLE)
        self._radius = np.maximum.accumulate(self._curve(self._theta))

    def distort(self, directions: np.ndarray) -> np.ndarray:
        """Image plane (n, 2) of directions (n, 3), any length; NaN where the lens sees nothing."""
        x, y, z = directions.T
        r = np.hypot(x, y)
        theta = np.arctan2(r, z)
        with np.errstate(all="ignore"):
            scale = np.where(r > 0, self._curve(theta) / r, 1 / z)
        scale[~((theta < self.fold) & ((r > 0) | (z > 0)))] = np.nan
        return directions[:, :2] * scale[:, None]

    def directions(self, plane: np.ndarray) -> np.ndarray:
        """(n, 3) float64 unit directions of points (n, 2) of the image plane; NaN without."""
        radius = np.hypot(*plane.T)
        theta = np.interp(radius, self._radius, self._theta)
        with np.errstate(all="ignore"):
            for _ in range(_STEPS):
                step = (radius - self._curve(theta)) / self._slope(theta)
                theta = np.clip(theta + np.nan_to_num(step), 0, self.fold)
                if not (np.abs(step) > 1e-15).any():
                    break
            good = np.abs(self._curve(theta) - radius) < _SOLVED * (1 + radius)
            theta = np.where(good & (theta < self.fold), theta, np.nan)
            across = np.where(radius > 0, np.sin(theta) / radius, 1.0)
        return np.c_[plane * across[:, None], np.cos(theta)]


@dataclass(frozen=True)
class _NoLens:
    """A pinhole: straight lines stay straight."""

    def distort(self, directions: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.where(directions[:, 2:] > 0, directions[:, :2] / directions[:, 2:], np.nan)

    def directions(self, plane: np.ndarray) -> np.ndarray:
        return np.c_[plane, np.ones(len(plane))]


PINHOLE = _NoLens()
Lens = BrownLens | FisheyeLens | _NoLens


def opencv_lens(D: np.ndarray) -> BrownLens:
    """The lens of 4, 5, 8, 12 or 14 coefficients in OpenCV's order."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tx, ty = np.pad(D, (0, 14 - len(D)))
    return BrownLens((k1, k2, k3), (k4, k5, k6), (p1, p2), (s1, s2, s3, s4), (tx, ty))


def metashape_lens(D: np.ndarray) -> BrownLens:
    """The lens of Metashape's k1, k2, k3, k4, p1, p2; its p1 is OpenCV's p2."""
    return BrownLens(D[:4], p=(D[5], D[4]))


def _horner(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Polynomial of rising powers; numpy's own takes twice as long over its temporaries."""
    value = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        value *= x
        value += c
    return value


def _first_sign_change(polynomial: np.polynomial.Polynomial) -> float:
    """Smallest positive x at which a polynomial (1 at 0) goes through zero; inf without."""
    # By 1 / x: the constant is 1, while the highest coefficients may be as good as 0.
    inverse = np.polynomial.Polynomial(polynomial.coef[::-1]).roots()
    is_real = (np.abs(inverse.imag) < 1e-7 * np.abs(inverse)) & (inverse.real > 1e-12)
    real = np.sort(1 / inverse.real[is_real])
    for root in real:
        with np.errstate(over="ignore"):
            before, after = np.sign(polynomial(root * np.array([1 - 1e-5, 1 + 1e-5])))
        if before * after < 0:
            return float(root)
    return np.inf


def _tilt(tau_x: float, tau_y: float) -> np.ndarray:
    """(3, 3) homography of a tilted sensor (Scheimpflug), as in OpenCV."""
    cx, sx, cy, sy = np.cos(tau_x), np.sin(tau_x), np.cos(tau_y), np.sin(tau_y)
    R = np.array([[cy, sy * sx, -sy * cx], [0, cx, sx], [sy, -cy * sx, cy * cx]])
    return np.array([[R[2, 2], 0, -R[0, 2]], [0, R[2, 2], -R[1, 2]], [0, 0, 1]]) @ R
