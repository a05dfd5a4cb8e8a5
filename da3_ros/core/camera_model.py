"""A camera: image size, intrinsics and lens, in the terms of sensor_msgs/CameraInfo."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from da3_ros.core.lens import PINHOLE, FisheyeLens, Lens, metashape_lens, opencv_lens
from da3_ros.core.pixel_spline import at_every_pixel, pixel_grid
from da3_ros.net.plain_text import plain

DISTORTION_COEFFICIENTS = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
    "metashape": (6,),
}
"""Distortion model -> numbers of coefficients it may have: the models of CameraInfo (REP-104,
OpenCV order), and Metashape's k1, k2, k3, k4, p1, p2."""

_AT_ONCE = 1 << 16  # points; temporaries then stay in a core's cache
_EXACT = 1e-5  # px; a spline farther off than this at its worst place is not used

FOCAL_LENGTHS = (1e-3, 1e7)
"""px; those of real lenses are well within."""

SHORTEST_SHARE = 0.01
"""Of a picture's width and height. A pinhole would see 178 degrees, a fisheye of 360 degrees has
0.16; what is shorter was measured in widths of the picture."""

LARGEST_COEFFICIENT = 1e6
"""Of a lens: fits that went astray have some thousands. Powers of larger ones are infinite."""

FARTHEST_CENTRE = 1e7
"""px. A crop's principal point may lie outside the image, but not so far."""


FAR_OFF_CENTRE = 0.2
"""Of width or height. Lenses sit within 0.1 of the middle; K of half the size is 0.25 off."""


class CameraError(ValueError):
    """Intrinsics or lens parameters that no camera can have."""


@dataclass(frozen=True, eq=False)
class CameraModel:
    """Pinhole camera with an optional lens. Pixel centres are at integers.

    width, height: px. K: (3, 3) float64 px, skew included. D: lens coefficients of
    `distortion_model` (`none`, `plumb_bob`, `rational_polynomial`, `equidistant` in OpenCV's
    order; `metashape`: see `from_metashape`). Zeros beyond the coefficients of a model are
    taken, and a `plumb_bob` of 8, 12 or 14 is what OpenCV reads in it, a rational polynomial.
    Raises `CameraError` with one sentence when a value is impossible.
    """

    width: int
    height: int
    K: np.ndarray
    distortion_model: str = "none"
    D: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self):
        K = np.array(self.K, dtype=np.float64)
        D = np.array(self.D, dtype=np.float64).reshape(-1)
        width, height = _checked_size(self.width, self.height)
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
            # The last is for from_metashape: nobody names it.
            names = ", ".join(name for name in DISTORTION_COEFFICIENTS if name != "metashape")
            raise CameraError(
                f"distortion model '{plain(str(self.distortion_model))}' is not supported; "
                f"use one of {names}"
            )
        model, D = _named(self.distortion_model, D)
        sizes = DISTORTION_COEFFICIENTS[model]
        if D.size not in sizes:
            raise CameraError(
                f"{model} takes {' or '.join(map(str, sizes))} coefficients, got {D.size}"
            )
        if not np.isfinite(D).all():
            raise CameraError(f"D of {model} must be finite, got {D.tolist()}")
        fields = {"width": width, "height": height, "K": K, "D": D, "distortion_model": model}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_metashape(
        cls,
        width: int,
        height: int,
        f: float,
        *,
        type: str = "frame",
        **parameters: float,
    ) -> CameraModel:
        """The camera of an Agisoft Metashape calibration, its numbers as Metashape shows them.

        f: px. parameters: cx, cy (px from the middle of the image), b1, b2, k1..k4, p1, p2; what
        is not named is 0. type: `frame` or `fisheye` (then without p1, p2).
        Raises `CameraError` for p3, p4, and other camera types (spherical, RPC, ...).
        """
        p = dict.fromkeys(("cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2"), 0.0)
        unknown = [name for name, value in parameters.items() if name not in p and value != 0]
        if unknown:
            raise CameraError(f"Metashape's {unknown[0]} is not modelled; only {', '.join(p)} are")
        p |= {name: value for name, value in parameters.items() if name in p}
        K = [
            [f + p["b1"], p["b2"], width / 2 + p["cx"] - 0.5],
            [0, f, height / 2 + p["cy"] - 0.5],
            [0, 0, 1],
        ]
        radial, tangential = [p[f"k{i}"] for i in (1, 2, 3, 4)], [p["p1"], p["p2"]]
        kind = str(type).rsplit(".", 1)[-1].lower()
        if kind == "fisheye" and any(tangential):
            raise CameraError("p1 and p2 of a Metashape fisheye are not modelled; they must be 0")
        if kind == "fisheye":
            return cls(width, height, np.array(K), "equidistant", np.array(radial))
        if kind != "frame":
            raise CameraError(
                f"Metashape's camera type '{kind}' is not modelled; only frame and fisheye are"
            )
        return cls(width, height, np.array(K), "metashape", np.array(radial + tangential))

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

    @cached_property
    def lens(self) -> Lens:
        """What stands between the directions of light and the normalised image plane."""
        if not self.is_distorted:
            return PINHOLE
        if self.distortion_model == "equidistant":
            return FisheyeLens(self.D)
        return (metashape_lens if self.distortion_model == "metashape" else opencv_lens)(self.D)

    def rays(self) -> np.ndarray:
        """(H, W, 3) float64 points at z = 1 that each pixel centre sees (optical frame).

        NaN where there is none: outside the lens, and at 90 degrees from the axis and beyond.
        """
        directions = self.directions()
        z = directions[..., 2:]
        with np.errstate(all="ignore"):
            rays = directions / np.where(z > 0, z, np.nan)
        rays[..., 2] = 1
        return rays

    def directions(self) -> np.ndarray:
        """(H, W, 3) float64 directions that each pixel centre sees; NaN outside the lens.

        z is 1, but for `equidistant`: there the length is 1, and z < 0 beyond 90 degrees.
        """
        if not self.is_distorted:
            pixels = pixel_grid(range(self.width), range(self.height))
            return self.unproject(pixels).reshape(self.height, self.width, 3)
        values = at_every_pixel(
            self.unproject, self.width, self.height, self._error_of_directions, _EXACT
        )
        return np.moveaxis(values, 0, -1)

    def _error_of_directions(self, pixels: np.ndarray, directions: np.ndarray) -> np.ndarray:
        return np.abs(self.project(directions) - pixels)

    def unproject(self, pixels: np.ndarray) -> np.ndarray:
        """(n, 3) float64 directions (optical frame) that pixels (n, 2) see; see `directions`."""
        pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
        (fx, skew, cx), (_, fy, cy), _ = self.K
        out = np.empty((len(pixels), 3))
        for part in _parts(len(pixels)):
            u, v = pixels[part].T
            y = (v - cy) / fy
            out[part] = self.lens.directions(np.stack([(u - cx - skew * y) / fx, y], axis=-1))
        return out

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (n, 2) of points (n, 3) in the optical frame; NaN where the lens sees nothing.

        Behind the image plane only `equidistant` sees anything.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        pixels = np.empty((len(points), 2))
        for part in _parts(len(points)):
            plane = self.lens.distort(points[part])
            pixels[part] = plane @ self.K[:2, :2].T + self.K[:2, 2]
        return pixels


