"""Fast: ours beside the published package on the same weights, in turn; row after row.

Parts that measure rows share what is here: `goals`, `ways`, and this one for all the others.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import nn

from tools.bench import upstream_peer
from tools.bench.flops import count_flops
from tools.bench.streaming import matmul_peak
from tools.gpu import cases
from tools.gpu.cases import Case
from tools.gpu.job import Job
from tools.gpu.results import DONE, FAILED, UNFINISHED
from tools.stopwatch import timed

WEIGHT = 10.0
PRESETS = ("da3-large", "da3-small", "da3-base", "da3-giant", "da3nested-giant-large")
VIEWS = (8, 4, 16)
GOALS = (Case("da3-large", 8), Case("da3-small", 4))
"""At least 2.5 times as fast as the published package in bf16, with half of the peak; and less
than 10 ms from a picture in to depth out."""

NO_MEMORY = "out of memory"
RUNS = 10
ROW_SECONDS = 8.0
"""A row is not begun with less time than that."""


def wanted(tiny: bool) -> list[Case]:
    """The rows besides the goals, in the order in which they are worth most."""
    if tiny:
        return [Case("da3-small", 3, "504x280", 56)]
    rows = (Case(p, n, shape) for p in PRESETS for shape in cases.SHAPES for n in VIEWS)
    return [case for case in rows if case not in GOALS]


def run(job: Job) -> dict:
    """Rows measured before are kept: the part goes on where it was stopped."""
    return measure_rows("fast", wanted(job.tiny), job)


def measure_rows(part: str, rows: Sequence[Case], job: Job, *, go_on: bool = True) -> dict:
    """What is missing of the rows of a part, for as long as it has time; kept row by row.

    go_on: after a row that failed, too.
    """
    result = job.results.of(part) or no_rows(rows, job)
    networks: dict[str, tuple] = {}
    for case in to_do(rows, result["rows"]):
        if not job.tiny and not job.has(ROW_SECONDS):
            break
        put_row(result, case, attempt(case, networks, job), rows)
        job.results.put(part, result, UNFINISHED)
        if has_failed(result) and not go_on:
            break
    return result


def no_rows(rows: Sequence[Case], job: Job) -> dict:
    """A part before its first row."""
    peak = matmul_peak(job.device, 256 if job.tiny else None)
    return {"peak_tflops": peak, "rows": {}, "left_out": [c.key for c in rows]}


def put_row(result: dict, case: Case, row: dict, rows: Sequence[Case]) -> None:
    """Add a row to a part that wants those `rows`."""
    result["rows"][case.key] = row
    result["left_out"] = [c.key for c in rows if c.key not in result["rows"]]


def to_do(rows: Sequence[Case], measured: dict) -> list[Case]:
    """What was not measured; then what failed, unless more memory is what it needs."""
    new = [c for c in rows if c.key not in measured]
    failed = [c for c in rows if measured.get(c.key, {}).get("failed", NO_MEMORY) != NO_MEMORY]
    return new + failed


def has_failed(result: dict) -> bool:
    """Whether a row has; one that does not fit into memory is measured as well as it can be."""
    return any(row.get("failed", NO_MEMORY) != NO_MEMORY for row in result["rows"].values())


def state(result: dict) -> str:
    """Failed as soon as one row has."""
    if has_failed(result):
        return FAILED
    return UNFINISHED if result["left_out"] else DONE


def attempt(case: Case, networks: dict[str, tuple], job: Job) -> dict:
    """One row, or why there is none: the others are measured whatever happens.

    networks: those of the preset measured last, the published one and ours; of this one after.
    """
    row = row_of(case)
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


def row_of(case: Case) -> dict:
    """What is known of a row before it is measured."""
    return {"preset": case.preset, "views": case.views, "shape": case.shape, "how": case.how}


def make_networks(preset: str, device: str) -> tuple:
    """The published network, None where it cannot be made, and ours as the node runs it."""
    try:
        theirs, ours = cases.same_weights(preset, device)
    except ImportError:
        traceback.print_exc()
        return None, cases.as_the_node_runs_it(preset, device)
    return theirs, cases.made_ready(ours)


def measure(case: Case, networks: tuple, job: Job) -> dict:
    """One row: medians of interleaved runs in ms, FLOP, and memory in MiB. Ours alone where the
    published network does not run."""
    theirs, ours = networks
    frames = case.frames(case.views + 2)
    window = frames[: case.views]
    work = (case.preset, case.views, case.process_res, case.camera)
    held_by, steps = {"ours": ours}, {"ours": cases.step(ours, case, frames)}
    if runs(published := lambda: upstream_peer.infer(theirs, window, case.process_res)):
        held_by["published"], steps["published"] = theirs.model, published
    first, times, memory = interleaved(steps, job)
    return {
        "ms": {name: round(1000 * median(t), 2) for name, t in times.items()},
        "first_ms": round(1000 * first["ours"]),
        "spread_ms": {n: [round(1000 * x, 2) for x in (min(t), max(t))] for n, t in times.items()},
        "gflop": round(count_flops(*work) / 1e9, 1),
        "peak_mib": own_memory(memory, held_by),
    }


def runs(work: Callable[[], object]) -> bool:
    """Whether it does, but for a lack of memory, which it raises."""
    try:
        work()
    except torch.OutOfMemoryError:
        raise
    except Exception:
        traceback.print_exc()
        return False
    return True


def own_memory(peaks: dict[str, int], networks: dict[str, nn.Module]) -> dict[str, int]:
    """MiB of each without the weights of the other, which lie there meanwhile.

    peaks: bytes. What recordings of graphs hold is in both.
    """
    found = {}
    for name, peak in peaks.items():
        others = {p: n for who, net in networks.items() if who != name for p, n in held(net)}
        mine = dict(held(networks[name]))
        found[name] = (peak - sum(n for p, n in others.items() if p not in mine)) // 2**20
    return found


def held(network: nn.Module) -> list[tuple[int, int]]:
    """Address and bytes of what parameters and buffers lie in; shared memory appears once."""
    tensors = [t for t in (*network.parameters(), *network.buffers()) if not t.is_mkldnn]
    storages = [t.untyped_storage() for t in tensors]
    return list({(s.data_ptr(), s.nbytes()) for s in storages})


def interleaved(steps: dict, job: Job) -> tuple[dict, dict, dict]:
    """Seconds of each step's first run; of those after the warm-up, taken in turns; and its peak
    of memory, bytes."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    first, memory = {}, {}
    for index in range(2 if job.tiny else RUNS + 2):
        for name, step in steps.items():
            if job.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds, _ = timed(step, job.device)
            first.setdefault(name, seconds)
            if index > (0 if job.tiny else 1):
                times[name].append(seconds)
            if job.device == "cuda":
                memory[name] = torch.cuda.max_memory_allocated()
        if index > 3 and not job.has(1.0):
            break
    return first, times, memory


