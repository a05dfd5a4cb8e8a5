"""Random rooms, streets and clutter, and a robot's way through them: the training data.

Everything follows from one `numpy` generator: the same seed gives the same scene.
"""

from __future__ import annotations

import numpy as np

from da3_ros.synthetic.scene_builder import SceneBuilder, yaw_rotation

PLACES = {"boxes": 72, "cylinders": 14, "balls": 10}
"""Primitives of every random scene after padding, so that scenes can be batched."""


class _Materials:
    """Draws the look of one thing after another from an atlas of `count` textures."""

    def __init__(self, rng: np.random.Generator, count: int):
        self.rng, self.count = rng, count
        self.palette = rng.integers(0, count, 12)
        self.detail = rng.uniform(0.7, 1.6)

    def draw(self) -> dict:
        """Texture, repeats, turn and tint as `SceneBuilder` takes them."""
        rng = self.rng
        shared = rng.random() < 0.4
        texture = rng.choice(self.palette) if shared else rng.integers(self.count)
        return {
            "texture": int(texture),
            "repeats": self.detail * np.exp(rng.uniform(np.log(0.3), np.log(2.5))),
            "turn": rng.choice([0.0, 0.0, np.pi / 2, rng.uniform(0, np.pi)]),
            "offset": rng.uniform(0, 1, 2),
            "tint": np.clip(rng.uniform(0.5, 1.25) * (1 + rng.uniform(-0.25, 0.25, 3)), 0.2, 1.4),
        }

    def picture(self, width, height) -> dict:
        """A texture shown once over a face of the given size, m."""
        return self.draw() | {"repeats": (1 / width, 1 / height), "turn": 0.0}


def random_scene(rng: np.random.Generator, textures: int):
    """A scene builder with its things and lights, and how far apart its views may look.

    Returns (builder, area): area is (low, high), the corners (3,) where a camera may be.
    """
    builder, look = SceneBuilder(), _Materials(rng, textures)
    kind = rng.choice(["room", "clutter", "street"], p=[0.68, 0.17, 0.15])
    area = {"room": _room, "clutter": _clutter, "street": _street}[kind](builder, rng, look)
    return builder, area


def build(builder: SceneBuilder):
    """The padded scene (S = 1) of a builder of `random_scene`."""
    return builder.build(**PLACES)


def _room(b, rng, look):
    size = np.array([rng.uniform(2.6, 8.0), rng.uniform(2.4, 6.0), rng.uniform(2.2, 3.4)])
    b.box(size / 2, size, inside=True, **look.draw())
    _panels(b, rng, look, size)
    for _ in range(rng.integers(3, 9)):
        furniture = rng.choice([_table, _cabinet, _shelf, _chair, _counter, _column, _bed])
        furniture(b, rng, look, size)
    for _ in range(rng.integers(2, 9)):
        _wall_picture(b, rng, look, size)
    for _ in range(rng.integers(0, 8)):
        _thing(b, rng, look, np.append(rng.uniform(0.2, size[:2] - 0.2), 0.0), 0.5)
    _room_lights(b, rng, size)
    return np.array([0.25, 0.25, 0.2]), size - [0.25, 0.25, 0.4]


def _panels(b, rng, look, size):
    """Floor, ceiling and some walls get a look of their own."""
    length, width, height = size
    b.box((length / 2, width / 2, 0), (length, width, 0.02), **look.draw())
    b.box((length / 2, width / 2, height), (length, width, 0.02), **look.draw())
    if rng.random() < 0.6:
        b.box((length, width / 2, height / 2), (0.02, width, height), **look.draw())
    if rng.random() < 0.6:
        b.box((length / 2, 0, height / 2), (length, 0.02, height), **look.draw())


def _room_lights(b, rng, size):
    b.ambient = rng.uniform(0.15, 0.6) * (1 + rng.uniform(-0.1, 0.1, 3))
    warm = np.array([1.0, rng.uniform(0.8, 1.05), rng.uniform(0.65, 1.1)])
    for share in (1.0, rng.uniform(0, 0.7)):
        position = np.append(rng.uniform(0.2, 0.8, 2) * size[:2], size[2] * rng.uniform(0.7, 0.97))
        b.light(position, warm * share * rng.uniform(0.5, 1.6), rng.uniform(1.5, 5.0))


def _spot(rng, size, half):
    """A place on the floor, mostly along a wall; half: (2,) half sizes. Returns (x, y), R."""
    yaw = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2])
    half = half[::-1] if abs(np.sin(yaw)) > 0.5 else half
    low, high = np.minimum(half + 0.02, size[:2] / 2), np.maximum(size[:2] - half, size[:2] / 2)
    place = rng.uniform(low, high)
    if rng.random() < 0.75:
        axis = rng.integers(2)
        place[axis] = low[axis] if rng.random() < 0.5 else high[axis] - 0.02
        return place, yaw_rotation(yaw)
    return place, yaw_rotation(yaw + rng.normal() * 0.4)


