"""Exports of a running pipeline: the newest window, or the scene, in the world frame in metres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from da3_ros.core import poses
from da3_ros.core.export import FORMATS, NEED_GAUSSIANS, ExportError, export
from da3_ros.core.far_world import FAR, float32_origin
from da3_ros.core.prediction import Prediction, WindowDepth
from da3_ros.core.scene.mesh import Mesh, MeshError
from da3_ros.core.scene.scene import Scene

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
    mesh = _mesh(scene) if mesh_formats else None
    paths = []
    if window_formats:
        prediction = _world_prediction(window_formats, newest, options, infer)
        defaults = {"frame": "world", "metadata": metadata, "export_depth_vis": False}
        options = {k: v for k, v in options.items() if k != "export_feat_layers"}
        if "glb" in window_formats:
            options["glb"] = defaults | options.get("glb", {})
        paths += export(prediction, "-".join(window_formats), folder, options)
    return paths + [_export_mesh(name, folder, mesh, newest, metadata) for name in mesh_formats]


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
    formats: list[str], newest: WindowDepth | None, options: dict, infer: Infer
) -> Prediction:
    if newest is None:
        raise ExportError("there is nothing to export yet: no window has been processed")
    if newest.is_metric and not np.isfinite(newest.scale.scale):
        raise ExportError("the scale is not known yet: move the camera, then export")
    if not any(name in NEED_NETWORK for name in formats):
        return newest.to_prediction()
    frames = newest.window.frames
    T_world_cam = newest.window.T_world_cam
    posed = T_world_cam is not None
    return infer(
        [frame.image for frame in frames],
        extrinsics=poses.inverse(T_world_cam) if posed else None,
        intrinsics=np.stack([frame.camera.K for frame in frames]) if posed else None,
        infer_gs=any(name in NEED_GAUSSIANS for name in formats),
        export_feat_layers=options.get("export_feat_layers", ()),
    )


def _mesh(scene: Scene) -> Mesh:
    try:
        return scene.build_mesh() if scene.frames else scene.mesh()
    except MeshError as error:
        raise ExportError(str(error)) from error


def _export_mesh(
    name: str, folder: Path, mesh: Mesh, newest: WindowDepth | None, metadata: dict
) -> Path:
    path = folder / f"mesh{MESH_FORMATS[name]}"
    if name == "mesh_ply":
        mesh.save_ply(path)
        return path
    mesh.save_glb(path, metadata=metadata, origin=_origin(mesh, newest))
    return path


def _origin(mesh: Mesh, newest: WindowDepth | None) -> np.ndarray:
    """In a far world the origin of the newest window's points, for the mesh to lie where they do."""
    origin = float32_origin(mesh.vertices)
    if newest is None or not newest.is_metric or newest.window.T_world_cam is None:
        return origin
    of_window = float32_origin(newest.window.T_world_cam[list(newest.window.views), :3, 3])
    return of_window if np.abs(of_window - origin).max() < 10 * FAR else origin
