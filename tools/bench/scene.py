"""Measure fusion and rendered depth beside Open3D and trimesh, on a real sequence.

    python -m tools.bench.scene SEQUENCE [--frames 200] [--repeats 7]

SEQUENCE holds depth/NAME.png (uint16 mm), pose/NAME*.txt (camera to world), rgb/NAME* and
intrinsics.txt. Open3D (0.20) is not a dependency of this project: install `open3d-cpu` into a
throw-away environment beside the project's own dependencies. What is not installed is left out.

Engines take turns, so that other load on the machine meets all of them; times are the
smallest and the median of the repeats, in wall-clock ms.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import trimesh

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.scene.mesh import Mesh
from da3_ros.core.scene.surface import extract_mesh, surface_points
from da3_ros.core.scene.tsdf import TsdfVolume

CAMERA = CameraModel(1280, 960, np.array([[1050.0, 0, 639.5], [0, 1050, 479.5], [0, 0, 1]]))
LENS = CameraModel(1280, 960, CAMERA.K, "plumb_bob", np.array([-0.2, 0.05, 0, 0, 0]))
LARGE = CAMERA.scaled(width=4000, height=3000)
LARGE_LENS = CameraModel(4000, 3000, LARGE.K, "plumb_bob", LENS.D)
HELD_OUT = 10
"""Every tenth frame is kept from fusion, and rendered."""
MAX_RANGE = 4.0
HAVE_OPEN3D = importlib.util.find_spec("open3d") is not None


class Sequence:
    def __init__(self, folder: Path, count: int):
        self.folder = folder
        self.names = sorted(p.stem for p in (folder / "depth").glob("*.png"))[:count]
        first = self.depth(self.names[0])
        K = np.loadtxt(folder / "intrinsics.txt")[:3, :3]
        self.camera = CameraModel(first.shape[1], first.shape[0], K)

    def depth(self, name: str) -> np.ndarray:
        path = str(self.folder / f"depth/{name}.png")
        depth = cv2.imread(path, cv2.IMREAD_UNCHANGED) / np.float32(1000)
        depth[depth == 0] = np.nan
        return depth

    def pose(self, name: str) -> np.ndarray:
        return np.loadtxt(next((self.folder / "pose").glob(f"{name}*")))

    def image(self, name: str) -> np.ndarray:
        return cv2.imread(str(next((self.folder / "rgb").glob(f"{name}*"))))[..., ::-1].copy()


class Timings:
    def __init__(self):
        self._seconds = defaultdict(list)

    def measure(self, name: str, function, *arguments):
        start = time.perf_counter()
        result = function(*arguments)
        self._seconds[name].append(time.perf_counter() - start)
        return result

    def show(self) -> None:
        for name, seconds in self._seconds.items():
            ms = 1e3 * np.array(seconds)
            print(f"  {name:44s} best {ms.min():8.1f}   median {np.median(ms):8.1f} ms")


def fuse(sequence: Sequence, voxel: float, timings: Timings) -> TsdfVolume:
    """Our map of all frames but the held-out ones, timed beside Open3D's."""
    volume = TsdfVolume(voxel, truncation=4.0, max_range=MAX_RANGE, max_blocks=200000)
    peer = Open3dFusion(voxel, sequence.camera) if HAVE_OPEN3D else None
    for i, name in enumerate(sequence.names):
        if i % HELD_OUT == HELD_OUT // 2:
            continue
        view = (sequence.depth(name), sequence.pose(name), sequence.camera, sequence.image(name))
        timings.measure("fuse, ours (color, carving)", volume.integrate, *view)
        if peer:
            timings.measure("fuse, Open3D VoxelBlockGrid (color)", peer, *view)
    print(f"  {volume.blocks.count} blocks, {volume.blocks.nbytes / 1e6:.0f} MB")
    return volume


class Open3dFusion:
    def __init__(self, voxel: float, camera: CameraModel):
        import open3d as o3d

        self.core, self.image = o3d.core, o3d.t.geometry.Image
        f32 = o3d.core.float32
        self.grid = o3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight", "color"), (f32, f32, f32), ((1), (1), (3)), voxel, 8, 50000
        )
        self.K = o3d.core.Tensor(camera.K)

    def __call__(self, depth, T_world_cam, camera, image) -> None:
        depth = self.image(np.nan_to_num(depth))
        color = self.image((image / np.float32(255)).astype(np.float32))
        extrinsic = self.core.Tensor(poses.inverse(T_world_cam))
        where = (self.K, extrinsic, 1.0, MAX_RANGE)
        blocks = self.grid.compute_unique_block_coordinates(depth, *where, 4.0)
        self.grid.integrate(blocks, depth, color, self.K, *where, 4.0)


