"""Where the time goes: torch's profiler over each stage, and torch's kernels for attention side by
side, as tables to work from later."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile

from da3_ros.net.camera import Cameras
from tools.gpu import attention
from tools.gpu.cases import Case, as_the_node_runs_it
from tools.gpu.job import Job
from tools.gpu.results import DONE, UNFINISHED
from tools.stopwatch import synchronise, timed

WEIGHT = 3.5
TOP = 14
RUNS = 5


def wanted(tiny: bool) -> list[Case]:
    """The goals."""
    return (
        [Case("da3-demo", 2, process_res=56)]
        if tiny
        else [Case("da3-large", 8), Case("da3-small", 4)]
    )


def run(job: Job) -> dict:
    """Kernels for attention; of each case the stages, ms and their heaviest operations."""
    kernels = attention.measure(job.device, job.tiny)
    found = {}
    for case in wanted(job.tiny):
        if job.tiny or job.has(15.0):
            found[case.key] = _stages(case, job)
    left_out = [c.key for c in wanted(job.tiny) if c.key not in found]
    return {"attention": kernels, "stages": found, "left_out": left_out}


def state(result: dict) -> str:
    """Done when there was time for every case."""
    return UNFINISHED if result["left_out"] else DONE


def _stages(case: Case, job: Job) -> dict:
    network = as_the_node_runs_it(case.preset, job.device)
    height, width = (42, 56) if job.tiny else (378, 504)
    images = torch.randn(1, case.views, 3, height, width, device=job.device)
    T = torch.eye(4, device=job.device).repeat(1, case.views, 1, 1)
    T[0, :, 0, 3] = 0.2 * torch.arange(case.views, device=job.device)
    K = torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    cameras = Cameras(T, K.to(job.device).repeat(1, case.views, 1, 1))
    with torch.inference_mode():
        encoded = network.encode(images)
        features = network.aggregate(encoded, cameras, reference="first", views=[0])
        stages = {
            "encode": lambda: network.encode(images[:, :1]),
            "aggregate": lambda: network.aggregate(encoded, cameras, reference="first", views=[0]),
            "decode": lambda: network.decode(features),
        }
        return {name: _profile(stage, job) for name, stage in stages.items()}


def _profile(stage, job: Job) -> dict:
    """ms of one run, and the operations that take most of it (ms per run, calls per run)."""
    for _ in range(2):
        stage()
    seconds = min(timed(stage, job.device)[0] for _ in range(RUNS))
    on_gpu = job.device == "cuda"
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=kinds) as profiler:
        for _ in range(RUNS):
            stage()
        synchronise(job.device)
    return {
        "ms": round(1000 * seconds, 3),
        "operations": heaviest(profiler.key_averages(), on_gpu),
    }


def heaviest(events: Iterable[FunctionEventAvg], on_gpu: bool) -> dict[str, list]:
    """Name -> ms and calls per run. On a GPU kernels alone: the operators that start them are
    charged with the same time."""
    what = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    if on_gpu:
        events = [e for e in events if e.device_type == DeviceType.CUDA]
    first = sorted(events, key=lambda e: -getattr(e, what))[:TOP]
    return {e.key[:100]: [round(getattr(e, what) / 1000 / RUNS, 4), e.count // RUNS] for e in first}


def table(result: dict) -> str:
    """Markdown, stage after stage."""
    lines = attention.table(result["attention"])
    for case, stages in result["stages"].items():
        for stage, found in stages.items():
            lines += ["", f"**{case}, {stage}: {found['ms']} ms**", ""]
            lines += ["| operation | ms | calls |", "|---|---:|---:|"]
            lines += [
                f"| `{name.replace('|', '/')}` | {ms} | {calls} |"
                for name, (ms, calls) in found["operations"].items()
            ]
    if result["left_out"]:
        lines += ["", "Not measured, time was over: " + ", ".join(result["left_out"]) + "."]
    return "\n".join(lines)
