"""Time per published frame of a sliding window: stride 1, one view published, posed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.sliding_window import Window
from da3_ros.net.checkpoint import random_network
from da3_ros.net.cuda_graphs import tensors
from da3_ros.net.precision import pack_weights, set_precision
from da3_ros.net.presets import PRESETS
from da3_ros.synthetic.room import render_room_frame
from tools.bench import upstream_peer
from tools.bench.flops import count_flops
from tools.stopwatch import timed

WARM_UP = 1


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    preset: str
    views: int
    process_res: int = 504

    @property
    def runs(self) -> int:
        """Fewer where each is long."""
        return 5 if self.views <= 4 else 3


def room_frames(count: int) -> list[Frame]:
    """Frames of the demo room, 640x480, well apart."""
    views = [render_room_frame(i) for i in range(count)]
    return [
        Frame("camera", i * 200_000_000, v.image, v.camera, v.T_world_cam)
        for i, v in enumerate(views)
    ]


class Stream:
    """Our pipeline fed frame by frame, endlessly. Metres are of the cameras alone: the published
    package follows no points, either.
    """

    def __init__(self, network, case: Case, frames: list[Frame]):
        values = {
            "window.size": case.views,
            "window.min_baseline": 0.0,
            "model.process_res": case.process_res,
            "scale.source": "cameras",
        }
        self.pipeline = Pipeline(network, from_dict(values))
        self._frames = frames
        self._next = 0
        for _ in range(case.views - 1):
            self.pipeline.push(self._frame())

    def _frame(self) -> Frame:
        """The next picture, as a new frame with a later stamp."""
        shown = self._frames[self._next % len(self._frames)]
        self._next += 1
        stamp_ns = self._next * 100_000_000
        return Frame(shown.camera_id, stamp_ns, shown.image, shown.camera, shown.T_world_cam)

    def window(self) -> Window:
        """That of the next new frame."""
        return self.pipeline.push(self._frame()).window

    def step(self) -> WindowDepth:
        """One new frame in, one published depth out."""
        return self.pipeline.process(self.window())

    def mib_per_frame(self) -> float:
        """Size of what is kept of one frame from one window to the next."""
        kept = next(iter(self.pipeline._encoded.values()))
        return sum(t.nbytes for t in tensors(kept)) / 2**20


def measure(case: Case, device: str, with_shipped: bool) -> dict:
    """Medians of interleaved runs, ms: ours, upstream corrected to bf16, upstream as shipped."""
    frames = room_frames(case.views + 2)
    work = (case.preset, case.views, case.process_res, frames[0].camera)
    with tempfile.TemporaryDirectory() as folder:
        theirs, network = upstream_peer.same_weights(case.preset, Path(folder), device)
    reference = Stream(network, case, frames)
    exact = reference.step().depth
    precision = set_precision(network, "auto")
    pack_weights(network)
    stream = Stream(network, case, frames)
    error = np.abs(stream.step().depth / exact - 1)
    times: dict[str, list[float]] = {"ours": [], "bf16": [], "shipped": []}
    stages: list[dict[str, float]] = []
    for run in range(-WARM_UP, case.runs):
        seconds, result = timed(stream.step, device)
        window = frames[: case.views]
        with upstream_peer.corrected_precision():
            corrected, _ = timed(
                lambda: upstream_peer.infer(theirs, window, case.process_res), device
            )
        if run < 0:
            continue
        times["ours"].append(seconds)
        times["bf16"].append(corrected)
        stages.append(result.seconds)
        if run == 0 and with_shipped:
            shipped, _ = timed(
                lambda: upstream_peer.infer(theirs, window, case.process_res), device
            )
            times["shipped"].append(shipped)
    return {
        "preset": case.preset,
        "views": case.views,
        "process_res": case.process_res,
        "precision": str(precision).removeprefix("torch."),
        "ms": {name: round(1000 * median(t), 1) for name, t in times.items() if t},
        "spread_ms": {
            n: [round(1000 * min(t), 1), round(1000 * max(t), 1)] for n, t in times.items() if t
        },
        "stages_ms": {k: round(1000 * median(s[k] for s in stages), 1) for k in stages[0]},
        "gflop": round(count_flops(*work) / 1e9, 1),
        "mib_per_frame": round(stream.mib_per_frame(), 2),
        "depth_error": {"mean": float(np.nanmean(error)), "max": float(np.nanmax(error))},
    }


def matmul_peak(device: str, side: int | None = None) -> float:
    """TFLOP/s of a large bf16 matrix product of random numbers: what a device really gives.

    side: rows and columns, by default as many as the device needs to show it.
    """
    side = side or (8192 if device == "cuda" else 2048)
    a = torch.randn(side, side, device=device).to(torch.bfloat16)
    seconds = [timed(lambda: a @ a, device)[0] for _ in range(12)]
    return round(2 * side**3 / median(seconds[2:]) / 1e12, 3)


def peak_memory(case: Case, who: str, device: str) -> int:
    """Peak memory in MiB of a process that does nothing else; `who` is ours or upstream."""
    arguments = ["--peak", who, case.preset, str(case.views), str(case.process_res), device]
    command = [sys.executable, "-m", "tools.bench", *arguments]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(lines[-1])


def print_peak(who: str, case: Case, device: str) -> None:
    """The work of one `peak_memory` process; prints MiB as its last word."""
    # Not above: what else is here runs on machines without ROS.
    from da3_ros.ros.health.process_memory import peak_resident_bytes

    frames = room_frames(case.views + 2)
    if who == "ours":
        network = random_network(PRESETS[case.preset]).to(device)
        set_precision(network, "auto")
        pack_weights(network)
        stream = Stream(network, case, frames)
        for _ in range(3):
            stream.step()
    else:
        theirs = upstream_peer.load(case.preset, device)
        with upstream_peer.corrected_precision():
            upstream_peer.infer(theirs, frames[: case.views], case.process_res)
    if device == "cpu":
        print(peak_resident_bytes() // 2**20)
    else:
        print(torch.cuda.max_memory_allocated() // 2**20)
