"""A window as the network takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.preprocess import (
    ResizePlan,
    common_size,
    plan_resize,
    prepare_image,
    reference_first,
    scale_camera,
)
from da3_ros.core.sliding_window import Window


@dataclass(frozen=True, eq=False)
class WindowInput:
    """The frames of a window, the reference first, and how their pictures are resized.

    order: indices into the window. size: (height, width) px of all pictures. cameras: of the
    frames at that size.
    """

    order: list[int]
    frames: list[Frame]
    plans: list[ResizePlan]
    size: tuple[int, int]
    cameras: list[CameraModel]

    @staticmethod
    def of(window: Window, process_res: int) -> WindowInput:
        """Plan for pictures whose longer side has `process_res` px."""
        order = reference_first(len(window.frames), window.reference)
        frames = [window.frames[i] for i in order]
        plans = [plan_resize(f.camera.height, f.camera.width, process_res) for f in frames]
        size = common_size(plans)
        cameras = [scale_camera(f.camera, p, size) for f, p in zip(frames, plans)]
        return WindowInput(order, frames, plans, size, cameras)

    def positions(self, views: tuple[int, ...]) -> list[int]:
        """Where frames of the window (indices) are in here."""
        return [self.order.index(i) for i in views]

    def images(self, positions: Sequence[int]) -> torch.Tensor:
        """(1, N, 3, h, w) float32 pictures of the frames at `positions`, on the processor."""
        chosen = [prepare_image(self.frames[i].image, self.plans[i], self.size) for i in positions]
        return torch.stack(chosen)[None]
