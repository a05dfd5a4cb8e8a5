"""The published upstream package, made runnable as the reference of the parity tests.

Only its network is built here; it runs in fp32 with randomised weights, which are
saved the way upstream saves them and loaded into ours.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_model
from torch import nn

from da3_ros.net.camera import Cameras, rotation_matrix
from da3_ros.net.presets import HeadConfig, Preset, find_preset

TOLERANCE = 2e-5
"""Largest difference relative to the largest value of a map."""


def stub_torchvision() -> None:
    """Give upstream the three transforms it uses; torchvision has no CPU wheel to match."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision"):
        return
    transforms = types.ModuleType("torchvision.transforms")
    transforms.ToTensor, transforms.Normalize, transforms.CenterCrop = _ToTensor, _Normalize, _Crop
    package = types.ModuleType("torchvision")
    package.transforms = transforms
    sys.modules["torchvision"], sys.modules["torchvision.transforms"] = package, transforms


class _ToTensor:
    def __call__(self, image):
        array = np.array(image, copy=True)
        return torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div(255)


class _Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = (torch.tensor(x)[:, None, None] for x in (mean, std))

    def __call__(self, x):
        return x.clone().sub_(self.mean).div_(self.std)


class _Crop:
    def __init__(self, size):
        self.size = size

    def __call__(self, x):
        (h, w), (H, W) = self.size, x.shape[-2:]
        top, left = int(round((H - h) / 2.0)), int(round((W - w) / 2.0))
        return x[..., top : top + h, left : left + w]


def stub_exporters() -> None:
    """Stand in, where they are not installed, for packages that only upstream's exporters use."""
    for module in ("moviepy.editor", "pycolmap"):
        package = module.partition(".")[0]
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[module] = types.ModuleType(module)


def import_upstream():
    """The `depth_anything_3` package, quiet."""
    stub_torchvision()
    stub_exporters()
    import depth_anything_3.cfg as cfg
    from depth_anything_3.utils.logger import logger

    logger.level = -1  # its scale: higher says more
    return cfg


def build(name: str, dim: int | None = None, head: HeadConfig | None = None) -> nn.Module:
    """Upstream's network of a preset; with `dim` and `head`, at reduced width."""
    cfg = import_upstream()
    from depth_anything_3.registry import MODEL_REGISTRY

    config = cfg.load_config(MODEL_REGISTRY[name])
    if dim is None:
        return cfg.create_object(config).eval()
    for part in (config.anyview, config.metric) if "anyview" in config else (config,):
        _shrink(part, dim, head)
    with _narrow_transformers(dim):
        return cfg.create_object(config).eval()


def reduced(name: str, dim: int, head: HeadConfig) -> Preset:
    """Our preset at the same reduced width: depth, layers and wiring stay."""
    return _reduce(find_preset(name), dim, head)


