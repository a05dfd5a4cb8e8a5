"""Fast: ours beside the published package on the same weights, in turn; row after row."""

from __future__ import annotations

from statistics import median

import torch

from da3_ros.net.precision import pack_weights, set_precision
from tools.bench import upstream_peer
from tools.bench.streaming import Stream, matmul_peak
from tools.gpu import cases
from tools.gpu.cases import Case
from tools.gpu.job import Job, read_json, write_json
from tools.stopwatch import timed

WEIGHT = 4.0
PRESETS = ("da3-large", "da3-small", "da3-base", "da3-giant", "da3nested-giant-large")
"""The goals first: time may end the list."""

VIEWS = (8, 4, 16)
RUNS = 10
ROW_SECONDS = 8.0
"""A row is not begun with less time than that."""


def wanted(tiny: bool) -> list[Case]:
    """The rows, in the order in which they are worth most."""
    if tiny:
        return [Case("da3-small", 3, shape, 56) for shape in cases.SHAPES]
    return [Case(p, n, shape) for p in PRESETS for shape in cases.SHAPES for n in VIEWS]


def run(job: Job) -> dict:
    """Rows measured before are kept: the part goes on where it was stopped."""
    path = job.out / "fast_rows.json"
    result = read_json(path) or {
        "peak_tflops": matmul_peak(job.device, 256 if job.tiny else None),
        "rows": {},
    }
    networks = (None, None)
    preset = ""
    for case in wanted(job.tiny):
        if case.key in result["rows"]:
            continue
        if not job.tiny and not job.has(ROW_SECONDS):
            break
        if case.preset != preset:
            networks = None  # freed before the next ones are made
            networks, preset = cases.same_weights(case.preset, job.device), case.preset
            set_precision(networks[1], "auto")
            pack_weights(networks[1])
        result["rows"][case.key] = measure(case, networks, job)
        write_json(path, result)
    return result | {"left_out": [c.key for c in wanted(job.tiny) if c.key not in result["rows"]]}


def measure(case: Case, networks: tuple, job: Job) -> dict:
    """One row: medians of interleaved runs in ms, FLOP, and memory in MiB."""
    theirs, ours = networks
    frames = case.frames(case.views + 2)
    try:
        stream = Stream(ours, case, frames)
        steps = {
            "ours": stream.step,
            "published": lambda: upstream_peer.infer(
                theirs, frames[: case.views], case.process_res
            ),
        }
        times, memory = interleaved(steps, job)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {"preset": case.preset, "views": case.views, "shape": case.shape, "failed": "memory"}
    return {
        "preset": case.preset,
        "views": case.views,
        "shape": case.shape,
        "ms": {name: round(1000 * median(t), 2) for name, t in times.items()},
        "spread_ms": {n: [round(1000 * x, 2) for x in (min(t), max(t))] for n, t in times.items()},
        "gflop": round(cases.count_flops(case) / 1e9, 1),
        "peak_mib": memory,
    }


def interleaved(steps: dict, job: Job) -> tuple[dict, dict]:
    """Seconds of each step, taken in turns after one warm-up, and its peak of memory."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    memory = {}
    for index in range(2 if job.tiny else RUNS + 2):
        for name, step in steps.items():
            if job.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds, _ = timed(step, job.device)
            if index > (0 if job.tiny else 1):
                times[name].append(seconds)
            if job.device == "cuda":
                memory[name] = torch.cuda.max_memory_allocated() // 2**20
        if index > 3 and not job.has(1.0):
            break
    return times, memory


def table(result: dict) -> str:
    """Markdown; a row that could not be measured says why."""
    peak = result["peak_tflops"]
    lines = [
        f"bf16 matrix product: {peak} TFLOP/s.",
        "",
        "| preset | views | px | ours ms | published ms | ratio | share of peak | MiB |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in result["rows"].values():
        head = f"| {row['preset']} | {row['views']} | {row['shape']} |"
        if "failed" in row:
            lines.append(f"{head} out of {row['failed']} | | | | |")
            continue
        ours, theirs = row["ms"]["ours"], row["ms"]["published"]
        share = row["gflop"] / ours / peak
        memory = " / ".join(map(str, row["peak_mib"].values()))
        lines.append(f"{head} {ours} | {theirs} | {theirs / ours:.2f} | {share:.0%} | {memory} |")
    if result["left_out"]:
        lines += ["", "Not measured, time was over: " + ", ".join(result["left_out"]) + "."]
    return "\n".join(lines)
