"""The demo room: one furnished, textured room that never changes, and a robot's way through it.

Ground truth for tests and the demo's default bag: exact poses, intrinsics and depth.
World: z up, metres, origin on the floor in a corner of the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.poses import compose
from da3_ros.synthetic import textures
from da3_ros.synthetic.ray_caster import develop, render
from da3_ros.synthetic.scene import SyntheticScene
from da3_ros.synthetic.scene_builder import SceneBuilder, yaw_rotation
from da3_ros.synthetic.textures import Atlas

SIZE = (6.0, 4.6, 2.6)
"""Length, width and height of the room, m."""

CAMERA = CameraModel(640, 480, np.array([[465.0, 0, 319.5], [0, 465.0, 239.5], [0, 0, 1]]))
"""The robot's camera: 640x480, 69 degrees wide."""

CAMERA_HEIGHT = 1.05
"""m above the floor."""

LOOP_VIEWS = 120

WHITE, BLUE, WOOD, FLOOR, TILES, RUG, CLOTH, CARDBOARD, METAL = range(9)
PICTURES = range(9, 17)


@dataclass(frozen=True)
class RoomView:
    """image: (H, W, 3) uint8 RGB. depth: (H, W) float32 along z, m.
    T_world_cam: (4, 4) float64, optical axes."""

    image: np.ndarray
    depth: np.ndarray
    camera: CameraModel
    T_world_cam: np.ndarray


@lru_cache(maxsize=1)
def room_atlas() -> Atlas:
    """The room's seventeen textures."""
    rng = np.random.default_rng(7)
    kinds = [
        textures.plaster, textures.noise, textures.wood, textures.wood, textures.bricks,
        textures.photograph, textures.stripes, textures.noise, textures.plaster,
    ]  # fmt: skip
    pictures = [textures.poster if i % 2 else textures.photograph for i in PICTURES]
    return Atlas.from_images([make(rng) for make in kinds + pictures])


@lru_cache(maxsize=1)
def room_scene() -> SyntheticScene:
    """The room with its furniture (S = 1)."""
    room = SceneBuilder()
    _shell(room)
    _shelf(room)
    _desk(room)
    _sofa(room)
    _kitchen(room)
    _table(room)
    _small_things(room)
    room.ambient = np.array([0.42, 0.41, 0.40])
    room.light((2.6, 2.2, 2.45), (0.95, 0.9, 0.8), 3.0)
    room.light((5.6, 0.8, 1.9), (0.35, 0.4, 0.5), 2.0)
    return room.build()


def _shell(room: SceneBuilder):
    length, width, height = SIZE
    room.box((length / 2, width / 2, height / 2), SIZE, WHITE, repeats=0.7, inside=True)
    room.box((length / 2, width / 2, -0.04), (length, width, 0.1), FLOOR, repeats=0.5)
    room.box((0.005, width / 2, 1.3), (0.03, width, 2.6), BLUE, repeats=0.8, tint=(0.75, 0.9, 1.1))
    for x in (1.2, 3.0, 4.8):
        room.box((x, 0.005, 1.65), (0.8, 0.03, 0.6), PICTURES[int(x)], repeats=(1 / 0.8, 1 / 0.6))
    room.box((5.99, 3.3, 1.0), (0.05, 0.9, 2.0), WOOD, repeats=0.6, tint=(0.9, 0.6, 0.45))
    room.box((5.99, 1.3, 1.5), (0.04, 1.4, 1.1), PICTURES[0], repeats=(0.6, 0.6), tint=1.4)
    for x, z, picture in ((1.0, 1.75, 2), (2.6, 1.6, 4), (3.7, 1.75, 1), (5.2, 1.5, 7)):
        room.box((x, 4.595, z), (0.7, 0.03, 0.5), PICTURES[picture], repeats=(1 / 0.7, 1 / 0.5))
    for y in (2.6, 3.6):
        room.box((0.02, y, 1.6), (0.04, 0.6, 0.8), PICTURES[int(y)], repeats=(1 / 0.6, 1 / 0.8))
    room.box((4.9, 0.01, 1.3), (2.0, 0.03, 0.8), TILES, repeats=1.2, tint=(0.9, 1.0, 1.0))
    room.box((length / 2, 4.6, 0.45), (length, 0.03, 0.9), BLUE, repeats=0.8, tint=(1.0, 0.9, 0.7))
    room.box((length / 2, 0.0, 0.45), (length, 0.03, 0.9), BLUE, repeats=0.8, tint=(1.0, 0.9, 0.7))
    room.box((2.9, 2.2, 0.012), (2.0, 1.5, 0.02), RUG, repeats=0.7, tint=(1.2, 0.7, 0.6))


