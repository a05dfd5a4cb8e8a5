"""gs_video: a flight through the Gaussians, ``gs_video/0000_<trj_mode>.mp4``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from da3_ros.core import colormap, poses
from da3_ros.core.export import camera_paths, splat
from da3_ros.core.export.camera_paths import CameraPath
from da3_ros.core.export.points import world_origin
from da3_ros.core.files.video import QUALITIES, write_video
from da3_ros.core.gaussians import around, unbatched
from da3_ros.core.prediction import Prediction
from da3_ros.core.scale import align
from da3_ros.core.user_input.cameras import Extrinsics, Intrinsics
from da3_ros.core.user_input.options import (
    FileName,
    Flag,
    ImageSize,
    Maybe,
    OneOf,
    OptionError,
    Options,
    Whole,
    option,
)

COLOR_MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
"""gsplat's render modes: colors, depth as a weighted sum (D) or as the mean (ED)."""

VIS_DEPTH = ("hcat", "vcat", "none")
GAP = 8
"""Pixels between color and depth."""

LARGEST_SIDE = 8000
"""Of a picture, px: H.264 ends at 16384, and two may stand side by side."""


@dataclass(frozen=True, eq=False)
class GsVideoOptions(Options):
    """Options of the format gs_video."""

    extrinsics: np.ndarray | None = option(
        None, Maybe(Extrinsics()), "cameras of the film; by default the prediction's own"
    )
    intrinsics: np.ndarray | None = option(
        None, Maybe(Intrinsics()), "of these cameras, at out_image_hw; by default the first view's"
    )
    out_image_hw: tuple[int, int] | None = option(
        None, Maybe(ImageSize(LARGEST_SIDE)), "size of the film; by default that of the depth"
    )
    chunk_size: int | None = option(4, Maybe(Whole(1)), "frames that gsplat renders at once")
    trj_mode: str | None = option(
        None,
        Maybe(OneOf(tuple(camera_paths.MODES))),
        "way of the camera; None: `original` for given extrinsics, else `extend`",
    )
    color_mode: str = option(
        "RGB+ED", OneOf(COLOR_MODES), "what is shown: colors, depth as sum (D) or mean (ED)"
    )
    vis_depth: str | None = option(
        "hcat", Maybe(OneOf(VIS_DEPTH)), "depth beside or below the colors, or left out"
    )
    enable_tqdm: bool = option(True, Flag(), "a progress bar")
    output_name: str | None = option(
        None,
        Maybe(FileName()),
        "name of the file without .mp4; by default `0000_` and the trj_mode",
    )
    video_quality: str = option("high", OneOf(tuple(QUALITIES)), "of the H.264 encoder")

    @property
    def mode(self) -> str:
        """The trj_mode in use."""
        return self.trj_mode or ("extend" if self.extrinsics is None else "original")

    def check_views(self, count: int) -> None:
        """`OptionError` if a prediction of `count` views does not go with the cameras and path."""
        count = count if self.extrinsics is None else len(self.extrinsics)
        if self.intrinsics is not None and len(self.intrinsics) != count:
            other = "there are" if self.extrinsics is None else "render_exts"
            raise OptionError(
                f"render_ixts has {len(self.intrinsics)} cameras, {other} {count}; "
                "they must be as many"
            )
        if "interpolate" in self.mode and count < 2:
            raise OptionError(
                f"trj_mode is '{self.mode}', a path between views, which needs at least 2 of "
                "them; use wander or dolly_zoom"
            )


def export_gs_video(prediction: Prediction, folder: Path, options: GsVideoOptions) -> list[Path]:
    """Render the Gaussians along a camera path into an mp4 at 24 frames/s."""
    options.check_views(len(prediction.depth))
    size = options.out_image_hw or prediction.depth.shape[1:]
    origin = world_origin(prediction)  # what is drawn is float32
    views = _views(prediction, options.extrinsics, options.intrinsics, size, origin)
    known = prediction.depth[np.isfinite(prediction.depth) & (prediction.depth > 0)]
    focus = float(np.median(known)) if known.size else 1.0
    path = camera_paths.follow(views, options.mode, focus)
    near, far = colormap.depth_range(prediction.depth)
    chunk_size = min(options.chunk_size or len(path), len(path))
    gaussians = around(unbatched(prediction.gaussians), origin)
    pictures = _render(gaussians, path, size, chunk_size)
    bar = tqdm(pictures, "gs_video", len(path), disable=not options.enable_tqdm, leave=False)
    frames = (_frame(p, options.color_mode, options.vis_depth, near, far) for p in bar)
    target = folder / "gs_video" / f"{options.output_name or f'0000_{options.mode}'}.mp4"
    quality = options.video_quality
    return [write_video(target, frames, fps=camera_paths.FPS, quality=quality)]


def _views(prediction: Prediction, extrinsics, intrinsics, size, origin) -> CameraPath:
    given = extrinsics is not None
    extrinsics = np.asarray(extrinsics) if given else prediction.extrinsics
    if intrinsics is None:
        # One lens for all: given cameras need not be as many as the prediction's.
        intrinsics = _resize(prediction.intrinsics, prediction.depth.shape[1:], size)
        intrinsics = intrinsics[[0] * len(extrinsics)] if given else intrinsics
    T_world_cam = align.to_camera_poses(extrinsics)
    T_world_cam[:, :3, 3] -= origin
    return CameraPath(T_world_cam, np.float64(intrinsics))


def _resize(K: np.ndarray, before: tuple[int, int], after: tuple[int, int]) -> np.ndarray:
    return np.float64(K) * np.array([after[1] / before[1], after[0] / before[0], 1])[:, None]


def _render(gaussians, path: CameraPath, size, chunk_size: int) -> Iterator[splat.Picture]:
    """Frame after frame; gsplat renders a chunk at a time where it can."""
    device = gaussians.means.device
    T_cam_world = torch.from_numpy(poses.inverse(path.T_world_cam)).float().to(device)
    K = torch.from_numpy(path.K).float().to(device)
    through_gsplat = device.type == "cuda" and splat.has_gsplat()
    for T_chunk, K_chunk in zip(T_cam_world.split(chunk_size), K.split(chunk_size)):
        if through_gsplat:
            yield from splat.render_gsplat(gaussians, T_chunk, K_chunk, *size)
        else:
            yield from (splat.render(gaussians, T, K, *size) for T, K in zip(T_chunk, K_chunk))


def _frame(picture: splat.Picture, color_mode, vis_depth, near, far) -> np.ndarray:
    """One picture of the film: (H', W', 3) uint8."""
    colors, kind = color_mode.startswith("RGB"), color_mode.split("+")[-1]
    if colors and (kind == "RGB" or vis_depth in (None, "none")):
        return _colors(picture)
    depth = picture.expected_depth if kind == "ED" else picture.depth
    depth = colormap.color_depth(depth.cpu().numpy(), near, far)
    if not colors:
        return depth
    rgb, axis = _colors(picture), 1 if vis_depth == "hcat" else 0
    gap = np.full_like(rgb, 255)[:GAP] if axis == 0 else np.full_like(rgb, 255)[:, :GAP]
    return np.concatenate([rgb, gap, depth], axis)


def _colors(picture: splat.Picture) -> np.ndarray:
    return (picture.rgb.clamp(0, 1) * 255).byte().cpu().numpy()
