"""How right the published metres are: from camera distances alone, and corrected by the scene.

    python -m tools.eval_metres                  # prints markdown tables
    python -m tools.eval_metres --windows 10     # fewer windows per line

Windows of the demo room (exact poses), of held-out rendered scenes and, where the data lies
beside the project, of the real kitchen (7-Scenes RedKitchen, poses of KinectFusion). Everything
is of the reference view, nothing is fitted to ground truth.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
import torch

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.scale.parallax import Parallax
from da3_ros.core.sliding_window import Window
from da3_ros.net.checkpoint import load_network
from da3_ros.ros.demo.bag import DEMO_CAMERA
from da3_ros.synthetic.room import demo_path, render_room
from tools.eval_weights.measure import FARTHEST, compare, errors
from tools.eval_weights.recording import Shot
from tools.eval_weights.synthetic import held_out_scenes
from tools.training.kitchen import FOLDER, read_view

VIEWS = (2, 4, 6)
WAYS = {
    "cameras": {"scale.source": "cameras"},
    "scale": {"scale.source": "parallax", "scale.correction": "scale"},
    "field": {"scale.source": "parallax", "scale.correction": "field"},
    "auto": {},
}
SIZE = (480, 640)
PERIOD_NS = 166_666_667
"""Between frames: every fifth of 30 Hz."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="da3-demo")
    parser.add_argument("--windows", type=int, default=30, help="windows per line of the tables")
    args = parser.parse_args()
    torch.set_num_threads(2)
    network = load_network(args.model, "cpu")
    print(table("demo room", network, demo_room(args.windows)), flush=True)
    print(table("held-out scenes", network, held_out(args.windows)), flush=True)
    if FOLDER.exists():
        print(table("kitchen", network, kitchen(args.windows)))
    else:
        print(f"\nThe kitchen is not measured: {FOLDER.name} is not beside the project.")


def demo_room(count: int) -> list[list[Shot]]:
    """Six successive views each, of a loop of 60."""
    path = demo_path(60)
    starts = np.linspace(0, len(path) - max(VIEWS), count).astype(int)
    shots: dict[int, Shot] = {}
    for i in sorted({int(s) + k for s in starts for k in range(max(VIEWS))}):
        view = render_room(path[i], DEMO_CAMERA)
        shots[i] = Shot(
            Frame("demo", i * PERIOD_NS, view.image, view.camera, view.T_world_cam), view.depth
        )
    return [[shots[s + k] for k in range(max(VIEWS))] for s in starts]


def held_out(count: int) -> list[list[Shot]]:
    """Six views along a path in each of the scenes that training never draws."""
    scenes = held_out_scenes(count)
    return [take.shots() for take in scenes.takes(count, max(VIEWS))]


def kitchen(count: int) -> list[list[Shot]]:
    """Six successive frames each (every fifth of the recording)."""
    names = sorted(p.stem for p in (FOLDER / "rgb").iterdir())
    starts = np.linspace(0, len(names) - max(VIEWS), count).astype(int)
    return [[_kitchen_shot(names[s + k], int(s + k)) for k in range(max(VIEWS))] for s in starts]


def _kitchen_shot(name: str, number: int) -> Shot:
    image, depth, T_world_cam, K = read_view(name, *SIZE)
    camera = CameraModel(SIZE[1], SIZE[0], K)
    return Shot(Frame("kitchen", number * PERIOD_NS, image, camera, T_world_cam), depth)


def table(name: str, network, groups: list[list[Shot]]) -> str:
    """Markdown: one line per number of views and way to metres."""
    columns = ("abs_rel", "scale_error", "scale of the points", "held-out", "windows corrected by")
    lines = [f"\n| {name} | views | " + " | ".join(columns) + " |", "|---" * 7 + "|"]
    for views in VIEWS:
        for way, values in WAYS.items():
            rows = [measure(network, shots[:views], values) for shots in groups]
            lines.append(f"| {way} | {views} | {_cells(rows)} |")
    return "\n".join(lines)


def measure(network, shots: list[Shot], values: dict) -> dict:
    """`errors` of one window; points: |ln| of the factor that a median fit of the points' own depth
    would still apply; held_out: the error that the node states."""
    middle = len(shots) // 2
    config = from_dict({"model.process_res": 168, **values})
    result = Pipeline(network, config).process(
        Window(tuple(s.frame for s in shots), middle, (middle,))
    )
    compared = compare(result.depth[0], shots[middle].depth)
    if not len(compared.said):
        return {"way": "none"}
    evidence = result.evidence
    return errors(compared, metric=True) | {
        "way": evidence.correction if evidence.source == "parallax" else evidence.source,
        "points": _scale_of_points(result, shots[middle], config.scale.min_baseline),
        "held_out": evidence.depth_error,
    }


def _scale_of_points(result: WindowDepth, shot: Shot, min_baseline: float) -> float:
    """|ln| of true over triangulated depth, median over the points; NaN without."""
    if result.evidence.source != "parallax":
        return np.nan
    points, _ = Parallax().look(result.window, result.window.views[0], min_baseline)
    columns, rows = np.rint(points.pixels).astype(int).T
    true = shot.depth[rows, columns]
    known = (true > 0) & (true < FARTHEST)
    return float(abs(np.median(np.log(true[known] / points.depth[known]))))


def _cells(rows: list[dict]) -> str:
    names = ("abs_rel", "scale_error", "points", "held_out")
    values = [np.array([r.get(n, np.nan) for r in rows], float) for n in names]
    means = [np.nanmean(v) if np.isfinite(v).any() else np.nan for v in values]
    means[2] = np.nanmedian(values[2]) if np.isfinite(values[2]).any() else np.nan
    numbers = " | ".join("" if np.isnan(v) else f"{v:.3f}" for v in means)
    counted = ", ".join(f"{n} {way}" for way, n in Counter(r["way"] for r in rows).most_common())
    return f"{numbers} | {counted}"


if __name__ == "__main__":
    main()
