"""Exports of a running pipeline: the newest window, or the scene, in the world frame in metres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    split_formats,
    write,
)
from da3_ros.core.export.feat_vis import check_layers
from da3_ros.core.export.folder import check_directory
from da3_ros.core.far_world import FAR, float32_origin
from da3_ros.core.prediction import Prediction, WindowDepth
from da3_ros.core.runner import Runner
from da3_ros.core.scene.mesh import Mesh, MeshError
from da3_ros.core.scene.scene import Scene
from da3_ros.core.user_input.options import ListOf, Whole
from da3_ros.net.presets import Preset

MESH_FORMATS = {"mesh_ply": ".ply", "mesh_glb": ".glb"}
"""Formats made of the scene's mesh, and the suffix of their file `mesh`."""

NEED_NETWORK = (*NEED_GAUSSIANS, "feat_vis")
"""Formats that hold more than depth: the network looks at the window once more."""


def split_all_formats(formats: str) -> tuple[list[str], list[str]]:
    """Window formats and mesh formats of names joined with ``-``; `ExportError` if unknown."""
    names = split_formats(formats, MESH_FORMATS)
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
    lacking = [name for name in split_all_formats(formats)[0] if name in NEED_GAUSSIANS]
    if lacking and not preset.gaussians:
        raise ExportError(
            f"export format '{lacking[0]}' needs Gaussians, but {preset.name} has no Gaussian "
            "head: set model.name to depth-anything/DA3-GIANT-1.1 or "
            "depth-anything/DA3NESTED-GIANT-LARGE-1.1 (both not for commercial use)"
        )


@dataclass(frozen=True, eq=False)
class Source:
    """What there is to export.

    newest: the result to show, None before the first. scene: for the mesh formats. runner: for
    what the network has to look at once more. world_frame: of poses and scene.
    """

    newest: WindowDepth | None
    scene: Scene | None
    runner: Runner
    world_frame: str

    def metadata(self) -> dict:
        """What a glb file says of the window it shows; None (JSON has no NaN) where unknown."""
        if self.newest is None:
            return {}
        scale = float(self.newest.scale.scale)
        return {
            "frame_id": self.world_frame,
            "stamp_ns": self.newest.window.stamp_ns,
            "is_metric": self.newest.is_metric,
            "metres_per_network_unit": scale if np.isfinite(scale) else None,
        }


def export_running(
    formats: str,
    folder: Path,
    options: dict,
    source: Source,
    tell: Callable[[str], None] = lambda name: None,
) -> list[Path]:
    """Write `formats` below `folder`; returns the files.

    tell: called with each format before it is written. Raises `ExportError` before anything is
    written, and what `tell` raises.
    """
    window_formats, mesh_formats = split_all_formats(formats)
    if mesh_formats and source.scene is None:
        raise ExportError(f"{mesh_formats[0]} needs the scene: set scene.enabled, or load a mesh")
    mesh = _mesh(source.scene) if mesh_formats else None
    layers = options.get("export_feat_layers", ())
    options = {name: value for name, value in options.items() if name != "export_feat_layers"}
    defaults = {"frame": "world", "metadata": source.metadata(), "export_depth_vis": False}
    plan = plan_exports(window_formats, options, {"glb": defaults})
    check_exports_folder(folder, plan)
    paths = []
    if plan:
        paths += write(_world_prediction(plan, layers, source), plan, folder, tell)
    for name in mesh_formats:
        tell(name)
        origin = _origin(mesh, window_origin(source.newest))
        paths.append(export_mesh(name, folder, mesh, source.metadata(), origin))
    return paths


def export_scene(
    formats: str, folder: Path, scene: Scene, metadata: dict, origin: np.ndarray | None
) -> list[Path]:
    """Write the mesh formats of `formats` of a scene that was fused elsewhere.

    metadata, origin: of the newest window, by `Source.metadata` and `window_origin`. Raises
    `ExportError`.
    """
    mesh = _mesh(scene)
    return [
        export_mesh(name, folder, mesh, metadata, _origin(mesh, origin))
        for name in split_all_formats(formats)[1]
    ]


def _world_prediction(plan: ExportPlan, layers: Sequence[int], source: Source) -> Prediction:
    newest, preset = source.newest, source.runner.network.preset
    if newest is None:
        raise ExportError("there is nothing to export yet: no window has been processed")
    if newest.is_metric and not np.isfinite(newest.scale.scale):
        raise ExportError("the scale is not known yet: move the camera, then export")
    if newest.link and not np.isfinite(newest.T_world_cam).all():
        raise ExportError(f"the newest window has no place in the world: {newest.link.broken}")
    layers = _checked_layers(layers, plan, preset)
    if not layers and not any(name in NEED_NETWORK for name in plan):
        return newest.to_prediction()
    for options in plan.values():
        options.check_views(len(newest.window.frames))
    check_network("-".join(plan), preset)
    gaussians = any(name in NEED_GAUSSIANS for name in plan)
    return source.runner.look_again(newest, gaussians=gaussians, layers=layers)


def _checked_layers(layers: Sequence[int], plan: ExportPlan, preset: Preset) -> tuple[int, ...]:
    layers = ListOf(Whole(0)).check("export_feat_layers", layers)
    check_layers(layers, preset)
    if "feat_vis" in plan and not layers:
        raise ExportError("export format 'feat_vis' needs the option export_feat_layers")
    return layers


def _mesh(scene: Scene) -> Mesh:
    if not scene.frames:
        try:
            return scene.mesh()  # one that was loaded
        except MeshError as error:
            raise ExportError(
                "the scene is empty: it is fused of depth in metres, and there was none (without "
                "poses there is none)"
            ) from error
    try:
        return scene.build_mesh()
    except MeshError as error:
        raise ExportError(str(error)) from error


def export_mesh(name: str, folder: Path, mesh: Mesh, metadata: dict, origin: np.ndarray) -> Path:
    """Write `mesh_ply` or `mesh_glb`. origin: of a glb file, in the world, m."""
    path = folder / f"mesh{MESH_FORMATS[name]}"
    if name == "mesh_ply":
        mesh.save_ply(path)
        return path
    mesh.save_glb(path, metadata=metadata, origin=origin)
    return path


def window_origin(newest: WindowDepth | None) -> np.ndarray | None:
    """(3,) m, the origin of a window's points in a far world; None of one that is not metric."""
    if newest is None or not newest.is_metric or newest.window.T_world_cam is None:
        return None
    return float32_origin(newest.window.T_world_cam[list(newest.window.views), :3, 3])


def _origin(mesh: Mesh, of_window: np.ndarray | None) -> np.ndarray:
    """In a far world the origin of the newest window's points, where the mesh shall lie, too."""
    origin = float32_origin(mesh.vertices)
    if of_window is None:
        return origin
    return of_window if np.abs(of_window - origin).max() < 10 * FAR else origin
