"""gs_video: a flight through the Gaussians, ``gs_video/0000_<trj_mode>.mp4``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from da3_ros.core import poses
from da3_ros.core.export import camera_paths, colormap, splat
from da3_ros.core.export.camera_paths import CameraPath
from da3_ros.core.export.gaussians import unbatched
from da3_ros.core.files.video import QUALITIES, write_video
from da3_ros.core.prediction import Prediction
from da3_ros.core.scale import align

COLOR_MODES = ("RGB+ED", "RGB+D")
VIS_DEPTH = ("hcat", "vcat", "none", None)
GAP = 8
"""Pixels between colour and depth."""


def export_gs_video(
    prediction: Prediction,
    folder: Path,
    *,
    extrinsics: np.ndarray | None = None,
    intrinsics: np.ndarray | None = None,
    out_image_hw: tuple[int, int] | None = None,
    chunk_size: int = 4,
    trj_mode: str | None = None,
    color_mode: str = "RGB+ED",
    vis_depth: str | None = "hcat",
    enable_tqdm: bool = True,
    output_name: str | None = None,
    video_quality: str = "high",
) -> list[Path]:
    """Render the Gaussians along a camera path into an mp4 at 24 frames/s.

    The path starts from `extrinsics` (F, 3|4, 4) world-to-camera and `intrinsics`
    (F, 3, 3) px at `out_image_hw` (height, width); by default the prediction's own.
    trj_mode: see `camera_paths.MODES`; by default `original` for given extrinsics, else
    `extend`. color_mode: depth as mean (ED) or as weighted sum (D). vis_depth puts the
    depth beside (hcat) or below (vcat) the colours. chunk_size: frames rendered at once.
    """
    _check(color_mode, vis_depth, video_quality, chunk_size, output_name)
    trj_mode = trj_mode or ("extend" if extrinsics is None else "original")
    size = out_image_hw or prediction.depth.shape[1:]
    views = _views(prediction, extrinsics, intrinsics, size)
    known = prediction.depth[np.isfinite(prediction.depth) & (prediction.depth > 0)]
    focus = float(np.median(known)) if known.size else 1.0
    path = camera_paths.follow(views, trj_mode, focus)
    near, far = colormap.depth_range(prediction.depth)
    pictures = _render(unbatched(prediction.gaussians), path, size, chunk_size)
    pictures = tqdm(pictures, "gs_video", len(path), disable=not enable_tqdm, leave=False)
    frames = (_frame(p, color_mode, vis_depth, near, far) for p in pictures)
    name = output_name or f"0000_{trj_mode}"
    target = folder / "gs_video" / f"{name}.mp4"
    return [write_video(target, frames, fps=camera_paths.FPS, quality=video_quality)]


def _check(color_mode, vis_depth, video_quality, chunk_size, output_name) -> None:
    choices = {
        "color_mode": (color_mode, COLOR_MODES),
        "vis_depth": (vis_depth, VIS_DEPTH),
        "video_quality": (video_quality, tuple(QUALITIES)),
    }
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}, must be one of {allowed}")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}, must be at least 1")
    if output_name is not None and Path(output_name).name != output_name:
        raise ValueError(f"output_name is '{output_name}', must be a file name without folders")


def _views(prediction: Prediction, extrinsics, intrinsics, size) -> CameraPath:
    given = extrinsics is not None
    extrinsics = np.asarray(extrinsics) if given else prediction.extrinsics
    if intrinsics is None:
        # One lens for all: given cameras need not be as many as the prediction's.
        intrinsics = _resize(prediction.intrinsics, prediction.depth.shape[1:], size)
        intrinsics = intrinsics[[0] * len(extrinsics)] if given else intrinsics
    intrinsics = np.float64(intrinsics)
    if len(intrinsics) != len(extrinsics):
        raise ValueError(
            f"render_ixts has {len(intrinsics)} cameras, render_exts {len(extrinsics)}; "
            "they must be as many"
        )
    return CameraPath(align.to_camera_poses(extrinsics), intrinsics)


def _resize(K: np.ndarray, before: tuple[int, int], after: tuple[int, int]) -> np.ndarray:
    return np.float64(K) * np.array([after[1] / before[1], after[0] / before[0], 1])[:, None]


def _render(gaussians, path: CameraPath, size, chunk_size: int | None) -> Iterator[splat.Picture]:
    """Frame after frame; gsplat renders a chunk at a time where it can."""
    device = gaussians.means.device
    T_cam_world = torch.from_numpy(poses.inverse(path.T_world_cam)).float().to(device)
    K = torch.from_numpy(path.K).float().to(device)
    chunks = zip(T_cam_world.split(chunk_size or len(path)), K.split(chunk_size or len(path)))
    for T_chunk, K_chunk in chunks:
        if device.type == "cuda" and find_spec("gsplat"):
            yield from splat.render_gsplat(gaussians, T_chunk, K_chunk, *size)
        else:
            yield from (splat.render(gaussians, T, K, *size) for T, K in zip(T_chunk, K_chunk))


def _frame(picture: splat.Picture, color_mode, vis_depth, near, far) -> np.ndarray:
    rgb = (picture.rgb.clamp(0, 1) * 255).byte().cpu().numpy()
    if vis_depth in (None, "none"):
        return rgb
    depth = picture.expected_depth if color_mode == "RGB+ED" else picture.depth
    axis = 1 if vis_depth == "hcat" else 0
    gap = np.full_like(rgb, 255)[:GAP] if axis == 0 else np.full_like(rgb, 255)[:, :GAP]
    return np.concatenate([rgb, gap, colormap.colour_depth(depth.cpu().numpy(), near, far)], axis)
