"""Speed and memory beside the published package; prints Markdown, writes JSON and a plot.

    python -m tools.bench [--quick] [--out out/bench.json] [--presets da3-small da3-base]

Both run on the same random weights, interleaved, and the medians are printed. With a GPU every
preset is measured on it; without one, small and base on the CPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import torch

from da3_ros.net.presets import PRESETS
from tools.benchmarks import node_overhead
from tools.benchmarks.plot import plot_growth
from tools.benchmarks.streaming import Case, measure, peak_memory, print_peak

WINDOWS = (4, 8, 16)
RESOLUTIONS = (280, 392)


def main() -> int:
    arguments = _arguments()
    if arguments.peak:
        who, preset, views, process_res, device = arguments.peak
        print_peak(who, Case(preset, int(views), int(process_res)), device)
        return 0
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = [_row(case, device, arguments) for case in _cases(arguments, device)]
    overhead = node_overhead.measure()
    _print(rows, overhead)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": _machine(device), "streaming": rows, "node_overhead": overhead}
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    plot_growth(rows, arguments.out.with_suffix(".png"))
    print(f"\n{arguments.out} and {arguments.out.with_suffix('.png')} written")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="windows of 4 and 8 only, fewer runs")
    parser.add_argument("--presets", nargs="+", metavar="PRESET")
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    parser.add_argument("--no-shipped", action="store_true", help="skip upstream's slow default")
    parser.add_argument("--peak", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


def _cases(arguments: argparse.Namespace, device: str) -> list[Case]:
    everything = [n for n, p in PRESETS.items() if p.any_view and n != "da3-demo"]
    presets = arguments.presets or (everything if device == "cuda" else ["da3-small", "da3-base"])
    runs = 3 if arguments.quick else 5
    windows = WINDOWS[:2] if arguments.quick else WINDOWS
    cases = [Case(preset, views, runs=runs) for preset in presets for views in windows]
    if not arguments.quick:
        cases += [Case(presets[0], 4, process_res, runs) for process_res in RESOLUTIONS]
    return cases


def _row(case: Case, device: str, arguments: argparse.Namespace) -> dict:
    print(f"measuring {case.preset}, {case.views} views, {case.process_res} px", file=sys.stderr)
    # One run of upstream's default is minutes at many views: it is only an anchor.
    shipped_runs = 0 if arguments.no_shipped or case.views > 8 else 1
    row = measure(case, device, shipped_runs)
    row["peak_mib"] = {who: peak_memory(case, who, device) for who in ("ours", "upstream")}
    return row


def _print(rows: list[dict], overhead: dict) -> None:
    print(
        "| preset | views | px | ours ms | upstream bf16 ms | ratio | upstream as shipped ms | ratio |"
        " peak MiB ours / upstream | GFLOP | depth error mean / max |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        ms, peak, error = row["ms"], row["peak_mib"], row["depth_error"]
        shipped = ms.get("shipped")
        print(
            f"| {row['preset']} | {row['views']} | {row['process_res']} | {ms['ours']:.0f} "
            f"| {ms['bf16']:.0f} | {ms['bf16'] / ms['ours']:.1f} "
            f"| {shipped and round(shipped) or ''} | {shipped and round(shipped / ms['ours'], 1) or ''} "
            f"| {peak['ours']} / {peak['upstream']} | {row['gflop']:.0f} "
            f"| {error['mean']:.2%} / {error['max']:.2%} |"
        )
    print("\n| preset | views | px | encode | aggregate | decode | scale | ms, ours by stage |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        stages = " | ".join(
            f"{row['stages_ms'][k]:.1f}" for k in ("encode", "aggregate", "decode", "scale")
        )
        print(f"| {row['preset']} | {row['views']} | {row['process_res']} | {stages} | |")
    print(
        f"\nBesides the network, one core, 640x480, all topics: "
        f"{overhead['ms_median']} ms median, {overhead['ms_best']} ms best"
    )


def _machine(device: str) -> dict:
    names = {
        "cpu": lambda: platform.processor() or platform.machine(),
        "cuda": torch.cuda.get_device_name,
    }
    return {
        "device": names[device](),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