def held_out_error(sequence: Sequence, mesh: Mesh) -> None:
    errors = []
    for name in sequence.names[HELD_OUT // 2 :: HELD_OUT]:
        rendered = mesh.render_depth(sequence.pose(name), sequence.camera, add_alpha=False)
        depth = sequence.depth(name)
        errors.append((rendered - depth)[depth < MAX_RANGE])
    errors = np.abs(np.concatenate(errors))
    p90 = np.nanpercentile(errors, 90)
    print(
        f"  held-out poses: median {1e3 * np.nanmedian(errors):.1f} mm, p90 {1e3 * p90:.1f} mm, "
        f"nothing rendered at {100 * np.isnan(errors).mean():.1f} % of the sensor's pixels"
    )


def render(sequence: Sequence, mesh: Mesh, repeats: int, timings: Timings) -> None:
    engines = {
        "render, ours (culled)": lambda T: mesh.render_depth(T, CAMERA, True, False),
        "render, ours": lambda T: mesh.render_depth(T, CAMERA, False, False),
        "render, ours through a lens (culled)": lambda T: mesh.render_depth(T, LENS, True, False),
        "render, ours at 4000x3000": lambda T: mesh.render_depth(T, LARGE, True, False),
        "render, ours through a lens at 4000x3000": lambda T: mesh.render_depth(
            T, LARGE_LENS, True, False
        ),
        "render, trimesh.ray": timings.measure("build, trimesh.ray", trimesh_rays, mesh),
    }
    if HAVE_OPEN3D:
        engines["render, Open3D RaycastingScene"] = timings.measure(
            "build, Open3D RaycastingScene", open3d_rays, mesh
        )
        engines["render, Open3D through a lens"] = open3d_rays(mesh, LENS)
    for lens in (LENS, LARGE_LENS):  # inverted once, and kept
        timings.measure("rays of a lens", mesh.render_depth, np.eye(4), lens)
    views = sequence.names[:: max(1, len(sequence.names) // repeats)][:repeats]
    for name in views:
        depths = {
            engine: timings.measure(engine, function, sequence.pose(name))
            for engine, function in engines.items()
        }
    compare(depths)


def compare(depths: dict[str, np.ndarray]) -> None:
    ours = depths["render, ours"]
    for name in ("render, trimesh.ray", "render, Open3D RaycastingScene"):
        if name in depths:
            error = np.abs(ours - depths[name])
            mask = np.isnan(ours) != np.isnan(depths[name])
            print(
                f"  ours against {name[8:]}: median {np.nanmedian(error):.1e} m, "
                f"p99.9 {np.nanpercentile(error, 99.9):.1e} m, "
                f"hit or miss differs at {mask.sum()} px"
            )


def trimesh_rays(mesh: Mesh):
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    rays = CAMERA.rays().reshape(-1, 3)
    solid.ray.intersects_any(np.zeros((1, 3)), np.ones((1, 3)))  # builds its tree

    def depth(T_world_cam):
        directions = rays @ T_world_cam[:3, :3].T
        origins = np.broadcast_to(T_world_cam[:3, 3], rays.shape)
        points, index, _ = solid.ray.intersects_location(origins, directions, multiple_hits=False)
        z = np.full(len(rays), np.nan, np.float32)
        z[index] = (points - T_world_cam[:3, 3]) @ T_world_cam[:3, 2]
        return z.reshape(CAMERA.height, CAMERA.width)

    return depth


def open3d_rays(mesh: Mesh, camera: CameraModel = CAMERA):
    import open3d as o3d

    tensor = o3d.core.Tensor
    scene = o3d.t.geometry.RaycastingScene()
    vertices = mesh.vertices.astype(np.float32)
    scene.add_triangles(tensor(vertices), tensor(mesh.faces.astype(np.uint32)))
    rays = camera.rays().reshape(-1, 3).astype(np.float32)
    both = np.empty((len(rays), 6), np.float32)
    scene.cast_rays(tensor(both[:1]))  # builds its tree

    def depth(T_world_cam):
        both[:, :3] = T_world_cam[:3, 3]
        np.matmul(rays, T_world_cam[:3, :3].T.astype(np.float32), out=both[:, 3:])
        z = scene.cast_rays(tensor(both))["t_hit"].numpy()
        z[np.isinf(z)] = np.nan
        return z.reshape(camera.height, camera.width)

    return depth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sequence", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--voxels", type=float, nargs="+", default=[0.02, 0.008], help="m")
    arguments = parser.parse_args()
    sequence = Sequence(arguments.sequence, arguments.frames)
    for voxel in arguments.voxels:
        timings = Timings()
        print(f"voxel {voxel} m; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        volume = fuse(sequence, voxel, timings)
        timings.measure("fused cloud, ours", surface_points, volume)
        mesh = timings.measure("mesh, ours", extract_mesh, volume)
        print(f"  {len(mesh.faces)} triangles; frames rendered at {CAMERA.width}x{CAMERA.height}")
        held_out_error(sequence, mesh)
        render(sequence, mesh, arguments.repeats, timings)
        timings.show()


if __name__ == "__main__":
    main()