def _shelf(room: SceneBuilder):
    """A bookcase against the wall at x = 0."""
    for z in (0.05, 0.5, 0.95, 1.4, 1.85):
        room.box((0.2, 1.3, z), (0.34, 1.4, 0.03), WOOD, repeats=1.0)
    for y in (0.6, 2.0):
        room.box((0.2, y, 0.95), (0.34, 0.03, 1.85), WOOD, repeats=1.0)
    rng = np.random.default_rng(3)
    for z in (0.52, 0.97, 1.42):
        y = 0.66
        while y < 1.85:
            thick, tall = rng.uniform(0.06, 0.2), rng.uniform(0.22, 0.38)
            picture = PICTURES[int(rng.integers(8))]
            tint = rng.uniform(0.5, 1.3, 3)
            room.box((0.2, y + thick / 2, z + tall / 2), (0.22, thick, tall), picture, tint=tint,
                     repeats=2.0, offset=rng.uniform(0, 1, 2))  # fmt: skip
            y += thick + rng.choice([0.01, 0.12])


def _desk(room: SceneBuilder):
    room.box((1.2, 4.25, 0.73), (1.5, 0.65, 0.04), WOOD, repeats=0.8)
    for x in (0.5, 1.9):
        for y in (4.0, 4.5):
            room.cylinder((x, y, 0.35), 0.025, 0.7, METAL)
    room.box((1.2, 4.42, 1.08), (0.62, 0.04, 0.38), PICTURES[3], repeats=(1.6, 2.6))
    room.cylinder((1.2, 4.42, 0.82), 0.03, 0.16, METAL)
    room.ball((1.75, 4.3, 0.85), 0.1, TILES, repeats=3.0, tint=(1.3, 0.8, 0.4))


def _sofa(room: SceneBuilder):
    room.box((3.4, 4.15, 0.22), (1.9, 0.8, 0.44), CLOTH, repeats=1.5, tint=(0.5, 0.75, 0.6))
    room.box((3.4, 4.45, 0.6), (1.9, 0.22, 0.5), CLOTH, repeats=1.5, tint=(0.5, 0.75, 0.6))
    for x in (2.4, 4.4):
        room.box((x, 4.15, 0.32), (0.2, 0.8, 0.64), CLOTH, repeats=1.5, tint=(0.45, 0.7, 0.55))
    room.ball((2.8, 4.2, 0.55), (0.22, 0.12, 0.2), PICTURES[5], repeats=2.0)


def _kitchen(room: SceneBuilder):
    """Counter and wall cupboards in the corner x = 6, y = 0."""
    room.box((4.9, 0.32, 0.43), (2.0, 0.6, 0.86), WHITE, repeats=0.9, tint=(0.9, 0.35, 0.3))
    room.box((4.9, 0.33, 0.88), (2.04, 0.64, 0.04), TILES, repeats=1.2)
    room.box((5.2, 0.2, 1.95), (1.4, 0.36, 0.7), WHITE, repeats=0.9, tint=(0.9, 0.35, 0.3))
    room.cylinder((4.3, 0.35, 1.02), 0.09, 0.24, METAL, tint=(0.6, 0.7, 0.9))
    room.cylinder((4.75, 0.3, 0.98), 0.12, 0.16, CLOTH, tint=(1.2, 0.8, 0.6))
    room.box((5.5, 0.3, 1.05), (0.45, 0.35, 0.3), PICTURES[6], repeats=(2.2, 3.3))


