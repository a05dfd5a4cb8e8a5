"""Flying points in the cloud: how many there are, what `output.cloud_filter` takes, at what cost.

    python -m tools.eval_cloud                   # prints a markdown table
    python -m tools.eval_cloud --windows 4       # fewer pictures per line

A point flies where true depth jumps (two surfaces, nothing between them) and the point hangs in
the middle half between the two, in the logarithm of depth. Seen are the demo room from two
heights, and the real kitchen (7-Scenes RedKitchen) where it lies beside the project; by the
built-in model, and by true depth that is soft over a pixel of 504 px, as accurate networks draw it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import OutputConfig, from_dict
from da3_ros.core.mask_depth import between_surfaces, flying_points
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.resample import Resampler
from da3_ros.core.sliding_window import Window
from da3_ros.net.checkpoint import load_network
from da3_ros.synthetic.room import CAMERA, demo_path, render_room
from tools.eval_metres import demo_room, kitchen
from tools.training.kitchen import FOLDER

LOW, HIGH = 0.25, 1.05
"""m, of the camera above the room's floor."""

JUMP = 1.15
"""Farthest over nearest true depth around a pixel, from which on there are two surfaces."""

REACH = 3
"""Pixels of the network around a pixel in which the two surfaces are looked for."""

SOFT = 0.8
"""Pixels, sigma, of the edges of an accurate network."""

BOUND = OutputConfig().cloud_filter


@dataclass(frozen=True)
class Seen:
    """depth: (h, w) as a network says it, of `camera`. truth: (H, W) of the picture's camera,
    not positive or not finite where unknown."""

    depth: np.ndarray
    camera: CameraModel
    truth: np.ndarray
    picture: CameraModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=8, help="pictures per line of the table")
    count = parser.parse_args().windows
    torch.set_num_threads(2)
    ways = {"by steepness alone": between_surfaces, "as published": flying_points}
    columns = ("fly before", *(f"fly, lost {way}" for way in ways))
    print(f"\n| | {' | '.join(columns)} |\n|---|" + "---|" * len(columns))
    for name, seen in groups(count):
        print(f"| {name} | {row(list(seen), list(ways.values()))} |", flush=True)


def groups(count: int) -> Iterator[tuple[str, Iterator[Seen]]]:
    """Name and pictures of each line."""
    yield f"accurate, room, camera at {LOW} m", room(count, LOW)
    yield f"accurate, room, camera at {HIGH} m", room(count, HIGH)
    yield "da3-demo, room", by_model(demo_room(count))
    if FOLDER.exists():
        shots = kitchen(count)
        yield "accurate, kitchen", (soft(s[2].depth, s[2].frame.camera) for s in shots)
        yield "da3-demo, kitchen", by_model(shots)


def room(count: int, height: float) -> Iterator[Seen]:
    """Accurate depth of views at this height."""
    for T_world_cam in demo_path(count):
        T_world_cam = T_world_cam.copy()
        T_world_cam[2, 3] = height
        view = render_room(T_world_cam, CAMERA)
        yield soft(view.depth, view.camera)


def by_model(groups: list) -> Iterator[Seen]:
    """Depth of the third of four views of each window by the built-in model."""
    network = load_network("da3-demo", "cpu")
    for shots in groups:
        window = Window(tuple(shot.frame for shot in shots[:4]), 2, (2,))
        result = Pipeline(network, from_dict({"model.process_res": 168})).process(window)
        yield Seen(result.depth[0], result.cameras[0], shots[2].depth, shots[2].frame.camera)


def soft(truth: np.ndarray, picture: CameraModel) -> Seen:
    """True depth (H, W) as a network of 504 px would say it."""
    width, height = 504, round(504 * picture.height / picture.width)
    known = ((truth > 0) & np.isfinite(truth)).astype(np.float32)
    inverse = np.divide(1, truth, out=np.zeros_like(known), where=known > 0)
    small, weight = (
        cv2.GaussianBlur(cv2.resize(m, (width, height), interpolation=cv2.INTER_AREA), (0, 0), SOFT)
        for m in (inverse, known)
    )
    depth = np.full_like(small, np.nan)
    np.divide(weight, small, out=depth, where=weight > 0.99)
    return Seen(depth, picture.scaled(width=width, height=height), truth, picture)


def row(seen: list[Seen], ways: list) -> str:
    """Cells of a line: share of the cloud that flies; what still flies, and good points lost."""
    counts = np.sum([[tally(each, way) for way in ways] for each in seen], axis=0)
    fly, left, lost, good = counts[0]
    cells = [f"{fly / (fly + good):.2%}"]
    for fly, left, lost, good in counts:
        cells.append(f"{left / (fly + good):.2%}, {lost / good:.2%}")
    return " | ".join(cells)


def tally(seen: Seen, find) -> tuple[int, int, int, int]:
    """Points that fly, of those not found by `find`; good points found all the same, and all."""
    resample = Resampler(seen.camera, seen.picture)
    (depth,) = resample(seen.depth)
    found = resample.nearest(find(seen.depth, BOUND))
    known = np.isfinite(depth) & (seen.truth > 0) & np.isfinite(seen.truth)
    reach = 2 * round(REACH * seen.picture.width / seen.camera.width) + 1
    fly = flies(depth, seen.truth, reach) & known
    good = known & ~fly
    return fly.sum(), (fly & ~found).sum(), (good & found).sum(), good.sum()


def flies(depth: np.ndarray, truth: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) mask: between two true surfaces, and nothing true is there. reach: px, odd."""
    near, far = nearest_farthest(depth, reach)
    with np.errstate(all="ignore"):
        place = np.log(depth / near) / np.log(far / near)
    return is_gap(truth, reach) & (far / JUMP > near) & (place > 0.25) & (place < 0.75)


def is_gap(truth: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) mask: around the pixel are two surfaces, and (nearly) nothing in between."""
    near, far = nearest_farthest(truth, reach)
    known = (truth > 0) & np.isfinite(truth)
    with np.errstate(all="ignore"):
        log, middle = np.log(np.where(known, truth, 1)), (np.log(near) + np.log(far)) / 2
        margin = np.log(far / near) / 5
    between, step = np.zeros(truth.shape, np.float32), max(1, reach // 8)
    shifts = [(dy, dx) for dy in range(0, reach, step) for dx in range(0, reach, step)]
    for dy, dx in shifts:
        there, is_known = (
            np.roll(m, (dy - reach // 2, dx - reach // 2), (0, 1)) for m in (log, known)
        )
        between += (np.abs(there - middle) < margin) & is_known
    return known & (far / JUMP > near) & (between < 0.02 * len(shifts))


def nearest_farthest(depth: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the known pixels in a square around each one."""
    known, kernel = np.isfinite(depth) & (depth > 0), np.ones((reach, reach), np.uint8)
    near = cv2.erode(np.where(known, depth, np.float32(np.inf)).astype(np.float32), kernel)
    return near, cv2.dilate(np.where(known, depth, 0).astype(np.float32), kernel)


if __name__ == "__main__":
    main()
