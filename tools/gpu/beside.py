"""What goes on beside the network: the map, in a thread of its own; and a thread's first window.

The map's kernels wait in one line with the network's, unless they have a stream of their own. And
torch keeps handles and plans of its libraries for each thread, so that its first window is late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from statistics import median

import torch

from da3_ros.core.prediction import WindowDepth
from da3_ros.core.scene.tsdf import TsdfVolume
from da3_ros.core.worker import TwoSteps
from tools.bench.streaming import Stream
from tools.gpu.cases import Case, as_the_node_runs_it
from tools.gpu.job import Job
from tools.gpu.results import DONE, UNFINISHED

WEIGHT = 2.5
MODE_SECONDS = 6.0
WARM_UP, WINDOWS = 2, 24
LONGEST_WINDOW = 20.0
"""Seconds after which one is waited for no longer."""

ALONE, ONE_STREAM, OWN_STREAM = "no map", "map on the network's stream", "map on its own stream"
MODES = (ALONE, ONE_STREAM, OWN_STREAM)


def run(job: Job) -> dict:
    """Of each mode: ms from one window to the next, of a thread's first window, of a later one."""
    case = Case("da3-demo", 2, process_res=56) if job.tiny else Case("da3-large", 8)
    network = as_the_node_runs_it(case.preset, job.device)
    frames = case.frames(case.views + 2)
    Stream(network, case, frames).step()  # what is made once for all threads
    found = {}
    for mode in MODES:
        if job.tiny or job.has(MODE_SECONDS):
            stream = Stream(network, case, frames)
            found[mode] = _in_turn(stream, _handle(mode, case, job.device))
    return {"case": case.key, "ms": found, "left_out": [m for m in MODES if m not in found]}


def state(result: dict) -> str:
    """Done when there was time for every mode."""
    return UNFINISHED if result["left_out"] else DONE


def _handle(mode: str, case: Case, device: str) -> Callable[[WindowDepth], None]:
    """What becomes of a window: the true depth of the next view goes into a map."""
    if mode == ALONE:
        return lambda result: None
    stream = _own_stream(mode, device)
    with stream():
        volume = TsdfVolume(0.05, device=device)
    done = count()

    def fuse(result: WindowDepth) -> None:
        view = case.view(next(done) % case.views)
        with stream():
            volume.integrate(view.depth, view.T_world_cam, view.camera, view.image)

    return fuse


def _own_stream(mode: str, device: str) -> Callable[[], AbstractContextManager]:
    if mode == ONE_STREAM or device == "cpu":
        return nullcontext
    stream = torch.cuda.Stream(device)
    return lambda: torch.cuda.stream(stream)


def _in_turn(stream: Stream, handle: Callable[[WindowDepth], None]) -> dict:
    """Windows that are all there, through the node's two threads; ms."""
    stream.step()  # from here on one picture of each window is new
    took, ends, errors = [], [], []
    done = threading.Semaphore(0)

    def work(window):
        start = time.perf_counter()
        try:
            result = stream.pipeline.process(window)
        except Exception as error:  # told below: a thread must not end
            errors.append(error)
            done.release()
            return None
        took.append(time.perf_counter() - start)
        return result

    def handled(result):
        try:
            handle(result)
        except Exception as error:
            errors.append(error)
        ends.append(time.perf_counter())
        done.release()

    steps = TwoSteps(work, handled, newest_wins=False, side_by_side=True)
    for window in [stream.window() for _ in range(WARM_UP + WINDOWS)]:
        steps.submit(window)
    in_time = all(done.acquire(timeout=LONGEST_WINDOW) for _ in range(WARM_UP + WINDOWS))
    steps.stop(LONGEST_WINDOW)
    if errors or not in_time:
        raise RuntimeError(f"windows were not handled: {errors[:1]}")
    return {
        "apart": round(1000 * (ends[-1] - ends[WARM_UP - 1]) / WINDOWS, 2),
        "first": round(1000 * took[0], 2),
        "later": round(1000 * median(took[WARM_UP:]), 2),
    }


def table(result: dict) -> str:
    """Markdown."""
    lines = [
        f"{result['case']}, windows one after the other, one published: ms.",
        "",
        "| | from one to the next | in the network | the first of a thread |",
        "|---|---:|---:|---:|",
    ]
    for mode, ms in result["ms"].items():
        lines.append(f"| {mode} | {ms['apart']} | {ms['later']} | {ms['first']} |")
    if result["left_out"]:
        lines += ["", "Not measured, time was over: " + ", ".join(result["left_out"]) + "."]
    return "\n".join(lines)