def _table(room: SceneBuilder):
    room.cylinder((2.7, 2.3, 0.72), 0.5, 0.04, WOOD, repeats=0.8)
    room.cylinder((2.7, 2.3, 0.36), 0.05, 0.7, METAL)
    room.cylinder((2.7, 2.3, 0.03), 0.28, 0.03, METAL)
    room.ball((2.6, 2.2, 0.83), 0.1, PICTURES[1], repeats=4.0, tint=(1.4, 0.6, 0.4))
    room.cylinder((2.9, 2.45, 0.83), 0.05, 0.2, PICTURES[2], repeats=4.0)
    for yaw, x, y in ((-0.4, 3.3, 2.1), (2.9, 2.12, 2.4)):
        R = yaw_rotation(yaw)
        room.box((x, y, 0.44), (0.42, 0.42, 0.05), CLOTH, R=R, repeats=2.0, tint=(1.1, 0.7, 0.3))
        back = np.array((x, y, 0.72)) + R @ (0.2, 0, 0)
        room.box(back, (0.04, 0.42, 0.5), WOOD, R=R, repeats=2.0)
        for dx in (-0.18, 0.18):
            for dy in (-0.18, 0.18):
                room.cylinder(np.array((x, y, 0.22)) + R @ (dx, dy, 0), 0.018, 0.42, METAL)


def _small_things(room: SceneBuilder):
    room.box((0.55, 3.2, 0.2), (0.5, 0.4, 0.4), CARDBOARD, R=yaw_rotation(0.5), repeats=1.5)
    room.box((0.5, 3.15, 0.52), (0.3, 0.35, 0.24), CARDBOARD, R=yaw_rotation(-0.2), repeats=2.0)
    room.cylinder((5.65, 2.5, 0.3), 0.18, 0.6, TILES, repeats=1.5, tint=(0.5, 0.9, 0.6))
    room.ball((5.65, 2.5, 0.95), (0.3, 0.3, 0.42), PICTURES[4], repeats=2.0, tint=(0.4, 0.9, 0.4))
    room.ball((4.2, 3.3, 0.14), 0.14, TILES, repeats=4.0, tint=(1.2, 0.4, 0.3))


def demo_path(n: int) -> np.ndarray:
    """(n, 4, 4) float64 T_world_cam of one closed loop, evenly spaced, starting at the door.

    The camera rides 1.05 m above the floor around the table, looks ahead and to the
    left, nods and rolls a little, as on a robot.
    """
    phase = np.arange(n) / n * 2 * np.pi
    return np.stack([_demo_pose(p) for p in phase])


def _demo_pose(phase: float) -> np.ndarray:
    x = 2.95 + 1.55 * np.cos(phase)
    y = 2.2 + 1.0 * np.sin(phase)
    z = CAMERA_HEIGHT + 0.06 * np.sin(2 * phase)
    ahead = np.arctan2(1.0 * np.cos(phase), -1.55 * np.sin(phase))
    yaw = ahead + 0.3 + 0.3 * np.sin(3 * phase)
    pitch = -0.12 + 0.06 * np.sin(2 * phase + 1)
    return look(np.array([x, y, z]), yaw, pitch, 0.02 * np.sin(5 * phase))


def look(
    position: Sequence[float] | np.ndarray, yaw: float, pitch: float = 0.0, roll: float = 0.0
) -> np.ndarray:
    """T_world_cam at a position, heading `yaw` from world x (anticlockwise), `pitch` up, rad."""
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    R = np.stack([c * right + s * down, c * down - s * right, forward], axis=1)
    return compose(R, np.asarray(position, float))


def render_room(T_world_cam: np.ndarray, camera: CameraModel = CAMERA) -> RoomView:
    """Picture and exact depth of the room seen from one pose."""
    pose = torch.as_tensor(T_world_cam)[None, None]
    K = torch.as_tensor(camera.K)[None, None]
    with torch.inference_mode():
        light, depth = render(room_scene(), room_atlas(), pose, K, camera.height, camera.width)
        image = develop(light[0, 0])
    return RoomView(image.numpy(), depth[0, 0].numpy(), camera, np.asarray(T_world_cam))


def render_room_frame(i: int) -> RoomView:
    """View i of a loop of `LOOP_VIEWS`."""
    return render_room(_demo_pose(2 * np.pi * (i % LOOP_VIEWS) / LOOP_VIEWS))
