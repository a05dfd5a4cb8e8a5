"""Fast: ours beside the published package on the same weights, in turn; row after row."""

from __future__ import annotations

import traceback
from statistics import median

import torch

from da3_ros.net.precision import pack_weights, set_precision
from tools.bench import upstream_peer
from tools.bench.streaming import Stream, matmul_peak
from tools.gpu import cases
from tools.gpu.cases import Case
from tools.gpu.job import Job
from tools.gpu.results import DONE, FAILED, UNFINISHED
from tools.stopwatch import timed

WEIGHT = 4.0
PRESETS = ("da3-large", "da3-small", "da3-base", "da3-giant", "da3nested-giant-large")
"""The goals first: time may end the list."""

VIEWS = (8, 4, 16)
NO_MEMORY = "out of memory"
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
    result = job.results.of("fast") or {
        "peak_tflops": matmul_peak(job.device, 256 if job.tiny else None),
        "rows": {},
        "left_out": [c.key for c in wanted(job.tiny)],
    }
    networks: dict[str, tuple] = {}
    for case in to_do(job.tiny, result["rows"]):
        if not job.tiny and not job.has(ROW_SECONDS):
            break
        result["rows"][case.key] = attempt(case, networks, job)
        result["left_out"] = [c.key for c in wanted(job.tiny) if c.key not in result["rows"]]
        job.results.put("fast", result, UNFINISHED)
    return result


def to_do(tiny: bool, rows: dict) -> list[Case]:
    """What was not measured; then what failed, unless more memory is what it needs."""
    new = [c for c in wanted(tiny) if c.key not in rows]
    failed = [c for c in wanted(tiny) if rows.get(c.key, {}).get("failed", NO_MEMORY) != NO_MEMORY]
    return new + failed


def state(result: dict) -> str:
    """A row that does not fit into the device's memory is measured as well as it can be."""
    if any(row.get("failed", NO_MEMORY) != NO_MEMORY for row in result["rows"].values()):
        return FAILED
    return UNFINISHED if result["left_out"] else DONE


def attempt(case: Case, networks: dict[str, tuple], job: Job) -> dict:
    """One row, or why there is none: the others are measured whatever happens.

    networks: those of the preset measured last, the published one and ours; of this one after.
    """
    row = {"preset": case.preset, "views": case.views, "shape": case.shape}
    try:
        if case.preset not in networks:
            networks.clear()  # freed before the next ones are made
            networks[case.preset] = make_networks(case.preset, job.device)
        return row | measure(case, networks[case.preset], job)
    except torch.OutOfMemoryError:
        row["failed"] = NO_MEMORY
    except Exception as error:
        traceback.print_exc()
        row["failed"] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if row["failed"] == NO_MEMORY:
        torch.cuda.empty_cache()  # now that nothing holds on to what the attempt had
    return row


def make_networks(preset: str, device: str) -> tuple:
    """The published network and ours, as fast as the node runs it."""
    theirs, ours = cases.same_weights(preset, device)
    set_precision(ours, "auto")
    pack_weights(ours)
    return theirs, ours


def measure(case: Case, networks: tuple, job: Job) -> dict:
    """One row: medians of interleaved runs in ms, FLOP, and memory in MiB."""
    theirs, ours = networks
    frames = case.frames(case.views + 2)
    window = frames[: case.views]
    steps = {
        "ours": Stream(ours, case, frames).step,
        "published": lambda: upstream_peer.infer(theirs, window, case.process_res),
    }
    times, memory = interleaved(steps, job)
    return {
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
            lines.append(f"{head} {row['failed'].replace('|', '/')} | | | | |")
            continue
        ours, theirs = row["ms"]["ours"], row["ms"]["published"]
        share = row["gflop"] / ours / peak
        memory = " / ".join(map(str, row["peak_mib"].values()))
        lines.append(f"{head} {ours} | {theirs} | {theirs / ours:.2f} | {share:.0%} | {memory} |")
    if result["left_out"]:
        lines += ["", "Not measured, time was over: " + ", ".join(result["left_out"]) + "."]
    return "\n".join(lines)
