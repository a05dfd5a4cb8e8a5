"""Compare every preset at true size with the published network; print a Markdown table.

    python -m tools.parity [PRESET ...]

Random weights are saved the way upstream publishes them, loaded strictly, and both networks
run in fp32 on the same images. The figures are the largest difference over the largest value.
da3nested-giant-large takes about 20 GB of memory.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from pathlib import Path

import torch
from tqdm import tqdm

from da3_ros.net.checkpoint import load_checkpoint
from da3_ros.net.presets import PRESETS
from tools import upstream

SIZE = (112, 154)
VIEWS = 3
COLUMNS = ("depth", "conf", "sky", "extrinsics", "intrinsics", "feat_layer_9", "gaussians")


def measure(name: str) -> dict[str, dict[str, float]]:
    """Errors of one preset, without and with poses."""
    theirs = upstream.randomise(upstream.build(name))
    with tempfile.TemporaryDirectory() as folder:
        upstream.save_official(theirs, Path(folder), name)
        ours = load_checkpoint(folder)
    images = torch.randn(1, VIEWS, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    modes = {"without poses": None}
    if ours.preset.any_view:
        modes["with poses"] = upstream.random_cameras(VIEWS, SIZE)
    return {mode: _errors(theirs, ours, images, cameras) for mode, cameras in modes.items()}


@torch.inference_mode()
def _errors(theirs, ours, images, cameras) -> dict[str, float]:
    gs = ours.preset.gaussians
    expected = upstream.run(theirs, images, cameras, reference="first", layers=[9], gs=gs)
    found = ours(images, cameras, reference="first", feature_layers=[9], gaussians=gs)
    errors = upstream.compare(expected, found)
    parts = [
        errors.pop(k)
        for k in ("means", "scales", "rotations", "harmonics", "opacities")
        if k in errors
    ]
    return {**errors, **({"gaussians": max(parts)} if parts else {})}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    known = [name for name in PRESETS if name != "da3-demo"]
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"default: {' '.join(known)}")
    names = parser.parse_args().presets or known
    print("| preset | mode | " + " | ".join(COLUMNS) + " |")
    print("|---|---|" + "---|" * len(COLUMNS))
    worst = 0.0
    for name in tqdm(names, file=sys.stderr, disable=None):
        for mode, errors in measure(name).items():
            cells = [f"{errors[c]:.1e}" if c in errors else "" for c in COLUMNS]
            print(f"| {name} | {mode} | {' | '.join(cells)} |", flush=True)
            worst = max(worst, *errors.values())
        gc.collect()
    print(f"\nlargest: {worst:.1e}, allowed: {upstream.TOLERANCE:.0e}")
    return int(worst >= upstream.TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
