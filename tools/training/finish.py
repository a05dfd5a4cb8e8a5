"""Finish a run of tools.training.train and put it into the package: fp16 weights and config.json.

python -m tools.training.finish RUN --pool POOL
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from da3_ros.net.checkpoint import save_checkpoint
from da3_ros.net.model_folder import MODELS_FOLDER, PictureSize
from da3_ros.net.network import Network
from da3_ros.net.presets import PRESETS
from tools.training.camera_stage import finish_cameras
from tools.training.sources import LiveSource, PoolSource


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of tools.training.train")
    parser.add_argument("--pool", type=Path, help="folder of rendered windows")
    parser.add_argument("--scale", type=float, default=1.0, help="picture size, as in training")
    parser.add_argument("--windows", type=int, default=1000, help="for the camera decoder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--to", type=Path, default=MODELS_FOLDER / "da3-demo")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    if args.pool:
        source = PoolSource(args.pool, args.device)
    else:
        source = LiveSource(args.seed, args.device, 8, args.scale)
    network = Network(PRESETS["da3-demo"]).eval()
    network.load_state_dict(torch.load(args.run / "best.pt", weights_only=True, map_location="cpu"))
    network.to(args.device)
    generator = torch.Generator().manual_seed(args.seed)
    loss = finish_cameras(network, source, generator, args.windows)
    size = PictureSize(
        round(112 * args.scale / 14) * 14
    )  # where it is good is for eval_demo to say
    save_checkpoint(network, args.to, torch.float16, size)
    size = sum(f.stat().st_size for f in args.to.iterdir()) / 1e6
    print(f"camera loss {loss:.4f}; {args.to.name}: {size:.1f} MB")


if __name__ == "__main__":
    main()
