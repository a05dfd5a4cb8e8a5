"""feat_vis: the network's features as colors, ``feat_vis/feat_layer_X/`` and ``.mp4``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from da3_ros.core.export.contents import features_of
from da3_ros.core.export.depth_vis import write_jpeg
from da3_ros.core.export.folder import ExportError
from da3_ros.core.files.video import write_video
from da3_ros.core.prediction import Prediction
from da3_ros.core.user_input.options import Number, Options, option
from da3_ros.net.presets import Preset

CLIP_PERCENT = 10.0
"""Share of the features that each end of a color channel saturates."""

FPS = Number(0.1, 1000, "frames/s")


@dataclass(frozen=True, eq=False)
class FeatVisOptions(Options):
    """Options of the format feat_vis."""

    fps: float = option(15.0, FPS, "speed of the video")


def check_layers(layers: Sequence[int], preset: Preset) -> None:
    """Raise `ExportError` for a block that a network of that preset does not have."""
    depth = preset.backbone.depth
    if wrong := [layer for layer in layers if layer >= depth]:
        raise ExportError(
            f"export_feat_layers holds {wrong[0]}, must be integers from 0 to {depth - 1} for "
            f"{preset.name}"
        )


def export_feat_vis(prediction: Prediction, folder: Path, options: FeatVisOptions) -> list[Path]:
    """Per layer: each image beside its features, as JPEG files and as a video.

    Red, green and blue are the three main components of the features of all views
    together, so one color means one thing throughout.
    """
    paths = []
    for name, features in features_of(prediction).items():
        frames = _side_by_side(prediction.processed_images, principal_colors(features))
        target = folder / "feat_vis" / name
        paths += [write_jpeg(target / f"{i:06d}.jpg", frame) for i, frame in enumerate(frames)]
        paths.append(write_video(target.with_suffix(".mp4"), frames, fps=options.fps))
    return paths


def _side_by_side(images: np.ndarray, colors: np.ndarray) -> list[np.ndarray]:
    size = images.shape[2], images.shape[1]
    enlarged = [cv2.resize(c, size, interpolation=cv2.INTER_NEAREST) for c in colors]
    return [np.concatenate(pair, axis=1) for pair in zip(images, enlarged)]


def principal_colors(features: np.ndarray) -> np.ndarray:
    """(N, h, w, 3) uint8 of features (N, h, w, C): joint PCA, clipped at two percentiles."""
    tokens = torch.from_numpy(np.nan_to_num(np.float32(features))).flatten(0, 2)
    tokens = tokens - tokens.mean(dim=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, _, axes = torch.pca_lowrank(tokens, q=min(16, *tokens.shape), center=False, niter=4)
    axes = torch.nn.functional.pad(axes, (0, max(0, 3 - axes.shape[1])))[:, :3]
    # A component's sign is arbitrary: fix it, so that equal features give equal pictures.
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    components = (tokens @ (axes * largest.sign())).numpy()
    low, high = np.percentile(components, [CLIP_PERCENT, 100 - CLIP_PERCENT], axis=0)
    scaled = np.clip((components - low) / np.maximum(high - low, 1e-4), 0, 1)
    return (scaled * 255).astype(np.uint8).reshape(*features.shape[:3], 3)
