"""A network that says the truth about an empty room, and the pipeline around it."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.net.network import EncodedViews, Features, NetOutput
from da3_ros.net.presets import find_preset

CAMERA = CameraModel(96, 72, np.array([[80.0, 0, 47.5], [0, 80, 35.5], [0, 0, 1]]))
RESOLUTION = 84  # 96x72 -> 84x63 -> 84x70: two resizes, fx unlike fy

ROOM = np.array([[-6.0, -1.5, -6], [6, 1.5, 6]])
"""Opposite corners of an empty room, metres; cameras move near its middle."""


def room_depth(T_world_cam, camera):
    """True depth (h, w) of the room's walls."""
    rays = camera.rays() @ T_world_cam[:3, :3].T
    with np.errstate(divide="ignore"):
        walls = (ROOM[:, None, None] - T_world_cam[:3, 3]) / rays
    return np.where(walls > 0, walls, np.inf).min(axis=(0, 3))


@dataclass
class TrueNetwork:
    """Says the truth about the room, in units that nobody is told.

    A frame is recognised by its color, which numbers it. units: network units per metre,
    of the metre that its input was normalised to (`follows_input`) or of the true one.
    """

    T_world_cam: list
    units: float = 1.0
    follows_input: bool = True
    preset: object = field(default_factory=lambda: find_preset("da3-small"))
    encoded: list = field(default_factory=list)
    cameras: object = None
    last_divisor: float = 1.0

    def parameters(self):
        return iter([torch.zeros(1)])

    def encode(self, images):
        numbers = (images[0, :, 0].mean(dim=(1, 2)) * 0.229 * 255 + 0.485 * 255 + 0.5).int()
        self.encoded += numbers.tolist()
        tokens = numbers.float()[None, :, None, None]
        return EncodedViews(tokens, tokens[..., 0], tuple(images.shape[-2:]))

    def aggregate(self, encoded, cameras=None, *, reference="saddle_balanced", views=None):
        assert reference == "first"
        self.cameras = cameras
        return Features((encoded.tokens,), None, tuple(views), encoded.size, {})

    def decode(self, features):
        T_world_cam = np.stack([self.T_world_cam[int(n)] for n in features.levels[0].flatten()])
        units = self.units / self._divisor(T_world_cam) if self.follows_input else self.units
        height, width = features.size
        camera = CAMERA.scaled(width=width, height=height)
        depth = np.stack([room_depth(T_world_cam[v], camera) for v in features.views])
        T_cam_ref = poses.inverse(T_world_cam) @ T_world_cam[0]
        T_cam_ref[:, :3, 3] *= units
        return NetOutput(
            depth=torch.from_numpy(depth * units).float()[None],
            conf=torch.full((1, *depth.shape), 2.0),
            T_cam_ref=torch.from_numpy(T_cam_ref[:, :3]).float()[None],
        )

    def _divisor(self, T_world_cam):
        """Metres of one unit of the input; where it shows no distance, as before."""
        if self.cameras is None:
            return 1.0
        true = np.linalg.norm(T_world_cam[:, :3, 3] - T_world_cam[0, :3, 3], axis=1)
        seen = poses.inverse(self.cameras.T_cam_ref[0].double().numpy())[:, :3, 3]
        seen = np.linalg.norm(seen, axis=1)
        if seen.max() > 0:
            self.last_divisor = true.max() / seen.max()
        return self.last_divisor


class OneViewNetwork(TrueNetwork):
    """Depth and sky of single images, no poses."""

    def decode(self, features):
        out = super().decode(features)
        return NetOutput(depth=out.depth, sky=torch.zeros_like(out.depth))


def frames_of(T_world_cam, posed=True, camera_id="cam"):
    return [
        Frame(
            camera_id,
            k * 1_000_000_000,
            np.full((72, 96, 3), k, np.uint8),
            CAMERA,
            T if posed else None,
        )
        for k, T in enumerate(T_world_cam)
    ]


def path(positions, turns=None):
    turns = turns or [(0, 0.1 * k, 0.05) for k in range(len(positions))]
    return [
        poses.compose(cv2.Rodrigues(np.array(r, float))[0], np.array(p, float))
        for p, r in zip(positions, turns)
    ]


def pipeline(network, **values):
    ungated = {"window.min_baseline": 0.0, "window.max_age": 1000.0}
    return Pipeline(network, from_dict({"model.process_res": RESOLUTION, **ungated, **values}))


def results(spine, frames):
    steps = [spine.push(f) for f in frames]
    return [spine.process(s.window) for s in steps if s.window]


MOTIONS = {
    "two views": [(0, 0, 0), (0.4, 0, 0.1)],
    "straight line": [(0, 0, 0.2 * k) for k in range(4)],
    "curve": [(0.3 * k, 0.1 * k * k, 0.2) for k in range(4)],
    "back and forth": [(0, 0, 0), (0.5, 0, 0), (0, 0, 0)],
}