def _table(b, rng, look, size):
    l, w, h = rng.uniform(0.5, 1.8), rng.uniform(0.45, 1.0), rng.uniform(0.4, 1.05)
    place, R = _spot(rng, size, np.array([l, w]) / 2)
    top, leg = look.draw(), look.draw()
    b.box((*place, h - 0.02), (l, w, 0.04), R=R, **top)
    for x in (-l / 2 + 0.05, l / 2 - 0.05):
        for y in (-w / 2 + 0.05, w / 2 - 0.05):
            b.box((*place, h / 2) + R @ (x, y, -0.02), (0.05, 0.05, h - 0.04), R=R, **leg)
    for _ in range(rng.integers(0, 4)):
        spot = R @ np.array([rng.uniform(-0.4, 0.4) * l, rng.uniform(-0.4, 0.4) * w, h])
        _thing(b, rng, look, spot + (*place, 0), 0.3)


def _cabinet(b, rng, look, size):
    l, w, h = rng.uniform(0.4, 1.8), rng.uniform(0.3, 0.7), rng.uniform(0.4, 2.1)
    place, R = _spot(rng, size, np.array([l, w]) / 2)
    b.box((*place, h / 2), (l, w, h), R=R, **look.draw())
    if h < 1.4:
        _thing(b, rng, look, (*place, h) + R @ (rng.uniform(-0.4, 0.4) * l, 0, 0), 0.35)


def _shelf(b, rng, look, size):
    l, w, h = rng.uniform(0.6, 1.6), rng.uniform(0.25, 0.4), rng.uniform(1.0, 2.1)
    place, R = _spot(rng, size, np.array([l, w]) / 2)
    board, levels = look.draw(), rng.integers(3, 5)
    for side in (-1, 1):
        b.box((*place, h / 2) + R @ (side * l / 2, 0, 0), (0.03, w, h), R=R, **board)
    for z in np.linspace(0.05, h - 0.02, levels):
        b.box((*place, z), (l, w, 0.03), R=R, **board)
        spot = (*place, z + 0.015) + R @ (rng.uniform(-0.35, 0.35) * l, 0, 0)
        _thing(b, rng, look, spot, 0.3)


def _chair(b, rng, look, size):
    place, R = _spot(rng, size, np.array([0.25, 0.25]))
    seat, h = look.draw(), rng.uniform(0.38, 0.5)
    wide = rng.choice([0.42, rng.uniform(0.6, 1.9)])
    b.box((*place, h / 2), (wide, 0.42, h if wide > 0.5 else 0.06), R=R, **seat)
    b.box((*place, h + 0.2) + R @ (0, 0.19, 0), (wide, 0.08, 0.5), R=R, **seat)


def _counter(b, rng, look, size):
    """A kitchen counter with wall cupboards and things on it."""
    l, h = rng.uniform(1.2, 3.0), rng.uniform(0.8, 0.95)
    place, R = _spot(rng, size, np.array([l, 0.6]) / 2)
    front = look.draw()
    b.box((*place, h / 2), (l, 0.58, h), R=R, **front)
    b.box((*place, h + 0.02), (l + 0.02, 0.62, 0.04), R=R, **look.draw())
    if rng.random() < 0.6:
        b.box((*place, h + 0.95), (l * rng.uniform(0.4, 1.0), 0.36, 0.7), R=R, **front)
    for x in rng.uniform(-0.45, 0.45, rng.integers(1, 6)) * l:
        _thing(b, rng, look, (*place, h + 0.04) + R @ (x, rng.uniform(-0.2, 0.2), 0), 0.4)


def _column(b, rng, look, size):
    r = rng.uniform(0.04, 0.3)
    place, _ = _spot(rng, size, np.array([r, r]))
    h = rng.choice([size[2], rng.uniform(0.3, 2.0)])
    if len(b.kinds["cylinder"]) < PLACES["cylinders"]:
        b.cylinder((*place, h / 2), r, h, **look.draw())


def _bed(b, rng, look, size):
    l, w, h = rng.uniform(1.8, 2.1), rng.uniform(0.8, 1.8), rng.uniform(0.3, 0.6)
    place, R = _spot(rng, size, np.array([l, w]) / 2)
    b.box((*place, h / 2), (l, w, h), R=R, **look.draw())
    b.box((*place, h) + R @ (-l / 2, 0, 0), (0.08, w, rng.uniform(0.3, 1.2)), R=R, **look.draw())


