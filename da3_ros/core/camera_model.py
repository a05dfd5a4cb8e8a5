"""A camera: image size, intrinsics and lens, in the terms of sensor_msgs/CameraInfo."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

DISTORTION_COEFFICIENTS = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
"""ROS distortion model -> numbers of coefficients it may have (REP-104, OpenCV order)."""


FOCAL_LENGTHS = (1e-3, 1e7)
"""px; those of real lenses are well within."""

FARTHEST_CENTRE = 1e7
"""px. A crop's principal point may lie outside the image, but not so far."""


class CameraError(ValueError):
    """Intrinsics or lens parameters that no camera can have."""


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Pinhole camera with an optional lens. Pixel centres are at integers.

    width, height: px. K: (3, 3) float64 px. D: lens coefficients of `distortion_model`
    (`none`, `plumb_bob`, `rational_polynomial`, `equidistant`; OpenCV order).
    Raises `CameraError` with one sentence when a value cannot be.
    """

    width: int
    height: int
    K: np.ndarray
    distortion_model: str = "none"
    D: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self):
        K = np.asarray(self.K, dtype=np.float64)
        D = np.asarray(self.D, dtype=np.float64).reshape(-1)
        if self.width < 1 or self.height < 1:
            raise CameraError(f"camera size must be positive, got {self.width}x{self.height}")
        if K.shape != (3, 3) or not np.isfinite(K).all():
            raise CameraError("K must be a finite 3x3 matrix")
        if K[0, 0] <= 0 or K[1, 1] <= 0:
            raise CameraError(
                f"K has focal length fx={K[0, 0]:g}, fy={K[1, 1]:g}; both must be positive "
                "(an uncalibrated camera publishes zeros: calibrate it first)"
            )
        if np.abs(K[2] - (0, 0, 1)).max() > 1e-8 or K[1, 0] != 0:
            raise CameraError(f"K must be upper triangular with last row 0 0 1, got {K.tolist()}")
        sizes = DISTORTION_COEFFICIENTS.get(self.distortion_model)
        if sizes is None:
            raise CameraError(
                f"distortion model '{self.distortion_model}' is not supported; "
                f"use one of {', '.join(DISTORTION_COEFFICIENTS)}"
            )
        if D.size not in sizes or not np.isfinite(D).all():
            raise CameraError(
                f"{self.distortion_model} takes {' or '.join(map(str, sizes))} finite "
                f"coefficients, got {D.size}"
            )
        object.__setattr__(self, "K", K)
        object.__setattr__(self, "D", D)

    @property
    def is_distorted(self) -> bool:
        """True when pixels are not on straight pinhole rays."""
        return self.distortion_model == "equidistant" or bool(np.any(self.D))

    def scaled(self, *, width: int, height: int) -> CameraModel:
        """The same camera seen through an image resized to `width` x `height`.

        Pixel centres are at integers, so the principal point moves by the half-pixel
        rule of every image resampler: c' = (c + 1/2) s - 1/2.
        """
        sx, sy = width / self.width, height / self.height
        K = self.K.copy()
        K[0] *= sx
        K[1] *= sy
        K[0, 2] += 0.5 * (sx - 1)
        K[1, 2] += 0.5 * (sy - 1)
        return replace(self, width=width, height=height, K=K)

    def pinhole(self) -> CameraModel:
        """This camera without its lens: the model of the rectified image, same K."""
        return CameraModel(self.width, self.height, self.K)

    def rays(self) -> np.ndarray:
        """(H, W, 3) float64 points at z = 1 that each pixel centre sees (optical frame).

        NaN where the lens model cannot be inverted (fisheye pixels at 90 degrees and beyond).
        """
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2).astype(np.float64)
        points = self._undistort(pixels).reshape(self.height, self.width, 2)
        return np.concatenate([points, np.ones((self.height, self.width, 1))], axis=-1)

    def _undistort(self, pixels: np.ndarray) -> np.ndarray:
        if not self.is_distorted:
            x = (pixels - self.K[:2, 2]) @ np.diag(1 / self.K[[0, 1], [0, 1]])
            x[..., 0] -= x[..., 1] * self.K[0, 1] / self.K[0, 0]
            return x
        if self.distortion_model == "equidistant":
            return self._undistort_fisheye(pixels)
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
        return cv2.undistortPointsIter(pixels, self.K, self.D, None, None, criteria)

    def _undistort_fisheye(self, pixels: np.ndarray) -> np.ndarray:
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
        points = cv2.fisheye.undistortPoints(pixels, self.K, self.D, None, None, None, criteria)
        # OpenCV marks points it could not invert with -1e6.
        points[np.abs(points).max(axis=-1) > 1e5] = np.nan
        return points

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of points (N, 3) in the optical frame; NaN behind the camera."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        pixels = np.full((len(points), 2), np.nan)
        front = points[:, 2] > 0
        if front.any():
            pixels[front] = self._distort(points[front])
        return pixels

    def _distort(self, points: np.ndarray) -> np.ndarray:
        zero = np.zeros(3)
        if self.distortion_model == "equidistant":
            pixels, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, self.K, self.D)
        elif self.is_distorted:
            pixels, _ = cv2.projectPoints(points[:, None], zero, zero, self.K, self.D)
        else:
            pixels = ((points / points[:, 2:]) @ self.K.T)[:, :2]
        return pixels.reshape(-1, 2)


def check_plausible(camera: CameraModel) -> CameraModel:
    """The same camera, if its numbers can be those of a calibration.

    For what comes from outside: numbers far beyond any lens (denormal ones, say) lose all their
    digits once the image is resized. Raises `CameraError` with one sentence.
    """
    K, (shortest, longest) = camera.K, FOCAL_LENGTHS
    fx, fy = K[0, 0], K[1, 1]
    if min(fx, fy) < shortest or max(fx, fy) > longest:
        raise CameraError(
            f"K has focal length fx={fx:g}, fy={fy:g}; both must be between {shortest:g} and "
            f"{longest:g} px: check the unit, or calibrate the camera"
        )
    if np.abs(K[[0, 0, 1], [1, 2, 2]]).max() > FARTHEST_CENTRE:
        raise CameraError(
            f"K has principal point cx={K[0, 2]:g}, cy={K[1, 2]:g} and skew {K[0, 1]:g}; none may "
            f"be beyond {FARTHEST_CENTRE:g} px: calibrate the camera"
        )
    return camera
