"""gs_ply: the Gaussians in the layout of 3D Gaussian Splatting, ``gs_ply/0000.ply``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from da3_ros.core.export.gaussians import unbatched
from da3_ros.core.files.ply import write_ply
from da3_ros.core.prediction import Prediction
from da3_ros.net.gaussians import Gaussians
from da3_ros.net.sky import SKY_SCORE

BORDER = 8 / 256
"""Share of the image along each edge whose Gaussians are of low quality."""


def export_gs_ply(
    prediction: Prediction,
    folder: Path,
    *,
    gs_views_interval: int | None = 1,
    save_sh_dc_only: bool = False,
    prune_border_gs: bool = True,
    prune_by_depth_percent: float = 0.9,
    filter_sky: bool = True,
) -> list[Path]:
    """Write the Gaussians of every `gs_views_interval`-th view (None: about twelve views).

    Left out are the image borders, the farthest share of each view above
    `prune_by_depth_percent`, and the sky. `save_sh_dc_only` keeps one colour per Gaussian.
    Columns: position, normal (zero), f_dc, f_rest (all of red, then green, then blue),
    opacity as logit, scale as logarithm, rotation wxyz.
    """
    columns = _to_numpy(unbatched(prediction.gaussians))
    kept = np.isfinite(columns["means"]).all(axis=1)
    kept &= _pixels(
        prediction,
        gs_views_interval,
        BORDER if prune_border_gs else 0.0,
        prune_by_depth_percent,
        filter_sky,
    )
    columns = {name: values[kept] for name, values in columns.items()}
    unit = "metre" if prediction.is_metric else "unit of the model"
    vertices = gaussian_vertices(columns, dc_only=save_sh_dc_only)
    return [write_ply(folder / "gs_ply" / "0000.ply", vertices, f"world frame, {unit}")]


def _to_numpy(gaussians: Gaussians) -> dict[str, np.ndarray]:
    return {name: values.float().cpu().numpy() for name, values in vars(gaussians).items()}


def _pixels(prediction, interval, border, depth_share, filter_sky) -> np.ndarray:
    """(N*H*W,) bool: the Gaussians to keep; one per pixel, view after view."""
    count, height, width = prediction.depth.shape
    interval = max(count // 12, 1) if interval is None else interval
    if interval < 1:
        raise ValueError(f"gs_views_interval is {interval}, must be at least 1, or None")
    kept = np.zeros((count, height, width), bool)
    top, left = int(border * height), int(border * width)
    kept[::interval, top : height - top, left : width - left] = True
    if depth_share < 1:
        far = np.nanquantile(prediction.depth.reshape(count, -1), depth_share, axis=1)
        kept &= prediction.depth <= far[:, None, None]
    if filter_sky and prediction.sky is not None:
        kept &= prediction.sky < SKY_SCORE
    return kept.reshape(-1)


def gaussian_vertices(columns: dict[str, np.ndarray], *, dc_only: bool) -> np.ndarray:
    """The structured array of a 3DGS PLY.

    columns: means (G, 3), scales (G, 3), rotations (G, 4) wxyz, harmonics (G, 3, d_sh),
    opacities (G,).
    """
    harmonics = columns["harmonics"]
    count = len(harmonics)
    rest = harmonics[..., 1:1] if dc_only else harmonics[..., 1:]
    opacity = np.clip(columns["opacities"].reshape(count, 1), 1e-6, 1 - 1e-6)
    parts = {
        "xyz": columns["means"],
        "n": np.zeros((count, 3), np.float32),
        "f_dc_": harmonics[..., 0],
        "f_rest_": rest.reshape(count, 3 * rest.shape[2]),
        "opacity": np.log(opacity / (1 - opacity)),
        "scale_": np.log(np.maximum(columns["scales"], 1e-10)),
        "rot_": columns["rotations"],
    }
    rows = np.concatenate(list(parts.values()), axis=1, dtype="<f4")
    names = [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(3 * rest.shape[2])),
        "opacity",
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
    ]
    return rows.view([(name, "<f4") for name in names])[:, 0]
