"""gs_ply: the Gaussians in the layout of 3D Gaussian Splatting, ``gs_ply/0000.ply``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from da3_ros.core.export.points import world_origin
from da3_ros.core.files import gaussian_columns
from da3_ros.core.files.ply import write_ply
from da3_ros.core.gaussians import around, unbatched
from da3_ros.core.prediction import Prediction
from da3_ros.core.user_input.options import Flag, Maybe, Number, Options, Whole, option
from da3_ros.net.gaussians import Gaussians
from da3_ros.net.sky import SKY_SCORE

BORDER = 8 / 256
"""Share of the image along each edge whose Gaussians are of low quality."""

REST = 15
"""f_rest columns per color: degree three, which all viewers read. Lower degrees end in zeros."""

BLOCK = 8192
"""Gaussians written at a time: a block and its columns fit the processor's cache."""


@dataclass(frozen=True, eq=False)
class GsPlyOptions(Options):
    """Options of the format gs_ply."""

    gs_views_interval: int | None = option(
        1, Maybe(Whole(1)), "every n-th view's Gaussians; None: about twelve views"
    )
    save_sh_dc_only: bool = option(False, Flag(), "one color per Gaussian: no f_rest columns")
    prune_border_gs: bool = option(True, Flag(), "leave out the images' borders")
    prune_by_depth_percent: float = option(
        0.9, Number(0, 1), "share of each view's Gaussians that stays, the nearest first"
    )
    filter_sky: bool = option(True, Flag(), "leave out sky, where the network tells it")


def export_gs_ply(prediction: Prediction, folder: Path, options: GsPlyOptions) -> list[Path]:
    """Write the Gaussians.

    Columns: position, normal (zero), f_dc, 45 of f_rest (all of red, then green, then blue),
    opacity as logit, scale as logarithm, rotation wxyz. All are float32, which viewers demand: in
    a world far from its origin (UTM, say) positions are around an origin of whole units, which a
    second comment of the header holds.
    """
    origin = world_origin(prediction)
    columns = _to_numpy(around(unbatched(prediction.gaussians), origin))
    kept = np.isfinite(columns["means"]).all(axis=1) & _pixels(prediction, options)
    rest = 0 if options.save_sh_dc_only else REST
    unit = "metre" if prediction.is_metric else "unit of the model"
    comments = [f"world frame, {unit}"]
    if origin.any():
        comments.append("origin {:.0f} {:.0f} {:.0f}, to be added to x y z".format(*origin))
    path = write_ply(
        folder / "gs_ply" / "0000.ply",
        np.dtype([(name, "<f4") for name in gaussian_columns.columns(rest)]),
        int(kept.sum()),
        _blocks(columns, kept, rest),
        *comments,
    )
    return [path]


def _to_numpy(gaussians: Gaussians) -> dict[str, np.ndarray]:
    return {name: values.float().cpu().numpy() for name, values in vars(gaussians).items()}


def _pixels(prediction: Prediction, options: GsPlyOptions) -> np.ndarray:
    """(N*H*W,) bool: the Gaussians to keep; one per pixel, view after view."""
    count, height, width = prediction.depth.shape
    interval = options.gs_views_interval or max(count // 12, 1)
    border = BORDER if options.prune_border_gs else 0.0
    kept = np.zeros((count, height, width), bool)
    top, left = int(border * height), int(border * width)
    kept[::interval, top : height - top, left : width - left] = True
    share = options.prune_by_depth_percent
    if share < 1:
        far = np.nanquantile(prediction.depth.reshape(count, -1), share, axis=1)
        kept &= prediction.depth <= far[:, None, None]
    if options.filter_sky and prediction.sky is not None:
        kept &= prediction.sky < SKY_SCORE
    return kept.reshape(-1)


def _blocks(columns: dict[str, np.ndarray], kept: np.ndarray, rest: int) -> Iterator[np.ndarray]:
    """Rows of the table, block after block: (M, columns) float32.

    columns: means (G, 3), scales (G, 3), rotations (G, 4) wxyz, harmonics (G, 3, d_sh),
    opacities (G,).
    """
    rows = np.zeros((BLOCK, len(gaussian_columns.columns(rest))), "<f4")
    for start in range(0, len(kept), BLOCK):
        chosen = kept[start : start + BLOCK]
        part = {name: values[start : start + BLOCK] for name, values in columns.items()}
        if not chosen.all():
            part = {name: values[chosen] for name, values in part.items()}
        yield _fill(rows[: len(part["means"])], part, rest)


def _fill(rows: np.ndarray, part: dict[str, np.ndarray], rest: int) -> np.ndarray:
    """Everything but the normals and the degrees that there are not, which stay zero."""
    harmonics = part["harmonics"]
    degrees = min(rest, harmonics.shape[2] - 1)
    rows[:, :3], rows[:, 6:9] = part["means"], harmonics[..., 0]
    for channel in range(3):
        first = 9 + channel * rest
        rows[:, first : first + degrees] = harmonics[:, channel, 1 : 1 + degrees]
    opacity = np.clip(part["opacities"], 1e-6, 1 - 1e-6)
    rows[:, -8] = np.log(opacity / (1 - opacity))
    rows[:, -7:-4] = np.log(np.maximum(part["scales"], 1e-10))
    rows[:, -4:] = part["rotations"]
    return rows
