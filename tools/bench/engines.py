"""Engines beside torch: how far off they are, and how fast, on the same random weights.

    python -m tools.bench.engines [PRESET ...] [--views 4] [--res 504] [--precision fp16]
    python -m tools.bench.engines [PRESET ...] --reduced

Time is per published frame of a posed window, stride 1, one view published. OpenVINO is measured
where onnxruntime-openvino is installed in the place of onnxruntime. --reduced: all any-view
presets, narrow and full depth, for the errors alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch

from da3_ros.core.preprocess import plan_resize
from da3_ros.net.checkpoint import load_network, random_network
from da3_ros.net.engine.check import BuiltInWindow, answers, errors, errors_of
from da3_ros.net.engine.engine import open_engine
from da3_ros.net.engine.export import EngineSize, export_engine
from da3_ros.net.engine.precisions import ENGINE_PRECISIONS
from da3_ros.net.engine.session import PROVIDERS, import_runtime
from da3_ros.net.precision import pack_weights, set_precision
from da3_ros.net.presets import PRESETS, HeadConfig
from tools.bench.streaming import Case, Stream, room_frames
from tools.stopwatch import timed
from tools.upstream import randomise, reduced

CAMERA = (640, 480)
REDUCED = HeadConfig(32, (16, 24, 32, 48))
RUNS = 5
CPU = torch.device("cpu")


def measure(preset: str, views: int, res: int, precision: str = "fp32") -> dict:
    """Largest error against torch in fp32, and ms per published frame of each runtime."""
    size = engine_size(views, res)
    with tempfile.TemporaryDirectory() as parent:
        folder, network = Path(parent, "engine"), load_network(preset)
        export_engine(network, folder, size, precision)
        engines = {name: open_engine(folder, name, CPU) for name in providers()}
        worst = [max(errors_of(engine, folder).values()) for engine in engines.values()]
        streams = {f"onnxruntime {name} {precision}": e for name, e in engines.items()}
        streams |= {"torch fp32": network, "torch auto": in_best_precision(preset)}
        times = interleaved(streams, Case(preset, views, res))
    return {"preset": preset, "views": views, "res": res, "error": max(worst), "ms": times}


def providers() -> list[str]:
    """Those of a processor that this ONNX Runtime has."""
    here = import_runtime().get_available_providers()
    return [name for name in ("cpu", "openvino") if PROVIDERS[name] in here]


def engine_size(views: int, res: int) -> EngineSize:
    """For pictures of the room."""
    return EngineSize(views, plan_resize(CAMERA[1], CAMERA[0], res).size, res, CAMERA)


def in_best_precision(preset: str):
    """The network as the node runs it here."""
    network = load_network(preset)
    set_precision(network, "auto")
    pack_weights(network)
    return network


def interleaved(networks: dict, case: Case) -> dict[str, float]:
    """Median ms per frame, taken in turns, so that other work on the machine meets all."""
    frames = room_frames(case.views + 2)
    streams = {name: Stream(network, case, frames) for name, network in networks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in streams}
    for run in range(RUNS + 1):
        for name, stream in streams.items():
            taken, _ = timed(stream.step)
            if run:
                seconds[name].append(taken)
    return {name: round(1000 * median(s), 1) for name, s in seconds.items()}


def errors_of_reduced(preset: str, precision: str) -> dict[str, float]:
    """Errors of a preset at full depth and reduced width, where `randomise` lets faults show."""
    network = randomise(random_network(reduced(preset, 64, REDUCED)))
    size = EngineSize(3, (42, 70), 70, (70, 42))
    with tempfile.TemporaryDirectory() as folder:
        export_engine(network, Path(folder, "engine"), size, precision)
        engine = open_engine(Path(folder, "engine"), "cpu", CPU)
        window = BuiltInWindow.of(3, size.size, CPU)
        return errors(answers(engine, window), answers(network, window))


def main() -> None:
    arguments = _arguments()
    if arguments.reduced:
        print("| preset | " + arguments.precision + ", largest error posed | unposed |")
        print("|---|---|---|")
        for name in arguments.presets or [n for n, p in PRESETS.items() if p.any_view]:
            found = errors_of_reduced(name, arguments.precision)
            posed, unposed = (
                max(e for k, e in found.items() if k.startswith(mode)) for mode in ("posed", "unpo")
            )
            print(f"| {name} | {posed:.1e} | {unposed:.1e} |", flush=True)
        return
    print(f"{torch.get_num_threads()} threads")
    for name in arguments.presets or ["da3-small", "da3-base"]:
        print(sentence(measure(name, arguments.views, arguments.res, arguments.precision)))


def sentence(row: dict) -> str:
    """What was measured, per published frame."""
    cells = ", ".join(f"{k} {v} ms" for k, v in row["ms"].items())
    return (
        f"Engine of {row['preset']}, {row['views']} views, {row['res']} px: off by at most "
        f"{row['error']:.1e}; {cells}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("presets", nargs="*", metavar="PRESET")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--res", type=int, default=504)
    parser.add_argument("--precision", choices=tuple(ENGINE_PRECISIONS), default="fp32")
    parser.add_argument("--reduced", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
