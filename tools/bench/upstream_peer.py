"""The published package as the peer of the benchmarks.

As it ships, and with its CPU precision corrected: it picks fp16 on processors that have none.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from da3_ros.core import poses
from da3_ros.core.frame import Frame
from da3_ros.net.checkpoint import load_checkpoint
from tools import upstream


def same_weights(preset: str, folder: Path, device: str):
    """Upstream's API object and our network with equal random weights."""
    theirs = load(preset, "cpu")
    upstream.randomise(theirs.model)
    upstream.save_official(theirs.model, folder, preset)
    return theirs.to(device), load_checkpoint(folder).to(device)


def load(preset: str, device: str):
    """Upstream's API object as it is made."""
    upstream.import_upstream()
    from depth_anything_3.api import DepthAnything3

    return DepthAnything3(preset).to(device).eval()


def infer(model, frames: list[Frame], process_res: int) -> None:
    """Upstream's `inference()` on a whole posed window, as a user would call it."""
    with _shipped_convolutions():
        model.inference(
            [f.image for f in frames],
            extrinsics=np.stack([poses.inverse(f.T_world_cam) for f in frames]),
            intrinsics=np.stack([f.camera.K for f in frames]),
            process_res=process_res,
        )


@contextmanager
def _shipped_convolutions():
    """While active, a GPU's convolutions in fp32 are TF32: torch's default, in which upstream runs
    its heads, and which `set_precision` changes for the whole process.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def corrected_precision():
    """Let upstream see bf16 on a CPU, where it would otherwise compute in fp16."""
    original = torch.cuda.is_bf16_supported
    torch.cuda.is_bf16_supported = lambda *_, **__: True
    try:
        yield
    finally:
        torch.cuda.is_bf16_supported = original
