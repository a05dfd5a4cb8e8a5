"""Whether an engine says what torch says: of a window that is built in, the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from da3_ros.net.camera import Cameras
from da3_ros.net.engine.manifest import EXPECTED, EngineError
from da3_ros.net.engine.precisions import ENGINE_PRECISIONS
from da3_ros.net.stage_types import NetOutput

MODES = {"posed": True, "unposed": False}


@dataclass(frozen=True)
class BuiltInWindow:
    """Pictures (1, N, 3, h, w) as the network takes them, and cameras: a wavy wall in passing."""

    images: Tensor
    cameras: Cameras

    @staticmethod
    def of(views: int, size: tuple[int, int], device: torch.device) -> BuiltInWindow:
        """For an engine of that size."""
        height, width = size
        v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        pictures = []
        for i in range(views):
            x, y = (u + 6.0 * i) / width * 20, v / height * 15
            waves = (x + 0.3 * y).sin(), (y * 1.3).cos() * (x * 0.5).sin(), (x * y * 0.1).sin()
            pictures.append(torch.stack(waves))
        T = torch.eye(4).repeat(1, views, 1, 1)
        T[0, :, 0, 3] = -0.25 * torch.arange(views)
        K = torch.tensor([[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1.0]])
        cameras = Cameras(T.to(device), K.repeat(1, views, 1, 1).to(device))
        return BuiltInWindow(torch.stack(pictures)[None].to(device), cameras)


@torch.inference_mode()
def answers(network, window: BuiltInWindow) -> dict[str, Tensor]:
    """What a network or an engine says of the window, with and without its cameras, on the CPU."""
    found = {}
    for mode, posed in MODES.items():
        if posed and not network.preset.any_view:
            continue
        out: NetOutput = network(
            window.images, window.cameras if posed else None, reference="first"
        )
        maps = {"depth": out.depth, "conf": out.conf, "T_cam_ref": out.T_cam_ref, "K": out.K}
        maps["sky"] = out.sky
        found |= {f"{mode}_{k}": x.float().cpu().clone() for k, x in maps.items() if x is not None}
    return found


def errors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Mean difference of maps, largest difference of cameras, relative to the largest value."""
    result = {}
    for name, truth in expected.items():
        difference = (found[name] - truth).abs()
        worst = difference.mean() if difference.ndim == 4 and name[-1] != "K" else difference.max()
        result[name] = float(worst / truth.abs().max().clamp(min=1e-6))
    return result


def errors_of(engine, folder: Path) -> dict[str, float]:
    """`errors` of an engine against what torch said of the built-in window when it was exported.

    Raises `EngineError` where that is not the same maps.
    """
    place = next(engine.parameters()).device
    window = BuiltInWindow.of(engine.manifest.views, engine.manifest.size, place)
    found, expected = answers(engine, window), load_file(folder / EXPECTED)
    if _shapes(found) != _shapes(expected):
        raise EngineError(f"{EXPECTED} holds other answers than the engine gives: export it again")
    return errors(found, expected)


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def refuse_if_off(found: dict[str, float], precision: str, provider: str) -> None:
    """Raises `EngineError` when an error is beyond what the precision allows, or not a number."""
    limit = ENGINE_PRECISIONS[precision].largest_error
    off = {name: e for name, e in found.items() if not e <= limit}
    if off:
        name = max(off, key=lambda n: (off[n] != off[n], off[n]))
        raise EngineError(
            f"the engine is off with the provider '{provider}': its {name.replace('_', ' ', 1)} of "
            f"the built-in window differs from torch's by {off[name]:.1e}, {precision} may by "
            f"{limit:.0e}; use another provider, fp32, or model.backend torch"
        )
