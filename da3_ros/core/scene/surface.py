"""The zero level of a signed distance field: as points, and as triangles."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from da3_ros.core.scene.mesh import Mesh, MeshError
from da3_ros.core.scene.one_thread import one_thread
from da3_ros.core.scene.tsdf import TsdfVolume
from da3_ros.core.scene.voxel_blocks import SIDE, VOXELS, VoxelBlocks

CHUNK = 8
"""Blocks along one edge of the dense volume that marching cubes sees at a time."""
MIN_ISLAND = 60
"""Connected pieces with fewer triangles than this are noise."""


@one_thread()
def surface_points(volume: TsdfVolume) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) float64 points, world frame, metres, and their (n, 3) uint8 colors; grey where no
    picture was fused.

    One point for each voxel edge that the surface crosses, so the density is the voxel's.
    """
    blocks = volume.blocks
    points, colors = [], []
    for axis in range(3):
        neighbour_tsdf, neighbour_weight = _next_along(blocks, axis)
        near, far = blocks.tsdf, neighbour_tsdf
        crossing = (blocks.weight > 0) & (neighbour_weight > 0) & ((near < 0) != (far < 0))
        row, voxel = torch.nonzero(crossing, as_tuple=True)
        share = near[row, voxel] / (near[row, voxel] - far[row, voxel])
        position = blocks.coords[row].double() * SIDE + _local(voxel)
        position[:, axis] += share
        points.append(position * volume.voxel_size)
        colors.append(blocks.color[row, voxel])
    where = torch.cat(points).cpu().numpy()
    return where, torch.cat(colors).float().round().byte().cpu().numpy()


def _local(voxel: torch.Tensor) -> torch.Tensor:
    return torch.stack([voxel // SIDE**2, voxel // SIDE % SIDE, voxel % SIDE], dim=-1)


def _next_along(blocks: VoxelBlocks, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Signed distance and weight (n, 512) of each voxel's next neighbour along an axis.

    Weight 0 where the neighbouring block does not exist.
    """
    step = torch.zeros(3, dtype=torch.int64, device=blocks.device)
    step[axis] = 1
    beyond = blocks.find(blocks.coords + step)
    rolled = []
    for values in (blocks.tsdf, blocks.weight):
        cube = values.view(-1, SIDE, SIDE, SIDE).roll(-1, dims=axis + 1)
        first = values[beyond].view(-1, SIDE, SIDE, SIDE).select(axis + 1, 0).clone()
        first[beyond < 0] = 0.0
        cube.select(axis + 1, SIDE - 1).copy_(first)
        rolled.append(cube.reshape(-1, VOXELS))
    return rolled[0], rolled[1]


@one_thread()
def extract_mesh(volume: TsdfVolume) -> Mesh:
    """Triangles of the surface by marching cubes (Lewiner 2003), colored, without small islands;
    grey where no picture was fused.

    Faces run anticlockwise seen from free space. Raises MeshError when nothing was fused.
    """
    vertices, faces = _march(volume.blocks)
    faces = _without_islands(faces, len(vertices))
    if len(faces) == 0:
        raise MeshError("the scene is empty: no surface has been fused yet")
    used, faces = np.unique(faces, return_inverse=True)
    vertices = vertices[used]
    colors = _colors(volume.blocks, vertices)
    return Mesh(vertices * volume.voxel_size, faces.reshape(-1, 3), colors)


def _march(blocks: VoxelBlocks) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) float64 in voxels, each once, and faces (m, 3)."""
    chunks = torch.unique(torch.div(blocks.coords, CHUNK, rounding_mode="floor"), dim=0)
    vertices, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), dtype=np.int64)], 0
    for chunk in chunks.tolist():
        v, f = _march_chunk(blocks, torch.tensor(chunk, device=blocks.device) * CHUNK)
        vertices.append(v)
        faces.append(f + count)
        count += len(v)
    return _stitched(np.concatenate(vertices), np.concatenate(faces))


def _march_chunk(blocks: VoxelBlocks, first: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    axis = torch.arange(CHUNK + 1, device=blocks.device)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    rows = blocks.find(grid + first)
    x, y, z = torch.nonzero(rows >= 0, as_tuple=True)
    tsdf, weight = (
        _dense(values, rows[x, y, z], (x, y, z)) for values in (blocks.tsdf, blocks.weight)
    )
    try:
        v, f, _, _ = marching_cubes(tsdf, 0.0, mask=_full_cells(weight > 0))
    except (RuntimeError, ValueError):  # its way to say that nothing crosses zero
        return np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)
    return v.astype(np.float64) + (first * SIDE).cpu().numpy(), f.astype(np.int64)


def _dense(values: torch.Tensor, rows: torch.Tensor, at: tuple) -> np.ndarray:
    """The chunk's blocks as one array, with the first voxel layer of the chunks after it."""
    n = CHUNK + 1
    cube = torch.zeros((n, n, n, SIDE, SIDE, SIDE), device=values.device)
    cube[at] = values[rows].view(-1, SIDE, SIDE, SIDE)
    cube = cube.permute(0, 3, 1, 4, 2, 5).reshape(n * SIDE, n * SIDE, n * SIDE)
    end = CHUNK * SIDE + 1
    return cube[:end, :end, :end].contiguous().cpu().numpy()


def _full_cells(seen: np.ndarray) -> np.ndarray:
    """Cells whose eight corners were all seen; scikit-image names a cell by its last corner."""
    cells = seen.copy()
    for axis in range(3):
        cells &= np.roll(cells, 1, axis)
    return cells


def _stitched(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join the vertices that two chunks made on the plane between them.

    Both chunks computed them from the same voxels, so they are equal to the last bit but one.
    """
    seam = np.flatnonzero((np.mod(vertices, CHUNK * SIDE) == 0).any(axis=1))
    if len(seam) == 0:
        return vertices, faces
    _, first, group = np.unique(
        np.round(vertices[seam] * 1e4), axis=0, return_index=True, return_inverse=True
    )
    joined = np.arange(len(vertices))
    joined[seam] = seam[first[group.reshape(-1)]]
    return vertices, joined[faces]


def _without_islands(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(vertex_count, vertex_count))
    _, island = connected_components(graph, directed=False)
    size = np.bincount(island[faces[:, 0]], minlength=1)
    return faces[size[island[faces[:, 0]]] >= MIN_ISLAND]


def _colors(blocks: VoxelBlocks, vertices: np.ndarray) -> np.ndarray:
    """(n, 3) uint8: blend of the two voxels at the ends of each vertex's edge."""
    at = torch.as_tensor(vertices, device=blocks.device)
    low, high = torch.floor(at), torch.ceil(at)
    share = (at - low).amax(dim=1, keepdim=True).float()
    blend = torch.lerp(_voxel_colors(blocks, low), _voxel_colors(blocks, high), share)
    return blend.round().byte().cpu().numpy()


def _voxel_colors(blocks: VoxelBlocks, voxels: torch.Tensor) -> torch.Tensor:
    voxels = voxels.long()
    block = torch.div(voxels, SIDE, rounding_mode="floor")
    x, y, z = (voxels - block * SIDE).unbind(dim=-1)
    return blocks.color[blocks.find(block), (x * SIDE + y) * SIDE + z].float()
