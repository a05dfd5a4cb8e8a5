"""Fuse depth images into one signed distance field (TSDF; Curless and Levoy 1996)."""

from __future__ import annotations

import math

import numpy as np
import torch

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.scene.one_thread import one_thread
from da3_ros.core.scene.voxel_blocks import SIDE, VOXELS, VoxelBlocks, local_voxels

MAX_WEIGHT = 255.0
"""Summed confidence beyond which old observations fade: the map follows slow change."""
_BLOCKS_AT_ONCE = 96
_BEYOND = 1e6  # m, stands for +Inf depth: free as far as anything is fused


class TsdfVolume:
    """A map of surfaces: truncated signed distance in blocks of 8x8x8 voxels.

    voxel_size: m. truncation: half width of the surface band in voxels. max_range: m,
    depth beyond it is not fused (but still carves the free space before it).
    max_blocks: memory bound; the blocks farthest from the camera are dropped, and counted
    in `blocks.dropped`.
    """

    def __init__(
        self,
        voxel_size: float,
        truncation: float = 4.0,
        max_range: float = 5.0,
        max_blocks: int = 20000,
        device: str | torch.device = "cpu",
    ):
        self.voxel_size = voxel_size
        self.truncation = truncation * voxel_size
        self.max_range = max_range
        self.blocks = VoxelBlocks(max_blocks, device)
        self._centre = torch.zeros(3, dtype=torch.float64, device=self.blocks.device)
        self._local = local_voxels(self.blocks.device) * voxel_size

    def integrate(
        self,
        depth: np.ndarray,
        T_world_cam: np.ndarray,
        camera: CameraModel,
        image: np.ndarray | None = None,
        conf: np.ndarray | None = None,
    ) -> int:
        """Fuse one depth image (H, W), metres along z; NaN unknown, +Inf beyond the sensor's range.
        Returns how many blocks were lost, because this camera is too far away from them.

        camera: pinhole model of these pixels. T_world_cam: (4, 4). image: (H, W, 3) uint8
        RGB or None (grey). conf: (H, W) weights, NaN and negative count as 0; None means 1
        everywhere.
        Raises ValueError when sizes differ, the image is not uint8 or the camera has a lens.
        """
        with one_thread():
            return self._fuse(_View(depth, T_world_cam, camera, image, conf, self.blocks.device))

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is known, for `add`: blocks and the place that distances are measured from."""
        b = self.blocks
        held = {"coords": b.coords, "tsdf": b.tsdf, "weight": b.weight, "color": b.color}
        return {name: t.cpu().numpy() for name, t in held.items()} | {
            "centre": self._centre.cpu().numpy(),
            "dropped": np.int64(b.dropped),
        }

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Fuse what another volume of the same voxels knows: the weighted mean of both, which is
        what one volume would hold that had seen all; but free space reaches only into blocks that
        the other one has.
        """
        device = self.blocks.device
        other = {name: torch.as_tensor(values, device=device) for name, values in arrays.items()}
        self._centre = other["centre"]
        self.blocks.dropped += int(other["dropped"])
        if not len(other["coords"]):
            return
        self.blocks.recentre(self._centre)
        self.blocks.allocate(other["coords"], self._centre)
        rows = self.blocks.find(other["coords"])
        kept = rows >= 0
        rows, weight = rows[kept], other["weight"][kept]
        total = self.blocks.weight[rows] + weight
        share = weight / total.clamp(min=1e-6)
        for mine, name in ((self.blocks.tsdf, "tsdf"), (self.blocks.color, "color")):
            old, new = mine[rows].float(), other[name][kept].float()
            part = share[..., None] if name == "color" else share
            mine[rows] = (old + part * (new - old)).to(mine.dtype)
        self.blocks.weight[rows] = total.clamp(max=MAX_WEIGHT)

    def _fuse(self, view: _View) -> int:
        lost, touched = 0, self._touched(view)
        # The map follows a camera that adds to it: a stray pose without depth moves nothing.
        if len(touched) and view.shows_surface(self.max_range):
            self._centre = view.T_world_cam[:3, 3] / (SIDE * self.voxel_size)
            lost = self.blocks.recentre(self._centre)
            self.blocks.allocate(self.blocks.unique(touched), self._centre)
        if self.blocks.count:
            for rows in torch.split(self._visible(view), _BLOCKS_AT_ONCE):
                self._update(rows, view)
        return lost

    def _touched(self, view: _View) -> torch.Tensor:
        """Positions (m, 3), in blocks, of samples of the surface band of this view."""
        edge = SIDE * self.voxel_size
        # Neighbouring samples must not be farther apart than half a block.
        step = max(1, int(0.5 * edge * view.focal / self.max_range))
        z = view.depth[step // 2 :: step, step // 2 :: step]
        v, u = torch.nonzero((z > 0) & (z < self.max_range), as_tuple=True)
        z = z[v, u].double()
        pixels = torch.stack(
            [u * step + step // 2, v * step + step // 2, torch.ones_like(u)]
        ).double()
        rays = view.K_inverse @ pixels
        samples = math.ceil(2 * self.truncation / (0.5 * edge)) + 1
        touched = []
        for offset in np.linspace(-self.truncation, self.truncation, samples):
            points = view.T_world_cam[:3, :3] @ (rays * (z + offset)) + view.T_world_cam[:3, 3:]
            touched.append(torch.floor(points.T / edge).to(torch.int64))
        return torch.cat(touched)

    def _visible(self, view: _View) -> torch.Tensor:
        """Rows of the blocks that can project into the image, nearer than the range."""
        edge = SIDE * self.voxel_size
        centres = (self.blocks.coords.double() + 0.5) * edge
        x, y, z = view.to_camera(centres)
        radius = 0.5 * math.sqrt(3) * edge
        inside = (z > -radius) & (z < self.max_range + self.truncation + radius)
        for normal in view.side_planes:
            inside &= normal[0] * x + normal[1] * y + normal[2] * z > -radius
        return torch.nonzero(inside)[:, 0]

    def _update(self, rows: torch.Tensor, view: _View) -> None:
        blocks = self.blocks
        origins = blocks.coords[rows].double() * (SIDE * self.voxel_size)
        z, pixel = view.project(origins, self._local)
        distance = view.padded_depth.index_select(0, pixel.flatten()).view_as(z) - z
        # NaN depth compares false: what was not seen stays as it was.
        seen = (distance >= -self.truncation) & (z <= self.max_range)
        new = (distance / self.truncation).clamp_(max=1.0)
        weight = torch.where(seen, view.conf(pixel), 0.0)
        total = blocks.weight.index_select(0, rows) + weight
        share = weight / total.clamp(min=1e-6)
        old = blocks.tsdf.index_select(0, rows)
        blocks.tsdf.index_copy_(0, rows, torch.where(seen, old + share * (new - old), old))
        blocks.weight.index_copy_(0, rows, total.clamp_(max=MAX_WEIGHT))
        if view.image is not None:
            self._paint(
                rows, torch.nonzero((seen & (new < 1.0)).flatten())[:, 0], pixel, share, view
            )

    def _paint(self, rows, band, pixel, share, view) -> None:
        """Blend the image's color into the voxels `band` (flat within `rows`) near the surface."""
        color = self.blocks.color.view(-1, 3)
        at = rows[band // VOXELS] * VOXELS + band % VOXELS
        old = color.index_select(0, at).float()
        new = view.colors(pixel.flatten()[band])
        share = share.flatten().index_select(0, band)[:, None]
        color.index_copy_(0, at, (old + share * (new - old)).half())


class _View:
    """One depth image on the device, with what projecting into it needs."""

    def __init__(self, depth, T_world_cam, camera, image, conf, device):
        _check(depth, camera, image, conf)
        T_world_cam = poses.rigid(T_world_cam, "T_world_cam")
        self.device = device
        self.focal = float(min(camera.K[0, 0], camera.K[1, 1]))
        self.depth = torch.as_tensor(depth, dtype=torch.float32, device=device)
        self.depth = torch.where(self.depth == math.inf, _BEYOND, self.depth)
        self.height, self.width = depth.shape
        self.T_world_cam = self._matrix(T_world_cam)
        self.K_inverse = self._matrix(np.linalg.inv(camera.K))
        self._T_cam_world = self._matrix(poses.inverse(T_world_cam))
        self._P = self._matrix(camera.K @ poses.inverse(T_world_cam)[:3])
        self.side_planes = _side_planes(camera)
        # A border of NaN: pixels outside the image read as unknown.
        self.padded_depth = _pad(self.depth, math.nan).flatten()
        self.padded_conf = None
        if conf is not None:
            weights = torch.as_tensor(conf, dtype=torch.float32, device=device)
            weights = torch.nan_to_num(weights, nan=0.0).clamp_(0.0, MAX_WEIGHT)
            self.padded_conf = _pad(weights, 0.0).flatten()
        self.image = None
        if image is not None:
            # torch warns of arrays that may not be written to, and keeps them where it can.
            pixels = np.require(image, requirements=("C", "W"))
            self.image = torch.as_tensor(pixels, device=device).view(-1, 3)

    def _matrix(self, values) -> torch.Tensor:
        return torch.as_tensor(
            np.ascontiguousarray(values), dtype=torch.float64, device=self.device
        )

    def to_camera(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """x, y, z of world points (n, 3) float64 in the optical frame."""
        T = self._T_cam_world
        return (points @ T[:3, :3].T + T[:3, 3]).unbind(dim=-1)

    def project(self, origins: torch.Tensor, local: torch.Tensor):
        """Depth z (n, m) float32 and padded flat pixel (n, m) of points origins + local.

        Split so that only n + m points are transformed in float64: exact far from the
        world's origin, and cheap.
        """
        a = (origins @ self._P[:, :3].T + self._P[:, 3]).float()
        b = (local @ self._P[:, :3].T).float()
        z = (a[:, 2:] + b[:, 2]).clamp_(min=1e-6)
        scale = z.reciprocal()
        u = (a[:, :1] + b[:, 0]).mul_(scale).add_(1.5).clamp_(0, self.width + 1)
        v = (a[:, 1:2] + b[:, 1]).mul_(scale).add_(1.5).clamp_(0, self.height + 1)
        # int32 truncates towards zero, which is floor here; +0.5 rounds, +1 is the border.
        return z, v.int().mul_(self.width + 2).add_(u.int())

    def shows_surface(self, max_range: float) -> bool:
        """Whether any pixel has a depth below max_range (m) that counts for something."""
        counts = (self.padded_depth > 0) & (self.padded_depth < max_range)
        if self.padded_conf is not None:
            counts &= self.padded_conf.flatten() > 0
        return bool(counts.any())

    def conf(self, pixel: torch.Tensor) -> torch.Tensor | float:
        """Weights of padded flat pixels."""
        if self.padded_conf is None:
            return 1.0
        return self.padded_conf.index_select(0, pixel.flatten()).view_as(pixel)

    def colors(self, pixel: torch.Tensor) -> torch.Tensor:
        """(n, 3) float32 RGB, 0..255, of padded flat pixels (n,) inside the image."""
        row = torch.div(pixel, self.width + 2, rounding_mode="floor")
        column = pixel - row * (self.width + 2)
        return self.image.index_select(0, (row - 1) * self.width + column - 1).float()


def _check(depth, camera, image, conf) -> None:
    size = (camera.height, camera.width)
    if camera.is_distorted:
        raise ValueError(
            "fusion needs rectified depth: the camera has a lens; use its pinhole() model"
        )
    if np.shape(depth) != size:
        raise ValueError(f"depth has shape {np.shape(depth)}, its camera is {size}")
    if image is not None and np.shape(image) != (*size, 3):
        raise ValueError(f"image has shape {np.shape(image)}, depth is {size}")
    if image is not None and np.asarray(image).dtype != np.uint8:
        raise ValueError(
            f"image is {np.asarray(image).dtype}, must be uint8: red, green and blue from 0 to 255"
        )
    if conf is not None and np.shape(conf) != size:
        raise ValueError(f"conf has shape {np.shape(conf)}, depth is {size}")


def _pad(image: torch.Tensor, border: float) -> torch.Tensor:
    return torch.nn.functional.pad(image, (1, 1, 1, 1), value=border)


def _side_planes(camera: CameraModel) -> np.ndarray:
    """(4, 3) unit normals, pointing inwards, of the planes through the image's edges."""
    left, top, right, bottom = -0.5, -0.5, camera.width - 0.5, camera.height - 0.5
    corners = [[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]
    rays = np.linalg.solve(camera.K, np.transpose(corners)).T
    normals = np.cross(rays, np.roll(rays, -1, axis=0))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)
