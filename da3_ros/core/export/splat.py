"""3D Gaussian Splatting on any torch device, and through gsplat where CUDA and it are there.

Kerbl et al. 2023; the constants are those of gsplat 1.5, so that both pictures agree.
Pixel centres are at half-integers here, as everywhere in that field.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from da3_ros.net.camera import rotation_matrix
from da3_ros.net.spherical_harmonics import basis

TILE = 8
"""px along one side of the squares that the picture is blended in."""
CHUNK = 32
"""Gaussians blended per step; a tile stops as soon as nothing more can be seen."""
NEAR = 0.01
"""Smallest depth along z that is drawn, in the unit of the scene."""
BLUR = 0.3
"""Added to the variance of every splat, px^2: none is thinner than a pixel."""
MIN_ALPHA, MAX_ALPHA, MIN_TRANSMITTANCE = 1 / 255, 0.999, 1e-4
"""A splat fainter than the first adds nothing, none hides all, and a pixel that lets through less
than the last is done."""
MAX_SIGMAS = 3.33
"""Standard deviations at which a splat ends."""
BATCH_TILES = 256
"""Tiles blended at once, which bounds the memory."""


@dataclass(frozen=True, eq=False)
class Picture:
    """rgb (H, W, 3), not clipped. depth (H, W): weighted sum of z. alpha (H, W)."""

    rgb: torch.Tensor
    depth: torch.Tensor
    alpha: torch.Tensor

    @property
    def expected_depth(self) -> torch.Tensor:
        """(H, W): mean z of what is seen; 0 where nothing is."""
        return self.depth / self.alpha.clamp_min(1e-10)


@dataclass(frozen=True, eq=False)
class _Splats:
    """Gaussians in the image, nearest first. All (G, ...)."""

    centre: torch.Tensor  # (G, 2) px
    conic: torch.Tensor  # (G, 3): a, b, c of exp(-(a x^2 + c y^2) / 2 - b x y)
    opacity: torch.Tensor  # (G,)
    values: torch.Tensor  # (G, 4): rgb and z
    radius: torch.Tensor  # (G, 2) px


@torch.no_grad()
def render(
    gaussians, T_cam_world: torch.Tensor, K: torch.Tensor, height: int, width: int
) -> Picture:
    """One view of Gaussians on a black ground.

    gaussians: means (G, 3), scales (G, 3), rotations (G, 4) wxyz, harmonics (G, 3, 1 | 4 | 9),
    opacities (G,). T_cam_world (4, 4), K (3, 3) px.
    """
    splats = _project(gaussians, T_cam_world, K, height, width)
    columns, rows = -(-width // TILE), -(-height // TILE)
    splat, start, count = _sort_into_tiles(splats, columns, rows)
    image = splats.values.new_zeros(rows * columns, TILE * TILE, 5)
    for tiles in torch.arange(rows * columns, device=start.device).split(BATCH_TILES):
        image[tiles] = _blend(splats, splat, start[tiles], count[tiles], tiles, columns)
    image = image.view(rows, columns, TILE, TILE, 5).permute(0, 2, 1, 3, 4)
    image = image.reshape(rows * TILE, columns * TILE, 5)[:height, :width]
    return Picture(image[..., :3], image[..., 3], image[..., 4])


def has_gsplat() -> bool:
    """Whether gsplat can render: it compiles its kernels when it is first imported, and where it
    finds no CUDA compiler it is there without them."""
    if find_spec("gsplat") is None:
        return False
    from gsplat.cuda._backend import _C

    return _C is not None


@torch.no_grad()
def render_gsplat(gaussians, T_cam_world, K, height: int, width: int) -> list[Picture]:
    """Views (V, 4, 4), (V, 3, 3) at once through the CUDA library gsplat."""
    from gsplat import rasterization

    color_depth, alpha, _ = rasterization(
        means=gaussians.means,
        quats=gaussians.rotations,
        scales=gaussians.scales,
        opacities=gaussians.opacities,
        colors=gaussians.harmonics.transpose(1, 2).contiguous(),
        viewmats=T_cam_world,
        Ks=K,
        width=width,
        height=height,
        near_plane=NEAR,
        render_mode="RGB+D",
        packed=False,
        sh_degree=int(gaussians.harmonics.shape[-1] ** 0.5) - 1,
    )
    return [Picture(c[..., :3], c[..., 3], a[..., 0]) for c, a in zip(color_depth, alpha)]


def _project(gaussians, T_cam_world, K, height, width) -> _Splats:
    """EWA projection (Zwicker 2001): where each Gaussian lands, how wide, which color."""
    R, t = T_cam_world[:3, :3], T_cam_world[:3, 3]
    centre_cam = gaussians.means @ R.T + t
    ahead = centre_cam[:, 2] > NEAR
    x, y, z = centre_cam[ahead].unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    M = (
        R
        @ rotation_matrix(gaussians.rotations[ahead].roll(-1, dims=-1))
        * gaussians.scales[ahead][:, None]
    )
    # The linearised projection is wild far outside the image: hold the slope at its border.
    slack_x, slack_y = 0.15 * width / fx, 0.15 * height / fy
    slope_x = (x / z).clamp(-cx / fx - slack_x, (width - cx) / fx + slack_x)
    slope_y = (y / z).clamp(-cy / fy - slack_y, (height - cy) / fy + slack_y)
    zero = torch.zeros_like(z)
    J = torch.stack([fx / z, zero, -fx * slope_x / z, zero, fy / z, -fy * slope_y / z], dim=-1)
    half = J.view(-1, 2, 3) @ M
    covariance = half @ half.transpose(1, 2)
    a, b, c = covariance[:, 0, 0] + BLUR, covariance[:, 0, 1], covariance[:, 1, 1] + BLUR
    determinant = a * c - b * b
    opacity = gaussians.opacities[ahead]
    # Beyond this many sigmas a splat of this opacity is fainter than MIN_ALPHA.
    sigmas = (2 * (opacity / MIN_ALPHA).clamp_min(1).log()).sqrt().clamp_max(MAX_SIGMAS)
    directions = gaussians.means[ahead] + R.T @ t
    splats = _Splats(
        centre=torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1),
        conic=torch.stack([c, -b, a], dim=-1) / determinant[:, None],
        opacity=opacity,
        values=torch.cat([colors(gaussians.harmonics[ahead], directions), z[:, None]], dim=-1),
        radius=(sigmas[:, None] * torch.stack([a, c], dim=-1).sqrt()).ceil(),
    )
    order = z.argsort()
    order = order[((determinant > 0) & (opacity >= MIN_ALPHA))[order]]
    return _Splats(**{name: values[order] for name, values in vars(splats).items()})


def _sort_into_tiles(splats: _Splats, columns: int, rows: int):
    """Which splats touch which tile, nearest first: splat (I,), and start, count (tiles,)."""
    limit = splats.centre.new_tensor([columns, rows])
    low = ((splats.centre - splats.radius) / TILE).floor().clamp_min(0).minimum(limit).long()
    high = ((splats.centre + splats.radius) / TILE).ceil().clamp_min(0).minimum(limit).long()
    span = (high - low).clamp_min(0)
    touched = span[:, 0] * span[:, 1]
    splat = torch.repeat_interleave(torch.arange(len(touched), device=touched.device), touched)
    first = touched.cumsum(0) - touched
    nth = torch.arange(len(splat), device=touched.device) - first[splat]
    column = low[splat, 0] + nth % span[splat, 0]
    row = low[splat, 1] + nth // span[splat, 0]
    tile, order = (row * columns + column).sort(stable=True)
    count = torch.bincount(tile, minlength=rows * columns)
    return splat[order], count.cumsum(0) - count, count


def _blend(splats: _Splats, splat, start, count, tiles, columns: int) -> torch.Tensor:
    """(tiles, pixels, 5): rgb, depth and alpha, front to back, CHUNK splats at a time."""
    corner = torch.stack([tiles % columns, tiles // columns], dim=-1) * TILE
    out = splats.values.new_zeros(len(tiles), TILE * TILE, 5)
    seen_through = splats.values.new_ones(len(tiles), TILE * TILE, 1)
    monomials = _monomials(splats.values)
    done = 0
    while True:
        visible = (count > done) & (seen_through[..., 0] > MIN_TRANSMITTANCE).any(dim=1)
        active = visible.nonzero()[:, 0]
        if not len(active):
            return out
        nth = done + torch.arange(CHUNK, device=tiles.device)
        index = splat[(start[active][:, None] + nth).clamp_max(len(splat) - 1)]
        form = _quadratic_form(splats, index, corner[active])
        form[..., 5].masked_fill_(nth >= count[active][:, None], -torch.inf)
        alpha = (monomials @ form.transpose(1, 2)).exp_().clamp_max_(MAX_ALPHA)
        alpha.masked_fill_(alpha < MIN_ALPHA, 0)
        before = seen_through[active]
        left = torch.cumprod(1 - alpha, dim=2).mul_(before)
        alpha.mul_(torch.cat([before, left[..., :-1]], dim=2))
        alpha.masked_fill_(left <= MIN_TRANSMITTANCE, 0)
        values = torch.nn.functional.pad(splats.values[index], (0, 1), value=1.0)
        out[active] += alpha @ values
        seen_through[active] = left[..., -1:]
        done += CHUNK


def _monomials(like: torch.Tensor) -> torch.Tensor:
    """(pixels, 6): u^2, uv, v^2, u, v, 1 of a tile's pixel centres, from its corner."""
    inside = torch.arange(TILE * TILE, device=like.device)
    u, v = (inside % TILE + 0.5).to(like), (inside // TILE + 0.5).to(like)
    return torch.stack([u * u, u * v, v * v, u, v, torch.ones_like(u)], dim=-1)


def _quadratic_form(splats: _Splats, index, corner) -> torch.Tensor:
    """(tiles, CHUNK, 6): log of how much each splat covers a pixel, on `_monomials`.

    One matrix product then does the work of a dozen passes over all pixels.
    """
    x, y = (splats.centre[index] - corner[:, None]).unbind(-1)
    a, b, c = splats.conic[index].unbind(-1)
    log_opacity = splats.opacity[index].log()
    constant = log_opacity - 0.5 * (a * x * x + c * y * y) - b * x * y
    return torch.stack([-a / 2, -b, -c / 2, a * x + b * y, b * x + c * y, constant], dim=-1)


def colors(harmonics: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """(G, 3) rgb >= 0 of real spherical harmonics (G, 3, 1 | 4 | 9) seen along (G, 3)."""
    values = basis(torch.nn.functional.normalize(directions, dim=-1))
    values = values[..., : harmonics.shape[-1]]
    return ((harmonics * values[:, None]).sum(-1) + 0.5).clamp_min(0)
