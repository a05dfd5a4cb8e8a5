"""Measure weights on everything with true depth that is at hand, and write one report.

    python -m tools.eval_weights --model depth-anything/DA3-SMALL --data FOLDER
    python -m tools.eval_weights --model da3-demo --out docs/eval_da3_demo.md

Rendered data is always measured; the real kitchen (7-Scenes RedKitchen) and the stereo camera at
rest (EuRoC) where they lie beside the project; and every folder of `--data` in one of the layouts
of `tools/eval_weights/readers`: TUM RGB-D, Bonn, ScanNet, 7-Scenes, EuRoC, plain. Nothing is
copied.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

from da3_ros import __version__
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.load_model import find_device
from da3_ros.net.checkpoint import load_network
from tools.eval_weights.jobs import JOBS
from tools.eval_weights.jobs.job import Job, Subject
from tools.eval_weights.readers import read_dataset
from tools.eval_weights.recording import DataError, Dataset
from tools.eval_weights.report import Answer, Report, table
from tools.eval_weights.synthetic import camera_for, demo_room, held_out_scenes

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
BESIDE = ("7scenes_redkitchen", "euroc_v101_micro")


def main(arguments: Sequence[str] | None = None) -> None:
    args = _parse(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    network = load_network(args.model, find_device(args.device))
    try:
        size = args.res or network.weights.size.process_res
        datasets, left_out = _datasets(args, camera_for(size))
        values = {"model.process_res": args.res}
        subjects = [Subject(network, d, args.windows, args.views, values) for d in datasets]
        began = time.monotonic()
        answers = [_answer(JOBS[name], subject) for name in args.jobs for subject in subjects]
    except DataError as error:
        sys.exit(str(error))
    report = Report(
        Path(network.weights.source).name,
        _how(args, network, time.monotonic() - began),
        datasets,
        answers,
        left_out,
    )
    report.write(args.out)
    print(f"{args.out} is written.")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", default="da3-demo", help="as model.name of the node")
    parser.add_argument(
        "--data", type=Path, action="append", default=[], help="folder of RGB-D with poses; repeat"
    )
    parser.add_argument(
        "--beside", type=Path, default=SHARED, help=f"folder that may hold {' and '.join(BESIDE)}"
    )
    parser.add_argument("--out", type=Path, default=Path("out/eval_weights.md"), help="report")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--windows", type=int, default=16, help="per line of the tables")
    parser.add_argument("--views", type=int, default=4, help="of a window, where not varied")
    parser.add_argument("--res", type=int, default=0, help="model.process_res, px; 0: the model's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: torch's choice")
    args = parser.parse_args(arguments)
    if args.windows < 1 or args.views < 2:
        parser.error("--windows must be at least 1, --views at least 2")
    return args


def _datasets(args: argparse.Namespace, camera: CameraModel) -> tuple[list[Dataset], list[str]]:
    """All that are at hand, and sentences on those that are not. camera: of rendered ones."""
    given = [read_dataset(folder) for folder in args.data]  # first: rendering takes its time
    datasets, left_out = [demo_room(camera), held_out_scenes(args.windows, camera)], []
    for name in BESIDE:
        if (args.beside / name).is_dir():
            datasets.append(read_dataset(args.beside / name))
        else:
            left_out.append(f"{name} is not beside the project")
    return datasets + given, left_out


def _answer(job: Job, subject: Subject) -> Answer:
    missing, rows = "", []
    try:
        missing = job.missing(subject)
        rows = [] if missing else job.run(subject)
    except DataError as error:  # one damaged file does not cost the other answers
        missing = str(error)
    answer = Answer(job, subject.dataset, rows, missing)
    print(f"\n{job.title}\n{table(answer)}" if answer.rows else f"\n{job.title}: {missing}")
    return answer


def _how(args: argparse.Namespace, network, seconds: float) -> str:
    weights = "random weights, whose numbers mean nothing" if network.weights.random else "weights"
    size = args.res or network.weights.size.process_res
    device = next(network.parameters()).device.type
    return (
        f"Written by `make eval-weights` (da3_ros {__version__}), not by hand: {weights} of "
        f"{network.weights.source.rstrip('/').rsplit('/', 1)[-1]} ({network.preset.name}, license "
        f"{network.weights.license}), pictures of {size} px, windows of {args.views} views where "
        f"nothing else is said, {args.windows} windows per line, {seconds / 60:.0f} minutes on "
        f"{device}, {date.today()}."
    )


if __name__ == "__main__":
    main()
