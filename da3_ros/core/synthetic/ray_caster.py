"""Exact images and depth of scenes made of boxes, cylinders and ellipsoids, in torch.

Every primitive is a unit shape under an affine map, and convex: along a ray it is an
interval, the intersection of a few simple intervals. One batched computation therefore
serves all primitives, on the CPU and on a GPU.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from da3_ros.core.synthetic.textures import SIZE, Atlas

NEAR = 0.01
"""Nothing closer than this is seen, metres."""

PAIRS_PER_CHUNK = 1 << 26
"""Ray-primitive pairs worked on at once on a GPU: about 8 GB at the peak."""

TILE = 120
"""Pixels along one side of the tiles of a picture on the CPU, where far primitives are culled."""


@dataclass(frozen=True)
class Scene:
    """S scenes side by side; world z up, metres.

    The first `boxes` primitives are boxes, the next `cylinders` cylinders (axis: local z), the
    rest ellipsoids. Unused places hold primitives of no size.

    A: (S,P,3,3) world -> unit shape (after subtracting the centre). center: (S,P,3).
    half: (S,P,3) half sizes, m. inside: (S,P) 1.0 where the shape is hollow and seen from within.
    texture: (S,P) long. uv: (S,P,2,2) texture repeats per metre on the surface.
    uv_offset: (S,P,2). tint: (S,P,3).
    light: (S,L,3) position. light_color: (S,L,3). light_reach: (S,L) m, where it falls to a half;
    only the first light throws shadows. ambient: (S,3).
    sky: (S,2,3) colour at the horizon and overhead.
    """

    A: torch.Tensor
    center: torch.Tensor
    half: torch.Tensor
    inside: torch.Tensor
    texture: torch.Tensor
    uv: torch.Tensor
    uv_offset: torch.Tensor
    tint: torch.Tensor
    light: torch.Tensor
    light_color: torch.Tensor
    light_reach: torch.Tensor
    ambient: torch.Tensor
    sky: torch.Tensor
    boxes: int
    cylinders: int

    def to(self, device) -> Scene:
        return self._map(lambda x: x.to(device))

    def __getitem__(self, index) -> Scene:
        return self._map(lambda x: x[index])

    def keep(self, wanted) -> Scene:
        """Only the wanted (P,) primitives of a single scene."""
        kept = {n: getattr(self, n)[:, wanted] for n in PRIMITIVE_FIELDS}
        b, c = self.boxes, self.boxes + self.cylinders
        counts = {"boxes": int(wanted[:b].sum()), "cylinders": int(wanted[b:c].sum())}
        return dataclasses.replace(self, **kept, **counts)

    def _map(self, change) -> Scene:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        tensors = {k: change(v) for k, v in values.items() if torch.is_tensor(v)}
        return dataclasses.replace(self, **tensors)


PRIMITIVE_FIELDS = ("A", "center", "half", "inside", "texture", "uv", "uv_offset", "tint")


def render(
    scene: Scene,
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
    rays = _pixel_rays(K, height, width)  # (S,V,H,W,3) at z = 1
    rays = rays @ T_world_cam[:, :, None, :3, :3].transpose(-1, -2)
    return trace(scene, atlas, T_world_cam[..., :3, 3], rays, 1 / K[..., 0, 0], shadows)


def _trace_chunks(scene, atlas, origin, rays, texel_angle, shadows):
    """Everything at once, as far as memory allows: the GPU's way."""
    S, V, H, W, _ = rays.shape
    chunk = max(256, PAIRS_PER_CHUNK // (S * V * scene.center.shape[1]))
    parts = [
        _trace(scene, atlas, origin, part, texel_angle, shadows)
        for part in rays.flatten(2, 3).split(chunk, dim=2)
    ]
    light = torch.cat([light for light, _ in parts], dim=2)
    depth = torch.cat([depth for _, depth in parts], dim=2)
    return light.view(S, V, H, W, 3), depth.view(S, V, H, W)


def _trace_tiles(scene, atlas, origin, rays, texel_angle, shadows):
    """Tile by tile, each with the few primitives it can see: a core's way."""
    S, V, H, W, _ = rays.shape
    light, depth = torch.empty_like(rays), rays.new_empty(S, V, H, W)
    views = [(s, v, y, x) for s in range(S) for v in range(V)
             for y in range(0, H, TILE) for x in range(0, W, TILE)]  # fmt: skip
    for s, v, y, x in views:
        one, view = slice(s, s + 1), slice(v, v + 1)
        tile = (one, view, slice(y, y + TILE), slice(x, x + TILE))
        part = rays[tile].flatten(2, 3)
        start = origin[one, view]
        visible = _in_cone(scene[one], start[0, 0], part.flatten(0, 2))
        shape = rays[tile].shape
        tile_light, tile_depth = _trace(
            visible, atlas, start, part, texel_angle[one, view], shadows, everything=scene[one]
        )
        light[tile], depth[tile] = tile_light.view(shape), tile_depth.view(shape[:-1])
    return light, depth


def _in_cone(scene, apex, directions):
    """The primitives of one scene that rays from an apex (3,) in directions (R,3) may meet."""
    directions = torch.nn.functional.normalize(directions, dim=-1)
    axis = torch.nn.functional.normalize(directions.mean(dim=0), dim=0)
    opening = (directions @ axis).amin().clamp(-1, 1).acos()
    offset = scene.center[0] - apex
    distance = offset.norm(dim=-1)
    angle = (offset @ axis / distance.clamp_min(1e-6)).clamp(-1, 1).acos()
    # A ball bounds boxes and cylinders by their half diagonal.
    spread = (scene.half[0].norm(dim=-1) / distance.clamp_min(1e-6)).clamp(max=1).asin()
    inside_bound = distance < scene.half[0].norm(dim=-1)
    return scene.keep((angle < opening + spread + 1e-3) | inside_bound)


def develop(light: torch.Tensor, exposure=1.0) -> torch.Tensor:
    """uint8 sRGB-like image of linear light."""
    return ((light * exposure).clamp(0, 1).pow(1 / 2.2) * 255).round().byte()


def _pixel_rays(K, height, width):
    v, u = torch.meshgrid(
        torch.arange(height, device=K.device, dtype=torch.float32),
        torch.arange(width, device=K.device, dtype=torch.float32),
        indexing="ij",
    )
    x = (u - K[..., 0, 2, None, None]) / K[..., 0, 0, None, None]
    y = (v - K[..., 1, 2, None, None]) / K[..., 1, 1, None, None]
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def _trace(scene, atlas, origin, rays, texel_angle, shadows, everything=None):
    """Light and depth along rays (S,V,R,3) from origins (S,V,3).

    everything: on the CPU, the one scene of which `scene` holds what the rays may meet.
    """
    start = origin[:, :, None].expand_as(rays)
    t_in, t_out = _intervals(scene, _to_local_points(scene, origin[:, :, None]), rays)
    t = torch.where(scene.inside[:, None, None] > 0, t_out, t_in)
    t = torch.where((t_out > t_in) & (t > NEAR), t, torch.inf)
    depth, winner = t.min(dim=-1)
    hit = depth.isfinite()
    point = start + rays * torch.where(hit, depth, 1.0)[..., None]
    surface = _Surface.at(scene, winner, point, rays)
    distance = depth * rays.norm(dim=-1) * texel_angle[:, :, None]
    albedo = surface.albedo(atlas, torch.where(hit, distance, 1.0), rays)
    light = albedo * _illumination(everything or scene, surface, point, shadows)
    return torch.where(hit[..., None], light, _sky(scene, rays)), depth


def _to_local_points(scene, points):
    """Three (S,V,R,P): coordinates of points (S,V,R,3) in every primitive's unit shape."""
    shift = (scene.A @ scene.center[..., None])[..., 0]  # (S,P,3)
    return [p - shift[:, None, None, :, k] for k, p in enumerate(_to_local(scene, points))]


def _to_local(scene, directions):
    """Three (S,V,R,P): directions (S,V,R,3) in every primitive's unit shape."""
    S, V, R, _ = directions.shape
    flat = directions.reshape(S, V * R, 3)
    local = [flat @ scene.A[:, :, k].transpose(-1, -2) for k in range(3)]
    return [x.view(S, V, R, -1) for x in local]


def _intervals(scene, origin_local, rays):
    """(t_in, t_out), each (S,V,R,P): where each ray enters and leaves each primitive.

    origin_local: three (S,V,R or 1,P). A ray that misses has t_in > t_out.
    """
    direction = _to_local(scene, rays)
    b, c = scene.boxes, scene.boxes + scene.cylinders
    box = _box_interval([x[..., :b] for x in origin_local], [x[..., :b] for x in direction])
    cylinder = _cylinder_interval(
        [x[..., b:c] for x in origin_local], [x[..., b:c] for x in direction]
    )
    ball = _ball_interval([x[..., c:] for x in origin_local], [x[..., c:] for x in direction])
    return tuple(torch.cat(parts, dim=-1) for parts in zip(box, cylinder, ball))


def _slab_interval(o, d):
    inverse = 1 / torch.where(d.abs() < 1e-9, 1e-9, d)
    middle, reach = -o * inverse, inverse.abs()
    return middle - reach, middle + reach


def _ball_interval(o, d):
    """Interval inside |p| <= 1, in as many dimensions as given."""
    a = sum(x * x for x in d).clamp_min(1e-12)
    b = sum(x * y for x, y in zip(o, d))
    c = sum(x * x for x in o) - 1
    root = (b * b - a * c).sqrt()  # NaN for a miss: every comparison with it is false
    return (-b - root) / a, (-b + root) / a


def _box_interval(o, d):
    t_in, t_out = _slab_interval(o[0], d[0])
    for k in (1, 2):
        low, high = _slab_interval(o[k], d[k])
        t_in, t_out = torch.maximum(t_in, low), torch.minimum(t_out, high)
    return t_in, t_out


def _cylinder_interval(o, d):
    side_in, side_out = _ball_interval(o[:2], d[:2])
    cap_in, cap_out = _slab_interval(o[2], d[2])
    return torch.maximum(side_in, cap_in), torch.minimum(side_out, cap_out)


@dataclass(frozen=True)
class _Surface:
    """What is known of the points (S,V,R) that rays hit."""

    normal: torch.Tensor  # (S,V,R,3), towards the viewer
    repeats: torch.Tensor  # (S,V,R,2) texture coordinates
    repeats_per_meter: torch.Tensor  # (S,V,R)
    texture: torch.Tensor  # (S,V,R)
    tint: torch.Tensor  # (S,V,R,3)

    @classmethod
    def at(cls, scene, winner, point, rays):
        S = winner.shape[0]
        row = torch.arange(S, device=winner.device)[:, None, None]
        A, half = scene.A[row, winner], scene.half[row, winner]
        q = (A @ (point - scene.center[row, winner])[..., None])[..., 0]
        b, c = scene.boxes, scene.boxes + scene.cylinders
        is_box, is_ball = winner < b, winner >= c
        face = _face(q, is_box, is_ball)
        normal = _local_normal(q, face)
        normal = torch.nn.functional.normalize((normal[..., None, :] @ A)[..., 0, :], dim=-1)
        normal = torch.where((normal * rays).sum(-1, keepdim=True) > 0, -normal, normal)
        uv = scene.uv[row, winner]
        flat = _unrolled(q, half, face)
        repeats = (uv @ flat[..., None])[..., 0] + scene.uv_offset[row, winner]
        return cls(
            normal,
            repeats,
            uv.abs().amax(dim=(-1, -2)),
            scene.texture[row, winner],
            scene.tint[row, winner],
        )

    def albedo(self, atlas, pixel_size, rays):
        slant = -(self.normal * rays).sum(-1) / rays.norm(dim=-1)
        # The geometric mean of the footprint's two sides: neither blur nor noise at grazing angles.
        texels = pixel_size * self.repeats_per_meter * SIZE / slant.clamp_min(0.02).sqrt()
        return atlas.sample(self.texture, self.repeats, texels.clamp_min(1e-6).log2()) * self.tint


def _face(q, is_box, is_ball):
    """0, 1, 2: a box's face across that axis, or a cylinder's cap (2); 3: its side; 4: a ball."""
    box = q.abs().argmax(dim=-1)
    cylinder = torch.where(q[..., 2].abs() > q[..., :2].norm(dim=-1), 2, 3)
    return torch.where(is_box, box, torch.where(is_ball, 4, cylinder))


def _local_normal(q, face):
    axes = torch.nn.functional.one_hot(face.clamp_max(2), 3)
    flat = axes * q
    side = torch.stack([q[..., 0], q[..., 1], torch.zeros_like(q[..., 2])], dim=-1)
    curved = torch.where((face == 3)[..., None], side, q)
    return torch.where((face < 3)[..., None], flat, curved)


def _unrolled(q, half, face):
    """(…,2) metres along the surface: across and up."""
    m = q * half
    angle = torch.atan2(q[..., 1], q[..., 0]) * half[..., 0]
    across = torch.where(face == 0, m[..., 1], torch.where(face < 3, m[..., 0], angle))
    up = torch.where(face == 2, m[..., 1], m[..., 2])
    return torch.stack([across, up], dim=-1)


def _illumination(scene, surface, point, shadows):
    """(S,V,R,3) light that falls on the points."""
    up = 0.75 + 0.25 * surface.normal[..., 2:]
    total = scene.ambient[:, None, None] * up
    for i in range(scene.light.shape[1]):
        to_light = scene.light[:, i, None, None] - point
        distance = to_light.norm(dim=-1, keepdim=True)
        cosine = ((surface.normal * to_light).sum(-1, keepdim=True) / distance).clamp_min(0)
        falloff = 1 / (1 + (distance / scene.light_reach[:, i, None, None, None]) ** 2)
        if shadows and i == 0:
            lifted = point + 2e-3 * surface.normal
            cosine = cosine * ~_is_blocked(scene, lifted, to_light)[..., None]
        total = total + scene.light_color[:, i, None, None] * cosine * falloff
    return total


def _is_blocked(scene, point, to_light):
    if point.device.type == "cpu":
        scene = _in_cone(scene, scene.light[0, 0], -to_light.flatten(0, 2))
    t_in, t_out = _intervals(scene, _to_local_points(scene, point), to_light)
    solid = scene.inside[:, None, None] == 0
    return ((t_out > t_in) & (t_in < 1) & (t_in > 0) & solid).any(dim=-1)


def _sky(scene, rays):
    up = (rays[..., 2:] / rays.norm(dim=-1, keepdim=True)).clamp(0, 1).sqrt()
    horizon, zenith = scene.sky[:, None, None, 0], scene.sky[:, None, None, 1]
    return horizon + up * (zenith - horizon)
