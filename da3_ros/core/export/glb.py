"""glb: the point cloud and the cameras as one binary glTF scene, ``scene.glb``."""

from __future__ import annotations

import colorsys
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from da3_ros.core.export import depth_vis, points
from da3_ros.core.export.depth_vis import DepthVisOptions
from da3_ros.core.export.points import CloudOptions
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.files.gltf import LINES, POINTS, Z_UP_TO_Y_UP, Primitive, write_glb
from da3_ros.core.prediction import Prediction
from da3_ros.core.scale import align
from da3_ros.core.user_input.options import Flag, JsonObject, Maybe, Number, OneOf, option

_FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])
"""Optical axes (y down, z forward) to glTF's (y up, z backward)."""

FRAMES = ("first_camera", "world")


@dataclass(frozen=True, eq=False)
class GlbOptions(CloudOptions):
    """Options of the format glb."""

    show_cameras: bool = option(True, Flag(), "camera wireframes")
    camera_size: float = option(
        0.03, Number(above=0, high=100), "their size as a share of the scene's extent"
    )
    frame: str = option("first_camera", OneOf(FRAMES), "axes of the vertices, see below")
    metadata: dict | None = option(None, Maybe(JsonObject()), "added to the scene's extras")
    export_depth_vis: bool = option(True, Flag(), "also scene.jpg and depth_vis/")


def export_glb(prediction: Prediction, folder: Path, options: GlbOptions) -> list[Path]:
    """Write ``scene.glb`` and, with `export_depth_vis`, ``scene.jpg`` and ``depth_vis/``.

    frame `first_camera`: the first camera's axes in glTF's sense, moved so that the median
    point is the origin (what viewers of this format expect). frame `world`: vertices are
    world coordinates (z up) in the prediction's unit, and the nodes' matrix turns them
    upright for viewers. Either way the scene's extras hold ``T_world_gltf``, which carries
    what a viewer sees back to the world frame.
    """
    mask = points.chosen_pixels(prediction, options)
    place = _in_world if options.frame == "world" else _at_first_camera
    cloud, T_local_world, T_gltf_local = place(prediction, mask)
    primitives = [Primitive("points", POINTS, cloud, prediction.processed_images[mask])]
    if options.show_cameras:
        size = _extent(cloud) * options.camera_size
        primitives.append(_camera_wireframes(prediction, T_local_world, size))
    T_gltf_world = (np.eye(4) if T_gltf_local is None else T_gltf_local) @ T_local_world
    extras = _extras(prediction, options.frame, T_gltf_world) | (options.metadata or {})
    path = folder / "scene.glb"
    write_glb(path, primitives, extras=extras, T_gltf_local=T_gltf_local)
    return [path, *(_pictures(prediction, folder) if options.export_depth_vis else [])]


def _at_first_camera(prediction, mask):
    T_cam0_world = np.eye(4)
    T_cam0_world[:3] = prediction.extrinsics[0][:3]
    T_local_world = _FLIP_YZ @ T_cam0_world
    cloud = points.unproject(prediction, mask, T_local_world)
    if len(cloud):
        centre = np.median(_sample(cloud), axis=0)
        cloud -= centre
        T_local_world[:3, 3] -= centre
    return cloud, T_local_world, None


def _in_world(prediction, mask):
    T_local_world = np.eye(4)
    T_local_world[:3, 3] = -points.world_origin(prediction)
    return points.unproject(prediction, mask, T_local_world), T_local_world, Z_UP_TO_Y_UP


def _extras(prediction: Prediction, frame: str, T_gltf_world: np.ndarray) -> dict:
    extras = {
        "T_world_gltf": np.linalg.inv(T_gltf_world).tolist(),
        "unit": "m" if prediction.is_metric else "model",
        "frame": frame,
    }
    # The name under which upstream's viewers look for the transform into the scene.
    return extras | ({"hf_alignment": T_gltf_world.tolist()} if frame == "first_camera" else {})


def _extent(cloud: np.ndarray) -> float:
    """Diagonal of the box between the 5th and 95th percentile; 1 where there is none."""
    if len(cloud) < 2:
        return 1.0
    low, high = np.percentile(_sample(cloud), [5, 95], axis=0)
    return float(np.linalg.norm(high - low)) or 1.0


def _sample(cloud: np.ndarray) -> np.ndarray:
    """Enough of the points to know their middle and extent."""
    return cloud[:: max(1, len(cloud) // 100_000)]


_FRUSTUM_EDGES = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]])
"""From the centre (0) to the image corners, and around the image."""


def _camera_wireframes(prediction: Prediction, T_local_world, size: float) -> Primitive:
    """All cameras as one set of lines: a pyramid each, its hue running with the index."""
    count, height, width = prediction.depth.shape
    right, bottom = width - 1, height - 1
    corners = np.array([[0, 0, 1], [right, 0, 1], [right, bottom, 1], [0, bottom, 1]], float)
    rays = corners @ np.swapaxes(np.linalg.inv(np.float64(prediction.intrinsics)), 1, 2)
    pyramids = np.concatenate([np.zeros((count, 1, 3)), rays * size], axis=1)  # (N, 5, 3)
    T_local_cam = T_local_world @ align.to_camera_poses(prediction.extrinsics)
    pyramids = pyramids @ np.swapaxes(T_local_cam[:, :3, :3], 1, 2) + T_local_cam[:, None, :3, 3]
    hues = [colorsys.hsv_to_rgb((i + 0.5) / count, 0.85, 0.95) for i in range(count)]
    colors = np.repeat((np.array(hues) * 255).astype(np.uint8), 5, axis=0)
    edges = _FRUSTUM_EDGES + 5 * np.arange(count)[:, None, None]
    return Primitive("cameras", LINES, pyramids.reshape(-1, 3).astype(np.float32), colors, edges)


def _pictures(prediction: Prediction, folder: Path) -> list[Path]:
    """The preview that galleries show beside the scene, and the depth pictures."""
    paths = depth_vis.export_depth_vis(prediction, folder, DepthVisOptions())
    with atomic_path(folder / "scene.jpg") as temporary:
        shutil.copyfile(paths[0], temporary)
    return [folder / "scene.jpg", *paths]