def _wall_picture(b, rng, look, size):
    """A picture, door or window flat on one of the walls."""
    if len(b.kinds["box"]) >= PLACES["boxes"] - 1:
        return
    axis, w, h = rng.integers(2), rng.uniform(0.2, 1.5), rng.uniform(0.2, 1.3)
    center = rng.uniform(0.1, 0.9, 3) * size
    center[axis] = rng.choice([0.0, size[axis]])
    shape = np.array([0.05, w, h]) if axis == 0 else np.array([w, 0.05, h])
    b.box(center, shape, **look.picture(w, h))


def _thing(b, rng, look, foot, largest):
    """A box, can or ball standing at `foot`, no larger than `largest` m."""
    foot = np.asarray(foot, float)
    sizes = largest * rng.uniform(0.2, 1.0, 3)
    kind = rng.choice(["box", "cylinder", "ball"], p=[0.6, 0.22, 0.18])
    room = {"box": PLACES["boxes"] - 10, "cylinder": PLACES["cylinders"], "ball": PLACES["balls"]}
    if len(b.kinds[kind]) >= room[kind]:
        return
    center = foot + (0, 0, sizes[2] / 2)
    style = look.draw()
    style["repeats"] = style["repeats"] * rng.uniform(1, 4)
    if kind == "box":
        b.box(center, sizes, R=yaw_rotation(rng.uniform(0, np.pi)), **style)
    elif kind == "cylinder":
        b.cylinder(center, sizes[0] / 2, sizes[2], **style)
    else:
        radii = sizes[2] / 2 * np.array([1.0, *rng.uniform(0.7, 1.3, 1), 1.0])
        b.ball(center, radii, **style)


def _clutter(b, rng, look):
    """Boxes and balls of all sizes hanging in a hall, turned every way: geometry without habits."""
    size = np.array([rng.uniform(4, 14), rng.uniform(4, 14), rng.uniform(3, 8)])
    b.box(size / 2, size, inside=True, **look.draw())
    for _ in range(rng.integers(8, 40)):
        R = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        R = R * np.linalg.det(R)
        shape = np.exp(rng.uniform(np.log(0.1), np.log(1.6), 3))
        b.box(rng.uniform(0, 1, 3) * size, shape, R=R, **look.draw())
    for _ in range(rng.integers(0, PLACES["balls"])):
        b.ball(rng.uniform(0, 1, 3) * size, rng.uniform(0.1, 0.8, 3), **look.draw())
    _room_lights(b, rng, size)
    return np.full(3, 0.3), size - 0.3


def _street(b, rng, look):
    """Ground, houses, poles, trees and cars under a sky."""
    b.box((0, 0, -0.5), (300, 300, 1.0), **look.draw())
    reach = rng.uniform(6, 25)
    for _ in range(rng.integers(3, 12)):
        direction, distance = rng.uniform(0, 2 * np.pi), reach * rng.uniform(0.8, 3.0)
        shape = np.array([rng.uniform(3, 15), rng.uniform(3, 15), rng.uniform(2.5, 14)])
        place = distance * np.array([np.cos(direction), np.sin(direction)])
        R = yaw_rotation(rng.uniform(0, np.pi))
        b.box((*place, shape[2] / 2), shape, R=R, **look.draw())
    for _ in range(rng.integers(2, 18)):
        place = np.append(rng.uniform(-reach, reach, 2), 0)
        _thing(b, rng, look, place, rng.uniform(0.3, 2.5))
    for _ in range(rng.integers(0, 6)):
        place, tall = rng.uniform(-reach, reach, 2), rng.uniform(1.5, 5)
        if len(b.kinds["cylinder"]) < PLACES["cylinders"]:
            b.cylinder((*place, tall / 2), rng.uniform(0.04, 0.3), tall, **look.draw())
        if rng.random() < 0.6 and len(b.kinds["ball"]) < PLACES["balls"]:
            b.ball((*place, tall), rng.uniform(0.5, 1.8, 3), **look.draw())
    b.ambient = rng.uniform(0.3, 0.7) * np.array([0.9, 1.0, 1.1])
    sun = np.array([*rng.normal(size=2), rng.uniform(0.3, 1.5)])
    b.light(200 * sun / np.linalg.norm(sun), np.full(3, rng.uniform(0.2, 1.2)), 2000.0)
    b.light((0, 0, 20), np.zeros(3), 1.0)
    b.sky = np.clip(b.sky * rng.uniform(0.6, 1.2) + rng.uniform(-0.1, 0.1, (2, 3)), 0, 1.2)
    return np.array([-reach / 2, -reach / 2, 0.3]), np.array([reach / 2, reach / 2, 2.0])