def _checked_size(width: float, height: float) -> tuple[int, int]:
    """Whole pixels; files and divisions give 640.0."""
    try:
        size = int(width), int(height)
    except (TypeError, ValueError, OverflowError):
        size = None
    if size is None or size != (width, height):
        raise CameraError(f"camera size must be whole pixels, got {width!r} x {height!r}")
    if min(size) < 1:
        raise CameraError(f"camera size must be positive, got {width}x{height}")
    return size


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
    if fx < SHORTEST_SHARE * camera.width or fy < SHORTEST_SHARE * camera.height:
        raise CameraError(
            f"K has focal length fx={fx:g}, fy={fy:g} for {camera.width}x{camera.height} pixels, "
            "which no camera has: K must be in pixels, not in widths of the picture"
        )
    if np.abs(K[[0, 0, 1], [1, 2, 2]]).max() > FARTHEST_CENTRE:
        raise CameraError(
            f"K has principal point cx={K[0, 2]:g}, cy={K[1, 2]:g} and skew {K[0, 1]:g}; none may "
            f"be beyond {FARTHEST_CENTRE:g} px: calibrate the camera"
        )
    if (largest := np.abs(camera.D).max(initial=0)) > LARGEST_COEFFICIENT:
        raise CameraError(
            f"D has a coefficient of {largest:g}; none may be beyond {LARGEST_COEFFICIENT:g}: "
            "calibrate the camera"
        )
    return camera


def is_far_off_centre(camera: CameraModel) -> bool:
    """Whether the principal point says that the image was cut, or K is of another size than it."""
    off = camera.K[:2, 2] / (camera.width, camera.height) - 0.5
    return bool(np.abs(off).max() > FAR_OFF_CENTRE)


def _named(model: str, D: np.ndarray) -> tuple[str, np.ndarray]:
    """The model and the coefficients it takes, without zeros that a driver added at the end."""
    if model == "plumb_bob" and D.size > 5 and D[5:].any():
        # OpenCV and image_geometry read longer lists in one order, whatever the name.
        model = "rational_polynomial"
    fitting = [n for n in DISTORTION_COEFFICIENTS[model] if n <= D.size and not D[n:].any()]
    return model, D[: max(fitting)] if fitting else D


def _parts(count: int):
    return (slice(first, first + _AT_ONCE) for first in range(0, count, _AT_ONCE))
