"""Exports of a running pipeline: the newest window, or the scene, in the world frame in metres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from da3_ros.core.config import ExportConfig
from da3_ros.core.export import (
    FORMATS,
    NEED_GAUSSIANS,
    ExportError,
    ExportPlan,
    check_exports_folder,
    plan_exports,
    write,
)
from da3_ros.core.export.folder import check_directory
from da3_ros.core.prediction import Prediction, WindowDepth
from da3_ros.core.runner import Runner
from da3_ros.core.scene.mesh import MeshError
from da3_ros.core.scene.scene import Scene
from da3_ros.core.user_input.options import ListOf, Whole
from da3_ros.net.presets import Preset

MESH_FORMATS = {"mesh_ply": ".ply", "mesh_glb": ".glb"}
"""Formats made of the scene's mesh, and the suffix of their file `mesh`."""

NEED_NETWORK = (*NEED_GAUSSIANS, "feat_vis")
"""Formats that hold more than depth: the network looks at the window once more."""


def split_all_formats(formats: str) -> tuple[list[str], list[str]]:
    """Window formats and mesh formats of names joined with ``-``; `ExportError` if unknown."""
    names = list(dict.fromkeys(formats.split("-")))
    known = (*FORMATS, *MESH_FORMATS)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ExportError(
            f"export format '{unknown[0]}' is unknown; use {', '.join(known)}, joined with '-'"
        )
    return [n for n in names if n in FORMATS], [n for n in names if n in MESH_FORMATS]


def check_export(config: ExportConfig) -> None:
    """Raise `ExportError` in one sentence for parameters with which every export would fail."""
    check_directory(config.directory)
    try:
        split_all_formats(config.formats)
    except ExportError as error:
        raise ExportError(f"export.formats is '{config.formats}': {error}") from error


def export_running(
    formats: str,
    folder: Path,
    options: dict,
    *,
    newest: WindowDepth | None,
    scene: Scene | None,
    runner: Runner,
    metadata: dict,
) -> list[Path]:
    """Write `formats` below `folder`; returns the files.

    newest: the result to show. scene: for the mesh formats. runner: for what the network has
    to look at once more. metadata: added to glb files (frame, stamp, scale). Raises
    `ExportError` before anything is written.
    """
    window_formats, mesh_formats = split_all_formats(formats)
    if mesh_formats and scene is None:
        raise ExportError(f"{mesh_formats[0]} needs the scene: set scene.enabled, or load a mesh")
    layers = options.get("export_feat_layers", ())
    options = {name: value for name, value in options.items() if name != "export_feat_layers"}
    defaults = {"glb": {"frame": "world", "metadata": metadata, "export_depth_vis": False}}
    plan = plan_exports(window_formats, options, defaults)
    check_exports_folder(folder, plan)
    paths = []
    if plan:
        paths += write(_world_prediction(plan, newest, layers, runner), plan, folder)
    return paths + [_export_mesh(name, folder, scene) for name in mesh_formats]


def window_metadata(newest: WindowDepth | None, frame_id: str) -> dict:
    """What a glb file says of the window it shows; frame_id: the world frame."""
    if newest is None:
        return {}
    return {
        "frame_id": frame_id,
        "stamp_ns": newest.window.stamp_ns,
        "is_metric": newest.is_metric,
        "metres_per_network_unit": float(newest.scale.scale),
    }


def _world_prediction(
    plan: ExportPlan, newest: WindowDepth | None, layers: Sequence[int], runner: Runner
) -> Prediction:
    if newest is None:
        raise ExportError("there is nothing to export yet: no window has been processed")
    if newest.is_metric and not np.isfinite(newest.scale.scale):
        raise ExportError("the scale is not known yet: move the camera, then export")
    layers = _checked_layers(layers, plan, runner.network.preset)
    if not layers and not any(name in NEED_NETWORK for name in plan):
        return newest.to_prediction()
    if "gs_video" in plan:
        plan["gs_video"].check_views(len(newest.window.frames))
    gaussians = [name for name in NEED_GAUSSIANS if name in plan]
    if gaussians and not runner.network.preset.gaussians:
        raise ExportError(
            f"export format '{gaussians[0]}' needs Gaussians, but {runner.network.preset.name} has "
            "no Gaussian head: set model.name to DA3-GIANT or DA3NESTED-GIANT-LARGE"
        )
    return runner.look_again(newest, gaussians=bool(gaussians), layers=layers)


def _checked_layers(layers: Sequence[int], plan: ExportPlan, preset: Preset) -> tuple[int, ...]:
    layers = ListOf(Whole(0)).check("export_feat_layers", layers)
    depth = preset.backbone.depth
    if wrong := [layer for layer in layers if layer >= depth]:
        raise ExportError(
            f"export_feat_layers holds {wrong[0]}, must be integers from 0 to {depth - 1} for "
            f"{preset.name}"
        )
    if "feat_vis" in plan and not layers:
        raise ExportError("export format 'feat_vis' needs the option export_feat_layers")
    return layers


def _export_mesh(name: str, folder: Path, scene: Scene) -> Path:
    path = folder / f"mesh{MESH_FORMATS[name]}"
    try:
        mesh = scene.build_mesh() if scene.frames else scene.mesh()
    except MeshError as error:
        raise ExportError(str(error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    save = mesh.save_ply if name == "mesh_ply" else mesh.save_glb
    save(path)
    return path
