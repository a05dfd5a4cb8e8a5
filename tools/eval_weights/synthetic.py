"""Rendered data with exact depth: the demo's room, and scenes that no training has drawn."""

from __future__ import annotations

import numpy as np
import torch

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.synthetic.room import CAMERA, demo_path, render_room
from tools.eval_weights.recording import EXACT, Dataset, PosedRecording, Shot
from tools.training.held_out import JUDGED_SEED, never_drawn
from tools.training.windows import Windows

ROOM_FRAMES = 240
"""Of one loop through the room: steps of 3.4 cm, as of a robot at 1 m/s and 30 Hz."""

SCENE_VIEWS = 6
PERIOD_NS = 33_333_333


def camera_for(process_res: int) -> CameraModel:
    """The robot's camera, 640x480, or half of it where the network sees less than that."""
    small = CAMERA.scaled(width=CAMERA.width // 2, height=CAMERA.height // 2)
    return small if process_res <= small.width else CAMERA


def demo_room(camera: CameraModel = CAMERA) -> Dataset:
    """One loop through the demo's room; a picture is drawn when it is looked at."""
    path = demo_path(ROOM_FRAMES)
    stamps = (np.arange(ROOM_FRAMES) + 1) * PERIOD_NS

    def read(i: int) -> Shot:
        view = render_room(path[i], camera)
        frame = Frame("camera", int(stamps[i]), view.image, view.camera, view.T_world_cam)
        return Shot(frame, np.where(np.isfinite(view.depth), view.depth, np.nan))

    return Dataset("demo room", EXACT, (PosedRecording("demo room", stamps, path, read),))


def held_out_scenes(count: int, camera: CameraModel = CAMERA) -> Dataset:
    """`count` rooms, halls and streets with textures and paths of seeds that training never
    draws, of six pictures each."""
    scenes = never_drawn(JUDGED_SEED, count, SCENE_VIEWS, (camera.height, camera.width))
    recordings = (_scene(windows, k, camera) for k, windows in enumerate(scenes))
    return Dataset("held-out scenes", EXACT, tuple(recordings))


def _scene(windows: Windows, number: int, camera: CameraModel) -> PosedRecording:
    stamps = (np.arange(SCENE_VIEWS) + 1) * 3 * PERIOD_NS
    T_world_cam = windows.T_world_cam[0].numpy()

    def read(i: int) -> Shot:
        model = CameraModel(camera.width, camera.height, windows.K[0, i].double().numpy())
        depth = windows.depth[0, i].float()
        frame = Frame("camera", int(stamps[i]), windows.images[0, i].numpy(), model, T_world_cam[i])
        return Shot(frame, torch.where(depth.isfinite(), depth, torch.nan).numpy())

    return PosedRecording(f"scene {number}", stamps, T_world_cam, read)