def table(result: dict) -> str:
    """Markdown; a row that could not be measured says why."""
    peak = result["peak_tflops"]
    lines = [
        f"bf16 matrix product: {peak} TFLOP/s. ms from a picture in to depth out; sent ahead: from "
        "one depth to the next. First: of ours, recording or compiling included. MiB: peak of "
        "ours / of the published package.",
        "",
        "| preset | views | px | ours ms | published ms | ratio | share of peak | first s | MiB |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
        *(_line(row, peak) for row in result["rows"].values()),
    ]
    if result["left_out"]:
        lines += ["", "Not measured, time was over: " + ", ".join(result["left_out"]) + "."]
    return "\n".join(lines)


def _line(row: dict, peak: float) -> str:
    what = f"{row['preset']}, {row['how']}" if row["how"] else row["preset"]
    head = f"| {what} | {row['views']} | {row['shape']} |"
    if "failed" in row:
        return f"{head} {row['failed'].replace('|', '/')} | | | | | |"
    ours, theirs = row["ms"]["ours"], row["ms"].get("published", math.nan)
    share = row["gflop"] / ours / peak
    memory = " / ".join(map(str, row["peak_mib"].values()))
    first = row["first_ms"] / 1000
    return (
        f"{head} {ours} | {theirs} | {theirs / ours:.2f} | {share:.0%} | {first:.1f} | {memory} |"
    )
