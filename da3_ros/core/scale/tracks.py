"""Corners of the pictures, followed from frame to frame.

Each frame is looked at once, when the first window that holds it is processed: the points of
the camera's frame before are found again in it (pyramidal Lucas-Kanade, there and back), and
places without points get new corners (Shi and Tomasi 1994). A point keeps its number for as
long as it is found, so that any two frames of one camera share points by number.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from da3_ros.core.frame import Frame

WORKING_SIDE = 640
"""Larger pictures are shrunk to this longer side: sharper corners would not move the median."""

MOST_POINTS = 336
CELLS = (6, 8)
"""Rows and columns of the picture that share the points evenly."""

MIN_DISTANCE = 7
"""px between points, at working size."""

SMALLEST = 20
"""px: a picture that is less high or wide has no corner whose patch lies inside."""

MIN_CORNER = 2e-5
"""Smallest eigenvalue that is a corner and not noise (cv2.cornerMinEigenVal of an image 0..1)."""

THERE_AND_BACK = 0.7
"""px, at working size, that a point may miss itself by after going to the other frame and back."""

LUCAS_KANADE = {
    "winSize": (15, 15),
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.03),
}


@dataclass(frozen=True, eq=False)
class Tracks:
    """Points of one frame. ids: (P,) int64, ascending. pixels: (P, 2) float32 px."""

    ids: np.ndarray
    pixels: np.ndarray

    def find(self, ids: np.ndarray) -> np.ndarray:
        """(Q, 2) float64 pixels of the points of these numbers; NaN where they are not seen."""
        found = np.full((len(ids), 2), np.nan)
        if len(self.ids):
            at = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
            known = self.ids[at] == ids
            found[known] = self.pixels[at[known]]
        return found


@dataclass(frozen=True, eq=False)
class _Last:
    """The newest frame of a camera, in grey, and its points, at working size."""

    gray: np.ndarray
    ids: np.ndarray
    pixels: np.ndarray


class Tracker:
    """The points of every frame of the window, for each camera by itself."""

    def __init__(self):
        self.clear()

    def clear(self) -> None:
        """Forget all points, as after a jump back in time."""
        self._tracks: WeakKeyDictionary[Frame, Tracks] = WeakKeyDictionary()
        self._last: dict[str, _Last] = {}
        self._count = 0

    def __getitem__(self, frame: Frame) -> Tracks:
        """Points of a frame that was followed."""
        return self._tracks[frame]

    def follow(self, frames: tuple[Frame, ...]) -> None:
        """Look at the frames not seen before, in this order; older ones of a camera first."""
        for frame in frames:
            if frame not in self._tracks:
                self._tracks[frame] = self._look_at(frame)

    def _look_at(self, frame: Frame) -> Tracks:
        shrink = min(1.0, WORKING_SIDE / max(frame.image.shape[:2]))
        gray = _working_image(frame.image, shrink)
        last = self._last.get(frame.camera_id)
        ids, pixels = _found_again(last, gray)
        usable = _inside(frame.seen, gray.shape)
        if usable is not None:
            kept = _at(usable, pixels) > 0
            ids, pixels = ids[kept], pixels[kept]
        new = _new_corners(gray, pixels, usable)
        ids = np.r_[ids, self._count + np.arange(len(new))]
        pixels = np.concatenate([pixels, new])
        self._count += len(new)
        self._last[frame.camera_id] = _Last(gray, ids, pixels)
        # Pixel centres are at integers, so shrinking moves them by the half-pixel rule.
        return Tracks(ids, ((pixels + 0.5) / shrink - 0.5).astype(np.float32))


def _working_image(image: np.ndarray, shrink: float) -> np.ndarray:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if shrink == 1.0:
        return gray
    size = tuple(max(1, round(n * shrink)) for n in gray.shape[::-1])
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _found_again(last: _Last | None, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (P,) and pixels (P, 2) of the last frame's points that are seen in this one."""
    if last is None or last.gray.shape != gray.shape or not len(last.ids):
        return np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
    there, found, _ = cv2.calcOpticalFlowPyrLK(last.gray, gray, last.pixels, None, **LUCAS_KANADE)
    kept = np.flatnonzero(found[:, 0])
    if not len(kept):
        return np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
    start = last.pixels[kept]
    back, found, _ = cv2.calcOpticalFlowPyrLK(
        gray, last.gray, there[kept], start.copy(), flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        **LUCAS_KANADE | {"maxLevel": 1},
    )  # fmt: skip
    missed = np.linalg.norm(back - start, axis=1)
    inside = ((there[kept] > 0) & (there[kept] < np.array(gray.shape[::-1]) - 1)).all(axis=1)
    kept = kept[(found[:, 0] > 0) & (missed < THERE_AND_BACK) & inside]
    return last.ids[kept], there[kept]


def _inside(seen: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
    """(h, w) uint8 at working size: 1 where a whole patch around the pixel is to be used."""
    if seen is None:
        return None
    small = cv2.resize(seen.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    side = LUCAS_KANADE["winSize"][0]
    return cv2.erode(small, np.ones((side, side), np.uint8))


def _at(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Values (P,) of an (h, w) image at the nearest pixels of (P, 2) places inside it."""
    columns, rows = np.rint(pixels).astype(np.intp).T
    return values[rows, columns]


def _new_corners(gray: np.ndarray, taken: np.ndarray, usable: np.ndarray | None) -> np.ndarray:
    """(Q, 2) float32 corners away from the points there are, the best of every cell."""
    if min(gray.shape) < SMALLEST:
        return np.zeros((0, 2), np.float32)
    half = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    strength = cv2.cornerMinEigenVal(half, 3)
    side = MIN_DISTANCE // 2 * 2 + 1
    is_peak = strength == cv2.dilate(strength, np.ones((side // 2 | 1, side // 2 | 1), np.uint8))
    free = np.ones(half.shape, np.uint8)
    for x, y in np.rint(taken / 2).astype(int):
        cv2.circle(free, (int(x), int(y)), MIN_DISTANCE // 2, 0, -1)
    is_peak &= (strength > MIN_CORNER) & (free > 0)
    border = 4
    is_peak[:border] = is_peak[-border:] = is_peak[:, :border] = is_peak[:, -border:] = False
    rows, columns = np.divmod(np.flatnonzero(is_peak), is_peak.shape[1])
    corners = np.stack([columns, rows], axis=1).astype(np.float32) * 2 + np.float32(0.5)
    if usable is not None:
        kept = _at(usable, corners) > 0
        rows, columns, corners = rows[kept], columns[kept], corners[kept]
    return corners[_best_of_cells(corners, strength[rows, columns], taken, gray.shape)]


def _best_of_cells(
    corners: np.ndarray, strength: np.ndarray, taken: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Indices of the strongest corners where a cell holds fewer points than its share."""
    share = MOST_POINTS // (CELLS[0] * CELLS[1])
    filled = np.bincount(_cell(taken, size), minlength=CELLS[0] * CELLS[1])
    order = np.argsort(-strength, kind="stable")
    cell = _cell(corners[order], size)
    by_cell = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[by_cell], np.arange(CELLS[0] * CELLS[1]))
    rank = np.arange(len(cell)) - first[cell[by_cell]]
    return order[by_cell[rank < (share - filled)[cell[by_cell]]]]


def _cell(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows = (pixels[:, 1] * CELLS[0] / size[0]).astype(int).clip(0, CELLS[0] - 1)
    columns = (pixels[:, 0] * CELLS[1] / size[1]).astype(int).clip(0, CELLS[1] - 1)
    return rows * CELLS[1] + columns
