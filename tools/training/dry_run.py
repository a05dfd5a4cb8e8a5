"""Every stage of a training run once, as small as it gets, and a table of what a step costs."""

from __future__ import annotations

import argparse
import resource
import shutil
import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from da3_ros.net.checkpoint import load_checkpoint
from da3_ros.net.network import Network
from tools.training.evaluate import measure
from tools.training.finish import finish
from tools.training.run import RAY_EVERY, Run
from tools.training.sizes import SIZES

KINDS = ((1, False), (4, True), (4, False), (6, True))
"""Views of a window, and whether the network is given their poses."""

TIMED = RAY_EVERY
"""Steps of each kind: one of them teaches the rays, too."""

MOTION_STEPS, DECODER_STEPS, HELD_OUT = 3, 5, 2

H100_PEAK, H100_SHARE = 989e12, 0.10
"""bf16 FLOP/s of one H100 (SXM, dense), and the share of it that a network as narrow as this one is
expected to reach."""


@dataclass(frozen=True)
class Cost:
    """Of one kind of step, without rendering. pictures, flops: of a step. seconds: of one."""

    views: int
    posed: bool
    pictures: int
    flops: float
    seconds: float


def dry_run(args: argparse.Namespace) -> str:
    """Begin, learn from every kind of window, evaluate, save, resume, finish, load; a markdown
    table. What a run leaves is left in the folder `dry_run` of its folder, anew each time."""
    args.run = args.run / "dry_run"
    shutil.rmtree(args.run, ignore_errors=True)
    args.minutes, args.motion_steps, args.held_out = 1e9, MOTION_STEPS, HELD_OUT
    run = Run(args)
    run.resume()
    run.source.sample(1, run.generator)
    source = _seconds(run, lambda: run.source.sample(1, run.generator))
    costs = [_cost(run, views, posed) for views, posed in KINDS]
    run.step()
    run.evaluate_and_save()
    again = Run(args)
    again.resume()
    if again.steps != run.steps:
        raise RuntimeError(f"resumed at step {again.steps} of {run.steps}")
    again.step()
    files = _finished(args, again)
    return table(costs, source, args, files)


def _cost(run: Run, views: int, posed: bool) -> Cost:
    sample = run.draw(views, posed)
    with FlopCounterMode(display=False) as counter:
        for _ in range(TIMED):
            run.learn(sample)
    seconds = _seconds(run, lambda: run.learn(sample))
    pictures = sample.images.shape[0] * views
    return Cost(views, posed, pictures, counter.get_total_flops() / TIMED, seconds)


def _seconds(run: Run, work) -> float:
    """Of one call: the mean of `TIMED`. On a CPU those that it worked, whoever else was busy."""
    on_gpu = run.network.backbone.pos_embed.is_cuda
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    clock = time.monotonic if on_gpu else time.process_time
    wait()
    began = clock()
    for _ in range(TIMED):
        work()
    wait()
    return (clock() - began) / TIMED


def _finished(args: argparse.Namespace, run: Run) -> dict[str, float]:
    """Size in MB, and error of the held-out windows, of the model in fp16 and in 8 bits."""
    found = {}
    for dtype in (torch.float16, torch.int8):
        name = str(dtype).removeprefix("torch.")
        folder = args.run / f"model_{name}"
        finish(args, folder, dtype, windows=8, steps=DECODER_STEPS)
        network = load_checkpoint(folder, preset=SIZES[args.size]).to(run.ranks.device)
        error = measure(network, run.held_out, posed=True)["abs_rel_aligned"]
        size = (folder / "model.safetensors").stat().st_size / 1e6
        found[name] = (size, error)
    return found


def table(costs: list[Cost], source: float, args: argparse.Namespace, files: dict) -> str:
    """What was measured here, and what is expected of an H100."""
    parameters = sum(p.numel() for p in Network(SIZES[args.size]).parameters()) / 1e6
    lines = [
        f"Dry run, {args.size} ({parameters:.1f} M parameters), scale {args.scale:g}, on "
        f"{args.device}: all stages ran to the last.",
        "",
        "| views | poses | pictures per step | GFLOP per picture | pictures/s | GFLOP/s "
        "| pictures/s on an H100, expected |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in costs:
        each = c.flops / c.pictures
        lines.append(
            f"| {c.views} | {'given' if c.posed else 'none'} | {c.pictures} | {each / 1e9:.2f} "
            f"| {c.pictures / c.seconds:.1f} | {c.flops / c.seconds / 1e9:.1f} "
            f"| {H100_SHARE * H100_PEAK / each:.0f} |"
        )
    sizes = ", ".join(
        f"{k} {size:.1f} MB (error {error:.4f})" for k, (size, error) in files.items()
    )
    return "\n".join(
        [
            *lines,
            "",
            f"{_source(args, source)} Memory at its peak: {_memory(args.device):.2f} GB. Model: "
            f"{sizes}.",
            f"Expected, not measured: {H100_SHARE:.0%} of the bf16 peak of {H100_PEAK / 1e12:.0f} "
            "TFLOP/s, forwards and backwards, without rendering and optimisers. On a CPU, seconds "
            "are those of its cores together.",
        ]
    )


def _source(args: argparse.Namespace, seconds: float) -> str:
    if args.pool:
        return f"Reading windows: {seconds:.3f} s a step."
    return f"Rendering one window of 6 views: {seconds / args.fresh:.3f} s."


def _memory(device: str) -> float:
    """GB: of the device, or of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
