"""Speed and memory beside the published package; prints Markdown, writes JSON and a plot.

    python -m tools.bench [--quick] [--out out/bench.json] [--presets da3-small da3-base]

Both run on the same random weights, interleaved, and the medians are printed. With a GPU every
preset is measured on it; without one, small and base on the CPU: about 6 minutes on two cores
with --quick, 17 without.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import torch

from da3_ros.net.presets import PRESETS
from tools.bench import cache, engines, node_overhead, parallax
from tools.bench.plot import plot_growth
from tools.bench.streaming import Case, matmul_peak, measure, peak_memory, print_peak

WINDOWS = (4, 8, 16)
RESOLUTIONS = (280, 392)

SHIPPED_VIEWS = {"da3-small": 8, "da3-base": 4}
"""Upstream's default on a CPU is fp16, up to minutes per window: it runs once, to so many views."""


def main() -> int:
    arguments = _arguments()
    if arguments.peak:
        who, preset, views, process_res, device = arguments.peak
        print_peak(who, Case(preset, int(views), int(process_res)), device)
        return 0
    device = "cuda" if torch.cuda.is_available() else "cpu"
    peak = matmul_peak(device)
    # First, while the process holds nothing else.
    held = cache.measure(2_000 if arguments.quick else 10_000)
    rows = [_row(case, device, arguments) for case in _cases(arguments, device)]
    report = {
        "machine": _machine(device),
        "bf16_peak_tflops": peak,
        "streaming": rows,
        "node_overhead": node_overhead.measure(),
        "parallax": parallax.measure(),
        "cache": held,
        "engines": engines.measure("da3-small", 4, 504),
    }
    _print(report)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    plot_growth(rows, arguments.out.with_suffix(".png"))
    print(f"\n{arguments.out} and {arguments.out.with_suffix('.png')} written")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer windows and frames")
    parser.add_argument("--presets", nargs="+", metavar="PRESET")
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    parser.add_argument("--no-shipped", action="store_true", help="skip upstream's slow default")
    parser.add_argument("--peak", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


def _cases(arguments: argparse.Namespace, device: str) -> list[Case]:
    everything = [n for n, p in PRESETS.items() if p.any_view and n != "da3-demo"]
    presets = arguments.presets or (everything if device == "cuda" else ["da3-small", "da3-base"])
    windows = {preset: _windows(preset, device, arguments.quick) for preset in presets}
    cases = [Case(preset, views) for preset in presets for views in windows[preset]]
    if not arguments.quick:
        cases += [Case(presets[0], 4, process_res) for process_res in RESOLUTIONS]
    return cases


def _windows(preset: str, device: str, quick: bool) -> tuple[int, ...]:
    if device == "cuda":
        return WINDOWS[:2] if quick else WINDOWS
    count = 3 if preset == "da3-small" else 2
    return WINDOWS[: count - 1 if quick else count]


def _row(case: Case, device: str, arguments: argparse.Namespace) -> dict:
    print(f"measuring {case.preset}, {case.views} views, {case.process_res} px", file=sys.stderr)
    with_shipped = not arguments.no_shipped and case.views <= SHIPPED_VIEWS.get(case.preset, 0)
    row = measure(case, device, with_shipped and device == "cpu" and case.process_res == 504)
    row["peak_mib"] = {who: peak_memory(case, who, device) for who in ("ours", "upstream")}
    return row


def _print(report: dict) -> None:
    _print_speed(report["streaming"])
    _print_stages(report["streaming"], report["bf16_peak_tflops"])
    overhead, held = report["node_overhead"], report["cache"]
    print(
        f"\nBesides the network, one core, 640x480, all topics: {overhead['ms_median']} ms median "
        f"({overhead['ms_spread'][0]} to {overhead['ms_spread'][1]})"
    )
    cost = report["parallax"]
    print(
        f"\nMetres from parallax, one core, 640x480, 4 views: {cost['points_ms_median']} ms per "
        f"published frame for tracks and points, {cost['correction_ms_median']} ms for the "
        "correction"
    )
    print(
        f"\nA stream of {held['frames']} frames never held more than {held['most_encodings']} "
        "encodings; resident memory, MiB: "
        + ", ".join(f"{mib} after {n} frames" for n, mib in held["resident_mib"].items())
    )
    print(f"\n{engines.sentence(report['engines'])}")
    if report["machine"]["kind"] != "cuda":
        print("\nCUDA: not measured, there is no GPU here. `make bench` on one fills the table.")


def _print_speed(rows: list[dict]) -> None:
    print(
        "| preset | views | px | ours ms | frames/s | upstream bf16 ms | ratio "
        "| upstream as shipped ms | ratio | peak MiB ours / upstream | depth error mean / max |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        ms, peak, error = row["ms"], row["peak_mib"], row["depth_error"]
        shipped = ms.get("shipped")
        against = f"{shipped:.0f} | {shipped / ms['ours']:.1f}" if shipped else "|"
        print(
            f"| {row['preset']} | {row['views']} | {row['process_res']} | {ms['ours']:.0f} "
            f"| {1000 / ms['ours']:.2f} | {ms['bf16']:.0f} | {ms['bf16'] / ms['ours']:.2f} "
            f"| {against} | {peak['ours']} / {peak['upstream']} "
            f"| {error['mean']:.2%} / {error['max']:.2%} |"
        )


def _print_stages(rows: list[dict], peak_tflops: float) -> None:
    print(
        "\n| preset | views | px | encode ms | aggregate ms | decode ms | scale ms | GFLOP "
        f"| share of {peak_tflops:.2f} TFLOP/s | MiB kept per frame |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        stages = " | ".join(
            f"{row['stages_ms'][k]:.1f}" for k in ("encode", "aggregate", "decode", "scale")
        )
        share = row["gflop"] / row["ms"]["ours"] / peak_tflops
        print(
            f"| {row['preset']} | {row['views']} | {row['process_res']} | {stages} "
            f"| {row['gflop']:.0f} | {share:.0%} | {row['mib_per_frame']:.2f} |"
        )


def _machine(device: str) -> dict:
    names = {
        "cpu": lambda: platform.processor() or platform.machine(),
        "cuda": torch.cuda.get_device_name,
    }
    return {
        "kind": device,
        "device": names[device](),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
