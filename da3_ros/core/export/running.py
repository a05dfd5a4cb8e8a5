"""Exports of a running pipeline: the newest window, or the scene, in the world frame in metres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from da3_ros.core import poses
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
from da3_ros.core.scene.mesh import MeshError
from da3_ros.core.scene.scene import Scene
from da3_ros.net.presets import Preset

MESH_FORMATS = {"mesh_ply": ".ply", "mesh_glb": ".glb"}
"""Formats made of the scene's mesh, and the suffix of their file `mesh`."""

NEED_NETWORK = (*NEED_GAUSSIANS, "feat_vis")
"""Formats that hold more than depth: the network looks at the window once more."""

Infer = Callable[..., Prediction]
"""`DepthAnything3.inference` of the network in use."""


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


def check_network(formats: str, preset: Preset) -> None:
    """Raise `ExportError` for window formats that a network of that preset cannot fill."""
    names, _ = split_all_formats(formats)
    lacking = [name for name in names if name in NEED_GAUSSIANS]
    if lacking and not preset.gaussians:
        raise ExportError(
            f"{lacking[0]} needs 3D Gaussians, and {preset.name} has no Gaussian head: set "
            "model.name to depth-anything/DA3-GIANT-1.1 or DA3NESTED-GIANT-LARGE-1.1 (not for "
            "commercial use)"
        )


def export_running(
    formats: str,
    folder: Path,
    options: dict,
    *,
    newest: WindowDepth | None,
    scene: Scene | None,
    infer: Infer,
    metadata: dict,
) -> list[Path]:
    """Write `formats` below `folder`; returns the files.

    newest: the last result of the pipeline. scene: for the mesh formats. metadata: added
    to glb files (frame, stamp, scale). Raises `ExportError` before anything is written.
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
        paths += write(_world_prediction(plan, newest, layers, infer), plan, folder)
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
    plan: ExportPlan, newest: WindowDepth | None, layers: Sequence[int], infer: Infer
) -> Prediction:
    if newest is None:
        raise ExportError("there is nothing to export yet: no window has been processed")
    if newest.is_metric and not np.isfinite(newest.scale.scale):
        raise ExportError("the scale is not known yet: move the camera, then export")
    if not any(name in NEED_NETWORK for name in plan):
        return newest.to_prediction()
    frames = newest.window.frames
    T_world_cam = newest.window.T_world_cam
    posed = T_world_cam is not None
    return infer(
        [frame.image for frame in frames],
        extrinsics=poses.inverse(T_world_cam) if posed else None,
        intrinsics=np.stack([frame.camera.K for frame in frames]) if posed else None,
        infer_gs=any(name in NEED_GAUSSIANS for name in plan),
        export_feat_layers=layers,
    )


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