def _reduce(preset: Preset, dim: int, head: HeadConfig) -> Preset:
    backbone = replace(preset.backbone, dim=dim, heads=dim // 64)
    metric = preset.metric_branch and _reduce(preset.metric_branch, dim, head)
    return replace(preset, backbone=backbone, head=head, metric_branch=metric)


def _shrink(config, dim: int, head: HeadConfig) -> None:
    width = 2 * dim if config.net.cat_token else dim
    for part in ("head", "gs_head"):
        if part in config:
            config[part].dim_in = width
            config[part].features = head.features
            config[part].out_channels = list(head.out_channels)
    if "cam_enc" in config:
        config.cam_enc.dim_out, config.cam_dec.dim_in = dim, width


class _narrow_transformers:
    """While active, upstream's transformer factories build this width instead of their own."""

    def __init__(self, dim: int):
        self.dim = dim

    def __enter__(self):
        from depth_anything_3.model.dinov2 import dinov2
        from depth_anything_3.model.dinov2.vision_transformer import DinoVisionTransformer

        self.module = dinov2
        self.saved = {n: getattr(dinov2, n) for n in ("vit_large", "vit_giant2")}
        for factory, depth in (("vit_large", 24), ("vit_giant2", 40)):

            def narrow(depth=depth, **kwargs):
                return DinoVisionTransformer(
                    embed_dim=self.dim, depth=depth, num_heads=self.dim // 64, **kwargs
                )

            setattr(dinov2, factory, narrow)

    def __exit__(self, *_):
        for name, factory in self.saved.items():
            setattr(self.module, name, factory)


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a value that lets differences show and keeps maps in range."""
    generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
    for name, p in network.named_parameters():
        noise = torch.randn(p.shape, generator=generator, device=p.device)
        if name.endswith("gamma"):
            p.data = 0.3 + 0.05 * noise
        elif "norm" in name and name.endswith("weight") or name.endswith("aux.0.2.weight"):
            p.data = 1 + 0.1 * noise
        elif name.endswith("fc_fov.0.bias"):
            p.data = 1 + 0.1 * noise  # a field of view of about one radian
        elif p.ndim <= 1:
            p.data = 0.05 * noise
        elif name.endswith(("pos_embed", "cls_token", "camera_token")):
            p.data = 0.5 * noise
        else:
            p.data = noise / p[0].numel() ** 0.5
    return network


def save_official(network: nn.Module, folder: Path, model_name: str) -> None:
    """Write the network as upstream publishes it: shared tensors once, keys under `model.`."""
    folder.mkdir(parents=True, exist_ok=True)
    holder = nn.Module()
    holder.model = network
    save_model(holder, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(f'{{"model_name": "{model_name}"}}')


@torch.inference_mode()
def run(
    network, images, cameras=None, *, reference="saddle_balanced", layers=(), ray=False, gs=False
):
    """Upstream's forward pass in fp32."""
    extrinsics, intrinsics = (None, None) if cameras is None else (cameras.T_cam_ref, cameras.K)
    torch.manual_seed(0)
    return network(images, extrinsics, intrinsics, list(layers), gs, ray, reference)


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference over the largest value; shapes must agree."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} is not {tuple(theirs.shape)}"
    assert torch.isfinite(theirs).all()
    return float((ours - theirs).abs().max() / theirs.abs().max())


def solve_in_double() -> None:
    """Run upstream's homography solver in fp64.

    In fp32 its singular vectors are off by up to 1e-3 on ill-conditioned rays, more than
    the difference between any two correct implementations.
    """
    import_upstream()
    from depth_anything_3.utils import ray_utils

    def in_double(solver):
        def solve(*args):
            return solver(*(a.double() for a in args)).float()

        return solve

    for name in ("", "_batch"):
        name = f"find_homography_least_squares_weighted_torch{name}"
        solver = getattr(ray_utils, name)
        if solver.__name__ != "solve":
            setattr(ray_utils, name, in_double(solver))


def compare(theirs, ours, *, ray: bool = False) -> dict[str, float]:
    """Relative error of every map and matrix that upstream returns."""
    pairs = {"depth": (ours.depth, theirs.depth)}
    if "depth_conf" in theirs:
        pairs["conf"] = (ours.conf, theirs.depth_conf)
        pairs["extrinsics"] = (ours.T_cam_ref, theirs.extrinsics[..., :3, :])
        pairs["intrinsics"] = (ours.K, theirs.intrinsics)
    elif "sky" in theirs:
        pairs["sky"] = (ours.sky, theirs.sky)
    for name, feature in theirs.get("aux", {}).items():
        pairs[name] = (ours.aux[name], feature)
    if "gaussians" in theirs:
        # Upstream leaves the Gaussians of the nested model in network units.
        metres = theirs.get("scale_factor", 1.0)
        for name in ("means", "scales", "rotations", "harmonics", "opacities"):
            unit = metres if name in ("means", "scales") else 1.0
            pairs[name] = (getattr(ours.gaussians, name), getattr(theirs.gaussians, name) * unit)
    return {name: relative_error(*pair) for name, pair in pairs.items()}


def random_cameras(views: int, size: tuple[int, int], seed: int = 0) -> Cameras:
    """Cameras looking roughly one way, view 0 at the origin."""
    generator = torch.Generator().manual_seed(seed)
    quat = torch.randn(1, views, 4, generator=generator) * 0.2
    quat[..., 3] = 1
    T = torch.eye(4).repeat(1, views, 1, 1)
    T[..., :3, :3] = rotation_matrix(quat)
    T[..., :3, 3] = torch.randn(1, views, 3, generator=generator)
    K = torch.tensor([[100.0, 0, size[1] / 2], [0, 105.0, size[0] / 2], [0, 0, 1]])
    return Cameras(T @ torch.linalg.inv(T[:, :1]), K.repeat(1, views, 1, 1))
