"""What surfaces look like: textures, light and sky.

Shapes as in `ray_caster`: vectors (3,S,V,R), numbers (S,V,R).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from da3_ros.synthetic.scene import SyntheticScene
from da3_ros.synthetic.textures import SIZE, Atlas


@dataclass(frozen=True)
class Surface:
    """The points that rays hit.

    normal: (3,S,V,R), towards the viewer. repeats: (S,V,R,2) texture coordinates.
    repeats_per_meter, texture: (S,V,R). tint: (3,S,V,R).
    """

    normal: torch.Tensor
    repeats: torch.Tensor
    repeats_per_meter: torch.Tensor
    texture: torch.Tensor
    tint: torch.Tensor


def surface_at(
    scene: SyntheticScene, winner: torch.Tensor, point: torch.Tensor, rays: torch.Tensor
) -> Surface:
    """The surface of primitive `winner` (S,V,R) at the points."""
    own = _properties_of(scene, winner)
    A, half = own[:9], own[9:12]
    q = _unit_position(A, point - own[12:15])
    face = _face(q, winner < scene.boxes, winner >= scene.boxes + scene.cylinders)
    local = _local_normal(q, face)
    normal = torch.stack(
        [A[j] * local[0] + A[3 + j] * local[1] + A[6 + j] * local[2] for j in range(3)]
    )
    towards = -torch.sign(dot(normal, rays)) / length(normal)
    normal = normal * towards
    across, up = _unrolled(q, half, face)
    uv = own[15:19]
    u = uv[0] * across + uv[1] * up + own[19]
    v = uv[2] * across + uv[3] * up + own[20]
    return Surface(
        normal,
        torch.stack([u, v], dim=-1),
        uv[0].hypot(uv[1]).maximum(uv[2].hypot(uv[3])),
        own[24].long(),
        own[21:24],
    )


def _properties_of(scene: SyntheticScene, winner: torch.Tensor):
    """(25,S,V,R): A, half, centre, uv, uv offset, tint and texture of each point's primitive."""
    columns = (scene.A.flatten(2), scene.half, scene.center, scene.uv.flatten(2),
               scene.uv_offset, scene.tint, scene.texture[..., None].float())  # fmt: skip
    table = torch.cat(columns, dim=-1).movedim(-1, 0)  # (25,S,P)
    index = winner.flatten(1).expand(len(table), -1, -1)
    return table.gather(2, index).view(len(table), *winner.shape)


def _unit_position(A: torch.Tensor, offset: torch.Tensor):
    return torch.stack(
        [
            A[3 * k] * offset[0] + A[3 * k + 1] * offset[1] + A[3 * k + 2] * offset[2]
            for k in range(3)
        ]
    )


def _face(q: torch.Tensor, is_box: torch.Tensor, is_ball: torch.Tensor):
    """0, 1, 2: a box's face across that axis, or a cylinder's cap (2); 3: its side; 4: a ball."""
    x, y, z = q.abs()
    box = torch.where(z > x.maximum(y), 2, torch.where(y > x, 1, 0))
    cylinder = torch.where(q[2].abs() > length(q[:2]), 2, 3)
    return torch.where(is_box, box, torch.where(is_ball, 4, cylinder))


def _local_normal(q: torch.Tensor, face: torch.Tensor):
    """Three (S,V,R): the unit shape's outward direction."""
    return [
        torch.where((face == k) | (face == 4) | ((face == 3) & (k < 2)), q[k], 0.0)
        for k in range(3)
    ]


def _unrolled(q: torch.Tensor, half: torch.Tensor, face: torch.Tensor):
    """Metres along the surface, across and up."""
    m = q * half
    angle = torch.atan2(q[1], q[0]) * half[0]
    across = torch.where(face == 0, m[1], torch.where(face < 3, m[0], angle))
    return across, torch.where(face == 2, m[1], m[2])


def albedo(surface: Surface, atlas: Atlas, footprint: torch.Tensor, rays: torch.Tensor):
    """(3,S,V,R) texture color; footprint: size of a pixel across the ray at the point, m."""
    slant = -dot(surface.normal, rays) / length(rays)
    # The geometric mean of the footprint's two sides: neither blur nor noise at grazing angles.
    texels = footprint * surface.repeats_per_meter * SIZE / slant.clamp_min(0.02).sqrt()
    color = atlas.sample(surface.texture, surface.repeats, texels.clamp_min(1e-6).log2())
    return color.movedim(-1, 0) * surface.tint


def illumination(
    scene: SyntheticScene, normal: torch.Tensor, point: torch.Tensor, lit: torch.Tensor
):
    """(3,S,V,R) light on the points. lit: (S,V,R) where the first light reaches, or None."""
    total = _spread(scene.ambient) * (0.75 + 0.25 * normal[2])
    for i in range(scene.light.shape[1]):
        to_light = _spread(scene.light[:, i]) - point
        square = dot(to_light, to_light)
        cosine = dot(normal, to_light).clamp_min(0) / square.sqrt()
        strength = cosine / (1 + square / scene.light_reach[:, i, None, None] ** 2)
        if lit is not None and i == 0:
            strength = strength * lit
        total = total + _spread(scene.light_color[:, i]) * strength
    return total


def sky(scene: SyntheticScene, rays: torch.Tensor):
    """(3,S,V,R) from the horizon's color to the zenith's."""
    up = (rays[2] / length(rays)).clamp(0, 1).sqrt()
    return torch.lerp(_spread(scene.sky[:, 0]), _spread(scene.sky[:, 1]), up)


def _spread(color: torch.Tensor):
    """(S,3) -> (3,S,1,1)."""
    return color.T[:, :, None, None]


def dot(a: torch.Tensor, b: torch.Tensor):
    """(3,...), (3,...) -> (...). Written out: reductions over a short first dimension are slow."""
    return sum(x * y for x, y in zip(a, b))


def length(a: torch.Tensor):
    """(3,...) -> (...)."""
    return dot(a, a).sqrt()
