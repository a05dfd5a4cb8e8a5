"""The scene: everything fused so far, and the mesh that depth is rendered from."""

from __future__ import annotations

import copy
import os
import threading

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import SceneConfig
from da3_ros.core.point_cloud import one_per_cell
from da3_ros.core.scene.mesh import Mesh, MeshError
from da3_ros.core.scene.surface import extract_mesh, surface_points
from da3_ros.core.scene.tsdf import TsdfVolume


class Scene:
    """A fused map in the world frame, safe to read while another thread integrates. Raises
    MeshError when there is no mesh at `config.mesh`.

    The map and the mesh are apart: a mesh is a picture of the map when `build_mesh` was
    called, or a file. A loaded mesh is shown until `build_mesh` or `reset`.
    """

    def __init__(self, config: SceneConfig, device: str = "cpu"):
        self.config = config
        self._device = device
        self._lock = threading.Lock()
        self._volume = self._empty()
        # Read once: whoever resets does not wait for a file, which may be gone by then.
        self._given_mesh = Mesh.load(config.mesh) if config.mesh else None
        self._mesh = self._given_mesh
        self._frames = 0

    def _empty(self) -> TsdfVolume:
        c = self.config
        return TsdfVolume(c.voxel_size, c.truncation, c.max_range, c.max_blocks, self._device)

    def configure(self, config: SceneConfig) -> None:
        """Take parameters that changed while running: `max_range`."""
        with self._lock:
            self.config = config
            self._volume.max_range = config.max_range

    def integrate(
        self,
        depth: np.ndarray,
        T_world_cam: np.ndarray,
        camera: CameraModel,
        image: np.ndarray | None = None,
        conf: np.ndarray | None = None,
    ) -> int:
        """Fuse one depth image; see `TsdfVolume.integrate`."""
        with self._lock:
            lost = self._volume.integrate(depth, T_world_cam, camera, image, conf)
            self._frames += 1
        return lost

    def save_map(self, path: str | os.PathLike) -> None:
        """Write the map, as `add_map` reads it."""
        volume = self._snapshot()
        np.savez(path, frames=self._frames, **volume.arrays())

    def add_map(self, path: str | os.PathLike) -> None:
        """Fuse a map that was saved, of the same voxels, into this one."""
        with np.load(path) as arrays:
            held = dict(arrays)
        with self._lock:
            self._frames += int(held.pop("frames"))
            self._volume.add(held)

    def cloud(self, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, 3) float64 of the fused surface, metres, and colors (n, 3) uint8.

        step: one point per cube of so many voxels' edge.
        """
        points, colors = surface_points(self._snapshot())
        if step > 1:
            kept = one_per_cell(points, step * self.config.voxel_size)
            points, colors = points[kept], colors[kept]
        return points, colors

    def build_mesh(self) -> Mesh:
        """Make the map's surface the mesh that `render_depth` shows.

        Raises MeshError when nothing has been fused yet, and when the map is forgotten meanwhile.
        """
        volume = self._volume
        mesh = extract_mesh(self._snapshot())
        with self._lock:
            if self._volume is not volume:
                raise MeshError("the scene was reset while its mesh was built: build it again")
            self._mesh = mesh
        return mesh

    def _snapshot(self) -> TsdfVolume:
        """A copy: extraction takes long, and who publishes must not wait for it."""
        with self._lock:
            return copy.deepcopy(self._volume)

    def load_mesh(self, path: str | os.PathLike) -> Mesh:
        """Show this PLY, OBJ or GLB file instead of the map's own surface."""
        mesh = Mesh.load(path)
        with self._lock:
            self._mesh = mesh
        return mesh

    def mesh(self) -> Mesh:
        """The mesh built or loaded last; MeshError when there is none."""
        mesh = self.shown_mesh
        if mesh is None:
            raise MeshError("there is no mesh yet: build it (build_mesh) or load one (load_mesh)")
        return mesh

    @property
    def shown_mesh(self) -> Mesh | None:
        """The same, None where there is none."""
        with self._lock:
            return self._mesh

    def render_depth(
        self,
        transform: np.ndarray,
        calibration: CameraModel,
        cull_faces: bool = True,
        add_alpha: bool = True,
    ) -> np.ndarray:
        """Depth of the mesh from a viewpoint; see `Mesh.render_depth`. MeshError without a mesh."""
        return self.mesh().render_depth(transform, calibration, cull_faces, add_alpha)

    def reset(self) -> None:
        """Forget the map and its mesh; a mesh named by the parameter is shown again."""
        with self._lock:
            self._volume, self._mesh, self._frames = self._empty(), self._given_mesh, 0

    @property
    def frames(self) -> int:
        """Depth images fused since the last reset."""
        return self._frames

    @property
    def nbytes(self) -> int:
        """Memory of the map, in bytes."""
        return self._volume.blocks.nbytes

    @property
    def dropped_blocks(self) -> int:
        """Blocks given up to the memory bound since the last reset."""
        return self._volume.blocks.dropped
