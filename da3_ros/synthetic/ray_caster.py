"""Exact images and depth of scenes made of boxes, cylinders and ellipsoids, in torch.

Every primitive is a unit shape under an affine map, and convex: along a ray it is an
interval, the intersection of a few simple intervals. One batched computation therefore
serves all primitives, on the CPU and on a GPU.

Vectors are components first: (3,S,V,R) for R rays of V cameras in S scenes. What concerns
P primitives is (S,P,V,R), so that the long dimension is the last.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from da3_ros.synthetic import shading
from da3_ros.synthetic.scene import SyntheticScene
from da3_ros.synthetic.textures import Atlas

NEAR = 0.01
"""Nothing closer than this is seen, metres."""

PAIRS_PER_CHUNK = 1 << 26
"""Ray-primitive pairs worked on at once on a GPU: about 8 GB at the peak."""

TILE = 120
"""Pixels along one side of the tiles of a picture on the CPU, where far primitives are culled."""


def render(
    scene: SyntheticScene,
    atlas: Atlas,
    T_world_cam: torch.Tensor,
    K: torch.Tensor,
    height: int,
    width: int,
    *,
    shadows: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures and depth of S scenes from V cameras each.

    T_world_cam: (S,V,4,4) optical frames, m. K: (S,V,3,3) px, pixel centres at integers.
    Returns light (S,V,H,W,3) float32, linear, about 0..1, and depth (S,V,H,W) float32 along z
    in metres, inf for the sky. `develop` makes an image of the light.
    """
    T_world_cam, K = T_world_cam.float(), K.float()
    trace = _trace_tiles if K.device.type == "cpu" else _trace_chunks
    rays = _pixel_rays(K, height, width)  # (3,S,V,H,W) at z = 1
    rays = torch.einsum("svij,jsvhw->isvhw", T_world_cam[..., :3, :3], rays)
    origin = T_world_cam[..., :3, 3].movedim(-1, 0)
    light, depth = trace(scene, atlas, origin, rays, 1 / K[..., 0, 0], shadows)
    return light.movedim(0, -1), depth


def develop(light: torch.Tensor, exposure: float | torch.Tensor = 1.0) -> torch.Tensor:
    """uint8 sRGB-like image of linear light."""
    return ((light * exposure).clamp(0, 1).pow(1 / 2.2) * 255).round().byte()


def _pixel_rays(K: torch.Tensor, height: int, width: int):
    u = torch.arange(width, device=K.device, dtype=torch.float32)
    v = torch.arange(height, device=K.device, dtype=torch.float32)
    x = (u - K[..., 0, 2, None]) / K[..., 0, 0, None]
    y = (v - K[..., 1, 2, None]) / K[..., 1, 1, None]
    shape = (*K.shape[:2], height, width)
    return torch.stack([x[:, :, None].expand(shape), y[..., None].expand(shape), x.new_ones(shape)])


