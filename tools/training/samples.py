"""From windows to what the network sees and should say, with random changes of the pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from da3_ros.net.camera import invert_rigid
from da3_ros.net.network import Cameras
from da3_ros.net.presets import PATCH
from tools.training.windows import Windows

MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])

MIN_DIVISOR = 0.1
"""Smallest distance, m, that posed translations are divided by (as in inference)."""

UNPOSED_DISTANCE = 20.0
"""Mean distance of unposed points in the network's unit: as far as points of posed windows
are, so that both kinds of window teach the same last layers."""

MOST_ZOOM = 0.35
"""Pictures are enlarged by up to this share."""

FARTHEST = 100.0
"""Depth beyond this is not taught, m."""


@dataclass(frozen=True)
class Sample:
    """One training batch, in the network's units: everything divided by `unit` (B,), m.

    images: (B,N,3,h,w). cameras: poses given to the network, or None. depth: (B,N,h,w).
    valid: (B,N,h,w) bool. T_ref_cam: (B,N,4,4) true poses relative to view 0. K: (B,N,3,3).
    """

    images: torch.Tensor
    cameras: Cameras | None
    depth: torch.Tensor
    valid: torch.Tensor
    T_ref_cam: torch.Tensor
    K: torch.Tensor
    unit: torch.Tensor

    @property
    def true_cameras(self) -> Cameras:
        return Cameras(invert(self.T_ref_cam), self.K)

    def first_views(self, count: int) -> Sample:
        """What the first `count` views of each window see, in the same units."""
        views = ("images", "depth", "valid", "T_ref_cam", "K")
        shorter = {name: getattr(self, name)[:, :count] for name in views}
        return replace(self, cameras=None, **shorter)


def make_sample(windows: Windows, *, posed: bool) -> Sample:
    """Normalise as inference does; view 0 is the reference.

    Posed: the unit is the lower median distance of the cameras from view 0, at least
    `MIN_DIVISOR`. Unposed: such that the seen points are `UNPOSED_DISTANCE` away on average.
    """
    T = windows.T_world_cam
    T_ref_cam = (torch.linalg.inv(T[:, :1]) @ T).float()
    depth = windows.depth.float()
    valid = depth < FARTHEST
    depth = torch.where(valid, depth, 1.0)
    if posed:
        unit = T_ref_cam[..., :3, 3].norm(dim=-1).median(dim=1).values.clamp_min(MIN_DIVISOR)
    else:
        distance = mean_point_distance(depth, valid, T_ref_cam, windows.K)
        # A picture of nothing but sky has no distance, and stays in metres.
        unit = torch.where(distance > 0, distance / UNPOSED_DISTANCE, 1.0)
    T_ref_cam = T_ref_cam.clone()
    T_ref_cam[..., :3, 3] /= unit[:, None, None]
    cameras = Cameras(invert(T_ref_cam), windows.K) if posed else None
    images = (windows.images.float() / 255 - MEAN.to(depth)) / STD.to(depth)
    return Sample(
        images.movedim(-1, 2), cameras, depth / unit[:, None, None, None], valid, T_ref_cam,
        windows.K, unit,
    )  # fmt: skip


def camera_rays(K: torch.Tensor, rows: int, columns: int, height: int, width: int) -> torch.Tensor:
    """(...,rows,columns,3) points at z = 1 seen by the cell centres of a grid over the image."""
    v = (torch.arange(rows, device=K.device) + 0.5) * height / rows - 0.5
    u = (torch.arange(columns, device=K.device) + 0.5) * width / columns - 0.5
    v, u = torch.meshgrid(v, u, indexing="ij")
    x = (u - K[..., 0, 2, None, None]) / K[..., 0, 0, None, None]
    y = (v - K[..., 1, 2, None, None]) / K[..., 1, 1, None, None]
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def points_in_reference(depth, T_ref_cam, K):
    """(B,N,h,w,3) points of the reference frame."""
    h, w = depth.shape[-2:]
    points = camera_rays(K, h, w, h, w) * depth[..., None]
    R, t = T_ref_cam[..., :3, :3], T_ref_cam[..., :3, 3]
    return torch.einsum("bnij,bnhwj->bnhwi", R, points) + t[:, :, None, None]


def patch_centres(maps: torch.Tensor) -> torch.Tensor:
    """Maps (B,N,h,w,...) at the centres of the patches (B,N,P,...)."""
    centre = slice(PATCH // 2, None, PATCH)
    return maps[:, :, centre, centre].flatten(2, 3)


def masked_mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Mean of the values where `where` is true, or weighted by it; 0 where nothing is."""
    return (values * where).sum() / where.sum().clamp_min(1)


def mean_point_distance(depth, valid, T_ref_cam, K) -> torch.Tensor:
    """(B,) mean distance of valid points from view 0."""
    distance = points_in_reference(depth, T_ref_cam, K).norm(dim=-1)
    return (distance * valid).sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp_min(1)


