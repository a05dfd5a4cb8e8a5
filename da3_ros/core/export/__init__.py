"""Write a prediction to files: one module per format, complete or not at all."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

from da3_ros.core.export.colmap import export_colmap
from da3_ros.core.export.depth_vis import export_depth_vis
from da3_ros.core.export.feat_vis import export_feat_vis
from da3_ros.core.export.glb import export_glb
from da3_ros.core.export.gs_ply import export_gs_ply
from da3_ros.core.export.gs_video import export_gs_video
from da3_ros.core.export.npz import export_mini_npz, export_npz
from da3_ros.core.export.ply import export_ply
from da3_ros.core.prediction import Prediction

FORMATS: dict[str, Callable[..., list[Path]]] = {
    "mini_npz": export_mini_npz,
    "npz": export_npz,
    "glb": export_glb,
    "ply": export_ply,
    "colmap": export_colmap,
    "gs_ply": export_gs_ply,
    "gs_video": export_gs_video,
    "feat_vis": export_feat_vis,
    "depth_vis": export_depth_vis,
}
"""Name -> function of (prediction, folder, *, options)."""

NEED_CAMERAS = ("glb", "ply", "colmap", "gs_video")
NEED_GAUSSIANS = ("gs_ply", "gs_video")
NEED_IMAGES = ("npz", "glb", "ply", "colmap", "feat_vis", "depth_vis")


class ExportError(ValueError):
    """A format or option that does not exist, or a prediction without what a format needs."""


def export(
    prediction: Prediction, formats: str, folder: str | Path, options: dict | None = None
) -> list[Path]:
    """Write `formats` (names joined with ``-``) below `folder`; returns the files written.

    options: ``{format: {option: value}}``; an option at the top level goes to every
    requested format that has it. Raises `ExportError` before anything is written when a
    name is unknown or the prediction lacks something.
    """
    names = split_formats(formats)
    chosen = options_by_format(names, options or {})
    for name in names:
        _check_contents(name, prediction)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [p for name in names for p in FORMATS[name](prediction, folder, **chosen[name])]
    return list(dict.fromkeys(paths))


def split_formats(formats: str) -> list[str]:
    """Format names of ``glb-npz``, each once; `ExportError` when one is unknown."""
    names = list(dict.fromkeys(formats.split("-")))
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise ExportError(
            f"export format '{unknown[0]}' is unknown; use {', '.join(FORMATS)}, joined with '-'"
        )
    return names


def options_by_format(names: list[str], options: dict) -> dict[str, dict]:
    """Options sorted to the formats they go to; `ExportError` for one that nobody has."""
    known = {name: _option_names(name) for name in names}
    chosen: dict[str, dict] = {name: {} for name in names}
    for key, value in options.items():
        if key in FORMATS:
            continue
        takers = [name for name in names if key in known[name]]
        if not takers:
            raise ExportError(f"option '{key}' is unknown to {', '.join(names)}{_list(known)}")
        for name in takers:
            chosen[name][key] = value
    for name in names:
        own = options.get(name) or {}
        if not isinstance(own, dict):
            raise ExportError(f"options of {name} must be a dictionary, got {own!r}")
        unknown = [key for key in own if key not in known[name]]
        if unknown:
            raise ExportError(f"option '{unknown[0]}' is unknown to {name}{_list(known)}")
        chosen[name] |= own
    return chosen


def _option_names(name: str) -> list[str]:
    parameters = inspect.signature(FORMATS[name]).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def _list(known: dict[str, list[str]]) -> str:
    return "".join(f"; {name} has {', '.join(o) or 'no options'}" for name, o in known.items())


def _check_contents(name: str, prediction: Prediction) -> None:
    if name in NEED_CAMERAS and prediction.extrinsics is None:
        raise ExportError(
            f"export format '{name}' needs camera poses, which one-view models do not predict"
        )
    if name in NEED_IMAGES and prediction.processed_images is None:
        raise ExportError(f"export format '{name}' needs the prediction's processed_images")
    if name in NEED_GAUSSIANS and prediction.gaussians is None:
        raise ExportError(
            f"export format '{name}' needs Gaussians: set infer_gs=True, with da3-giant or "
            "da3nested-giant-large"
        )
    if name == "feat_vis" and not any(k.startswith("feat_layer_") for k in prediction.aux):
        raise ExportError(
            "export format 'feat_vis' needs features: name layers in export_feat_layers"
        )
