"""Finish a run of tools.training.train and put it into the package: weights and config.json.

python -m tools.training.finish RUN --pool POOL
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from da3_ros.net.checkpoint import save_checkpoint
from da3_ros.net.model_folder import MODELS_FOLDER, PictureSize
from da3_ros.net.network import Network
from tools.training import camera_stage
from tools.training.sizes import SIZES
from tools.training.sources import LiveSource, PoolSource

DTYPES = {"fp16": torch.float16, "8-bit": torch.int8}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of tools.training.train")
    parser.add_argument("--size", choices=SIZES, default="small", help="as in training")
    parser.add_argument("--pool", type=Path, help="folder of rendered windows")
    parser.add_argument("--scale", type=float, default=1.0, help="picture size, as in training")
    parser.add_argument("--windows", type=int, default=1000, help="for the camera decoder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", choices=DTYPES, default="fp16")
    parser.add_argument("--to", type=Path, default=MODELS_FOLDER / "da3-demo")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    loss = finish(args, args.to, DTYPES[args.weights], args.windows)
    size = sum(f.stat().st_size for f in args.to.iterdir()) / 1e6
    print(f"camera loss {loss:.4f}; {args.to.name}: {size:.1f} MB")


def finish(
    args: argparse.Namespace,
    folder: Path,
    dtype: torch.dtype,
    windows: int,
    steps: int = camera_stage.STEPS,
) -> float:
    """Fit the camera decoder of the best weights, and write the model; returns the last loss.

    args: `run`, `size`, `pool`, `scale`, `seed`, `device` as in training.
    """
    if args.pool:
        source = PoolSource(args.pool, args.device)
    else:
        source = LiveSource(args.seed, args.device, camera_stage.WINDOWS_AT_ONCE, args.scale)
    network = Network(SIZES[args.size]).eval()
    network.load_state_dict(torch.load(args.run / "best.pt", weights_only=True, map_location="cpu"))
    network.to(args.device)
    generator = torch.Generator().manual_seed(args.seed)
    loss = camera_stage.finish_cameras(network, source, generator, windows, steps)
    # Where it is good is for eval_demo to say.
    size = PictureSize(max(1, round(112 * args.scale / 14)) * 14)
    save_checkpoint(network, folder, dtype, size)
    return loss


if __name__ == "__main__":
    main()