def _trace_chunks(
    scene: SyntheticScene,
    atlas: Atlas,
    origin: torch.Tensor,
    rays: torch.Tensor,
    texel_angle: torch.Tensor,
    shadows: bool,
):
    """Everything at once, as far as memory allows: the GPU's way."""
    _, S, V, H, W = rays.shape
    chunk = max(256, PAIRS_PER_CHUNK // (S * V * scene.center.shape[1]))
    parts = [
        _trace(scene, scene, atlas, origin, part, texel_angle, shadows)
        for part in rays.flatten(3).split(chunk, dim=3)
    ]
    light = torch.cat([light for light, _ in parts], dim=3)
    depth = torch.cat([depth for _, depth in parts], dim=2)
    return light.view(3, S, V, H, W), depth.view(S, V, H, W)


def _trace_tiles(
    scene: SyntheticScene,
    atlas: Atlas,
    origin: torch.Tensor,
    rays: torch.Tensor,
    texel_angle: torch.Tensor,
    shadows: bool,
):
    """Tile by tile, each with the few primitives it can see: a core's way."""
    _, S, V, H, W = rays.shape
    light, depth = torch.empty_like(rays), rays.new_empty(S, V, H, W)
    tiles = [(s, v, y, x) for s in range(S) for v in range(V)
             for y in range(0, H, TILE) for x in range(0, W, TILE)]  # fmt: skip
    for s, v, y, x in tiles:
        one, view = slice(s, s + 1), slice(v, v + 1)
        tile = (one, view, slice(y, y + TILE), slice(x, x + TILE))
        part, start = rays[(slice(None), *tile)], origin[:, one, view]
        shape = part.shape
        part = part.flatten(3)
        visible = _in_cone(scene[one], start.flatten(), part.flatten(1))
        tile_light, tile_depth = _trace(
            visible, scene[one], atlas, start, part, texel_angle[one, view], shadows
        )
        light[(slice(None), *tile)], depth[tile] = (
            tile_light.view(shape),
            tile_depth.view(shape[1:]),
        )
    return light, depth


def _in_cone(scene: SyntheticScene, apex: torch.Tensor, directions: torch.Tensor) -> SyntheticScene:
    """The primitives of one scene that rays from an apex (3,) in directions (3,R) may meet."""
    directions = directions / shading.length(directions)
    axis = F.normalize(directions.mean(dim=1), dim=0)
    opening = (axis @ directions).amin().clamp(-1, 1).acos()
    offset = scene.center[0] - apex
    distance = offset.norm(dim=-1).clamp_min(1e-6)
    angle = (offset @ axis / distance).clamp(-1, 1).acos()
    # A ball bounds boxes and cylinders by their half diagonal.
    bound = scene.half[0].norm(dim=-1)
    spread = (bound / distance).clamp(max=1).asin()
    wanted = (angle < opening + spread + 1e-3) | (distance < bound)
    wanted[0] = True  # a scene is never empty
    return scene.keep(wanted)


def _trace(
    scene: SyntheticScene,
    everything: SyntheticScene,
    atlas: Atlas,
    origin: torch.Tensor,
    rays: torch.Tensor,
    texel_angle: torch.Tensor,
    shadows: bool,
):
    """Light (3,S,V,R) and depth (S,V,R) along rays (3,S,V,R) from origins (3,S,V).

    scene: what the rays may meet; everything: what may stand in the light's way.
    """
    origin = origin[..., None]
    t_in, t_out = _intervals(scene, origin, rays)
    t = torch.where(scene.inside[:, :, None, None] > 0, t_out, t_in)
    t = torch.where((t_out > t_in) & (t > NEAR), t, torch.inf)
    depth, winner = t.min(dim=1)
    hit = depth.isfinite()
    reach = torch.where(hit, depth, 1.0)
    point = origin + rays * reach
    surface = shading.surface_at(scene, winner, point, rays)
    footprint = reach * shading.length(rays) * texel_angle[..., None]
    albedo = shading.albedo(surface, atlas, footprint, rays)
    lit = _is_lit(everything, point + 2e-3 * surface.normal) if shadows else None
    light = albedo * shading.illumination(scene, surface.normal, point, lit)
    return torch.where(hit, light, shading.sky(scene, rays)), depth


def _is_lit(scene: SyntheticScene, point: torch.Tensor):
    """(S,V,R) True where nothing stands between the point (3,S,V,R) and the first light."""
    to_light = scene.light[:, 0].T[:, :, None, None] - point
    if point.device.type == "cpu":
        scene = _in_cone(scene, scene.light[0, 0], -to_light.flatten(1))
    t_in, t_out = _intervals(scene, point, to_light)
    solid = scene.inside[:, :, None, None] == 0
    return ~((t_out > t_in) & (t_in < 1) & (t_in > 0) & solid).any(dim=1)


def _intervals(scene: SyntheticScene, origin: torch.Tensor, rays: torch.Tensor):
    """(t_in, t_out), each (S,P,V,R): where each ray enters and leaves each primitive.

    origin: (3,S,V,R or 1). A ray that misses has t_in > t_out, or NaN.
    """
    b, c = scene.boxes, scene.boxes + scene.cylinders
    o = _to_local(scene, origin, scene.center)
    d = _to_local(scene, rays)
    box = _box_interval([x[:, :b] for x in o], [x[:, :b] for x in d])
    cylinder = _cylinder_interval([x[:, b:c] for x in o], [x[:, b:c] for x in d])
    ball = _ball_interval([x[:, c:] for x in o], [x[:, c:] for x in d])
    return tuple(torch.cat(parts, dim=1) for parts in zip(box, cylinder, ball))


def _to_local(scene: SyntheticScene, vectors: torch.Tensor, center: torch.Tensor | None = None):
    """Three (S,P,V,R): vectors (3,S,V,R), or points against a centre, in every unit shape."""
    rows = []
    for k in range(3):
        a = scene.A[:, :, k, :, None, None]  # (S,P,3,1,1)
        row = vectors[0][:, None] * a[:, :, 0]
        row = torch.addcmul(row, vectors[1][:, None], a[:, :, 1])
        row = torch.addcmul(row, vectors[2][:, None], a[:, :, 2])
        if center is not None:
            row = row - (scene.A[:, :, k] * center).sum(-1)[..., None, None]
        rows.append(row)
    return rows


def _slab_interval(o: torch.Tensor, d: torch.Tensor):
    inverse = 1 / torch.where(d.abs() < 1e-9, 1e-9, d)
    middle, reach = -o * inverse, inverse.abs()
    return middle - reach, middle + reach


def _ball_interval(o: torch.Tensor, d: torch.Tensor):
    """Interval inside |p| <= 1, in as many dimensions as given."""
    a = sum(x * x for x in d).clamp_min(1e-12)
    b = sum(x * y for x, y in zip(o, d))
    c = sum(x * x for x in o) - 1
    root = (b * b - a * c).sqrt()  # NaN for a miss: every comparison with it is false
    return (-b - root) / a, (-b + root) / a


def _box_interval(o: torch.Tensor, d: torch.Tensor):
    t_in, t_out = _slab_interval(o[0], d[0])
    for k in (1, 2):
        low, high = _slab_interval(o[k], d[k])
        t_in, t_out = torch.maximum(t_in, low), torch.minimum(t_out, high)
    return t_in, t_out


def _cylinder_interval(o: torch.Tensor, d: torch.Tensor):
    side_in, side_out = _ball_interval(o[:2], d[:2])
    cap_in, cap_out = _slab_interval(o[2], d[2])
    return torch.maximum(side_in, cap_in), torch.minimum(side_out, cap_out)