def invert(T):
    """Inverse poses (...,4,4)."""
    R, t = invert_rigid(T)
    out = torch.zeros_like(T)
    out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = R, t, 1.0
    return out


def choose_views(windows: Windows, count: int, generator: torch.Generator) -> Windows:
    """`count` views of each window: neighbours on the path, any of them first."""
    V = windows.images.shape[1]
    longest = min(V, count + 1) if count > 1 else V
    picked = []
    for _ in range(len(windows)):
        first = int(torch.randint(V - longest + 1, (), generator=generator))
        order = torch.randperm(longest, generator=generator)[:count]
        picked.append(first + order)
    views = torch.stack(picked).to(windows.images.device)
    rows = torch.arange(len(windows), device=views.device)[:, None]
    return Windows(
        windows.images[rows, views],
        windows.depth[rows, views],
        windows.T_world_cam[rows, views],
        windows.K[rows, views],
    )


def mirror(windows: Windows) -> Windows:
    """The world seen in a mirror: left and right exchanged."""
    flip = torch.diag(torch.tensor([-1.0, 1, 1, 1], dtype=torch.float64)).to(windows.T_world_cam)
    K = windows.K.clone()
    K[..., 0, 2] = windows.images.shape[3] - 1 - K[..., 0, 2]
    return Windows(
        windows.images.flip(3), windows.depth.flip(3), flip @ windows.T_world_cam @ flip, K
    )


def zoom(windows: Windows, generator: torch.Generator) -> Windows:
    """The middle of every picture, as much of it for all views of a window, at the old size.

    The middle, since the network is told the field of view but not the principal point.
    """
    B, V, h, w = windows.depth.shape
    shares = 1 / (1 + MOST_ZOOM * torch.rand(B, 1, generator=generator))
    first = (1 - shares) / 2
    side = torch.tensor([h, w])
    rows, columns = ((first + shares * (torch.arange(n) + 0.5) / n) * n - 0.5 for n in (h, w))
    at = [x.to(windows.depth.device) for x in (rows, columns)]
    K = windows.K.clone()
    shares, first, side = (x.to(K) for x in (shares, first, side))
    K[..., 0, 0], K[..., 1, 1] = K[..., 0, 0] / shares, K[..., 1, 1] / shares
    corner = first * side - 0.5
    K[..., 0, 2] = (K[..., 0, 2] - corner[:, 1:]) / shares - 0.5
    K[..., 1, 2] = (K[..., 1, 2] - corner[:, :1]) / shares - 0.5
    images = _enlarge(windows.images.movedim(-1, 2).flatten(0, 1).float(), *at, V, "bilinear")
    depth = _enlarge(windows.depth.view(B * V, 1, h, w).float(), *at, V, "nearest")
    return Windows(
        images.round().byte().view(B, V, 3, h, w).movedim(2, -1),
        depth.view(B, V, h, w).half(), windows.T_world_cam, K,
    )  # fmt: skip


def _enlarge(pictures, rows, columns, views, mode):
    """pictures (B*V,c,h,w) looked up at rows (B,h) and columns (B,w)."""
    h, w = pictures.shape[-2:]
    y, x = (2 * rows + 1) / h - 1, (2 * columns + 1) / w - 1
    grid = torch.stack(
        [x[:, None].expand(-1, h, -1), y[:, :, None].expand(-1, -1, w)], dim=-1
    ).repeat_interleave(views, dim=0)
    return F.grid_sample(pictures, grid, mode=mode, padding_mode="border", align_corners=False)


def change_pictures(windows: Windows, generator: torch.Generator) -> Windows:
    """Color, contrast, blur and noise of other cameras and lights."""
    images = windows.images.float() / 255
    B, V = images.shape[:2]

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(images)

    balance = (0.12 * normal(B, 1, 1, 1, 3)).exp()
    gain = (0.2 * normal(B, 1, 1, 1, 1) + 0.03 * normal(B, V, 1, 1, 1)).exp()
    images = (images * balance * gain).clamp(0, 1) ** (0.15 * normal(B, 1, 1, 1, 1)).exp()
    gray = images.mean(dim=-1, keepdim=True)
    images = torch.lerp(images, gray, torch.rand(B, 1, 1, 1, 1, generator=generator).to(images))
    blur = torch.rand(B, 1, 1, 1, 1, generator=generator).to(images) ** 2
    images = torch.lerp(images, _box_blur(images), blur)
    noise = 0.02 * normal(B, 1, 1, 1, 1).abs() * normal(*images.shape)
    pictures = ((images + noise).clamp(0, 1) * 255).round().byte()
    return Windows(pictures, windows.depth, windows.T_world_cam, windows.K)


def _box_blur(images):
    flat = images.flatten(0, 1).movedim(-1, 1)
    padded = torch.nn.functional.pad(flat, (1, 1, 1, 1), mode="replicate")
    blurred = torch.nn.functional.avg_pool2d(padded, 3, 1)
    return blurred.movedim(1, -1).view(images.shape)
