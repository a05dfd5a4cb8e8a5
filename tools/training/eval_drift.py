"""How far the chain of windows drifts where nobody gives poses (pose.source: none).

    python -m tools.training.eval_drift                       # prints a markdown table
    python -m tools.training.eval_drift --model FOLDER --res 168 --window 4

The pipeline alone, without a graph: every frame without its pose, window after window, on the
synthetic room's loop and on the real kitchen (7-Scenes RedKitchen, ../shared/data). The way it
finds is laid onto the given one by one Sim(3) over all frames (Umeyama 1991), as odometry
without a known scale is always judged:

    drift        RMS distance from the given way, in % of its length
    per metre    median error of the motion over stretches of 1 m, in % (Geiger et al. 2012)
    rotation     median and largest angle against the given cameras, degrees
    standing     drift of the guess that the camera never moves

A chain that breaks begins a new world; each of its segments is laid on by itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import cv2
import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.scale.align import Similarity
from da3_ros.core.scale.metric_scale import pose_residuals
from da3_ros.net.checkpoint import load_network
from da3_ros.net.similarity import umeyama
from da3_ros.synthetic.room import CAMERA, demo_path, render_room
from tools.training.kitchen import FOLDER

STRETCH = 1.0
"""m; over which the error per metre is taken."""

COLUMNS = (
    "frames", "path m", "segments", "drift %", "per metre %", "rotation deg", "largest deg",
    "standing %",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="da3-demo")
    parser.add_argument("--res", type=int, default=168, help="model.process_res, px")
    parser.add_argument("--window", type=int, nargs="+", default=[4, 8], help="window.size")
    parser.add_argument("--frames", type=int, default=120, help="of the synthetic loop")
    options = parser.parse_args()
    network = load_network(options.model)
    ways = {"synthetic loop": list(loop(options.frames))}
    if FOLDER.exists():
        ways["kitchen"] = list(kitchen())
    print("| way | window | " + " | ".join(COLUMNS) + " |\n" + "|---" * (2 + len(COLUMNS)) + "|")
    for name, views in ways.items():
        for size in options.window:
            row = evaluate(network, views, {"model.process_res": options.res, "window.size": size})
            print(f"| {name} | {size} | " + " | ".join(row) + " |", flush=True)
    if "kitchen" not in ways:
        print(f"\nThe kitchen is not measured: {FOLDER.name} is not beside the project.")


def loop(count: int) -> Iterable[tuple[np.ndarray, CameraModel, np.ndarray]]:
    """Image, camera and T_world_cam around the table of the synthetic room, once."""
    camera = CAMERA.scaled(width=320, height=240)
    for T_world_cam in demo_path(count):
        yield render_room(T_world_cam, camera).image, camera, T_world_cam


def kitchen() -> Iterable[tuple[np.ndarray, CameraModel, np.ndarray]]:
    """Image, camera and T_world_cam of the recorded frames."""
    K = np.loadtxt(FOLDER / "intrinsics.txt")[:3, :3]
    for path in sorted((FOLDER / "rgb").iterdir()):
        image = cv2.imread(str(path))[..., ::-1]
        camera = CameraModel(image.shape[1], image.shape[0], K)
        yield image, camera, np.loadtxt(FOLDER / "pose" / f"{path.stem}.txt")


def evaluate(network, views: list, values: dict) -> list[str]:
    """One row of the table."""
    found, given, segments = follow(network, views, values)
    T_true = np.concatenate(given)
    length = path_length(T_true)
    T_found = np.concatenate([laid_on(f, g) for f, g in zip(found, given)])
    distance, angle = pose_residuals(T_found, T_true)
    standing = T_true[:, :3, 3] - T_true[:, :3, 3].mean(axis=0)
    drift, guess = (100 * _rms(d) / length for d in (distance, np.linalg.norm(standing, axis=1)))
    stretches = np.concatenate(
        [stretch_errors(laid_on(f, g), g) for f, g in zip(found, given)] or [[np.nan]]
    )
    per_metre = 100 * np.median(stretches) if len(stretches) else np.nan
    median, largest = np.degrees([np.median(angle), angle.max()])
    numbers = (drift, per_metre, median, largest, guess)
    return [str(len(T_true)), f"{length:.1f}", str(segments), *(f"{n:.1f}" for n in numbers)]


def follow(network, views: list, values: dict) -> tuple[list, list, int]:
    """Poses found and given, (N, 4, 4) of each segment, and how many segments there are."""
    pipeline = Pipeline(network, from_dict({"pose.source": "none", **values}))
    segments: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for number, (image, camera, _) in enumerate(views):
        frame = Frame("camera", (number + 1) * 100_000_000, image, camera, None)
        window = pipeline.push(frame).window
        if window is None:
            continue
        result = pipeline.process(window)
        if (T_found := result.pose(-1)) is not None:
            at = result.frames[-1].stamp_ns // 100_000_000 - 1
            segments.setdefault(result.link.segment, []).append((T_found, views[at][2]))
    long_enough = [pairs for pairs in segments.values() if len(pairs) > 2]
    found, given = zip(*(map(np.stack, zip(*pairs)) for pairs in long_enough))
    return list(found), list(given), len(segments)


def laid_on(T_found: np.ndarray, T_true: np.ndarray) -> np.ndarray:
    """The found cameras (N, 4, 4), moved onto the given ones by one Sim(3)."""
    fit = Similarity(*umeyama(T_found[:, :3, 3], T_true[:, :3, 3]))
    T = T_found.copy()
    T[:, :3, :3] = fit.R @ T_found[:, :3, :3]
    T[:, :3, 3] = fit.apply(T_found[:, :3, 3])
    return T


def path_length(T_world_cam: np.ndarray) -> float:
    """Metres."""
    return float(travelled(T_world_cam)[-1])


def travelled(T_world_cam: np.ndarray) -> np.ndarray:
    """Metres from the start to each camera (N,)."""
    steps = np.linalg.norm(np.diff(T_world_cam[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def stretch_errors(T_found: np.ndarray, T_true: np.ndarray) -> np.ndarray:
    """Error of the motion over every stretch of 1 m, as a share of it."""
    way = travelled(T_true)
    starts = np.flatnonzero(way <= way[-1] - STRETCH)
    ends = np.searchsorted(way, way[starts] + STRETCH)
    motion_found = poses.inverse(T_found[starts]) @ T_found[ends]
    motion_true = poses.inverse(T_true[starts]) @ T_true[ends]
    return pose_residuals(motion_found, motion_true)[0] / (way[ends] - way[starts])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


if __name__ == "__main__":
    main()
