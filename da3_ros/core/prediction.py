"""What comes out: `Prediction` of the public API, `WindowDepth` of the robot's pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.memory_limit import MemoryLimit
from da3_ros.core.preprocess import ResizePlan, centre_crop
from da3_ros.core.scale.placement import ChainLink, Evidence, Placement, ScaleEstimate
from da3_ros.core.sliding_window import Window
from da3_ros.net.gaussians import Gaussians


@dataclass(eq=False)
class Prediction:
    """Depth, cameras and extras of N views; the result of `DepthAnything3.inference`.

    It is the caller's own: arrays and attributes may be changed, as in
    ``prediction.depth[prediction.sky >= 0.3] = np.nan``; exports check it again.

    depth: (N, H, W) float32 along z, conf: (N, H, W) at least 1, or None; NaN in either: no point
    in a cloud (glb, ply, colmap); gs_ply leaves out Gaussians of NaN depth where it prunes by
    depth, gs_video none. sky: (N, H, W), 0.3 and more is sky, or None.
    extrinsics: (N, 3, 4) world to camera, OpenCV axes, and
    intrinsics: (N, 3, 3) px at (H, W), or None where the model has no cameras.
    processed_images: (N, H, W, 3) uint8 RGB as the network saw them. is_metric: depth is in
    metres. aux: `feat_layer_X` -> (N, H/14, W/14, C), and `gaussians` too where there are some.
    scale_factor: metres per network unit.
    """

    depth: np.ndarray
    conf: np.ndarray | None = None
    extrinsics: np.ndarray | None = None
    intrinsics: np.ndarray | None = None
    processed_images: np.ndarray | None = None
    aux: dict[str, Any] = field(default_factory=dict)
    gaussians: Gaussians | None = None
    is_metric: bool = False
    sky: np.ndarray | None = None
    scale_factor: float | None = None

    def __post_init__(self):
        self.aux = {name: value for name, value in self.aux.items() if name != "gaussians"}
        if self.gaussians is not None:
            self.aux["gaussians"] = self.gaussians
        self.check()

    def check(self) -> None:
        """`ValueError` where it is no array, or shapes do not go together."""
        _check_maps(self.depth, conf=self.conf, sky=self.sky)
        count = len(self.depth)
        _check("extrinsics", self.extrinsics, (count, 3, 4))
        _check("intrinsics", self.intrinsics, (count, 3, 3))
        _check("processed_images", self.processed_images, (*self.depth.shape, 3))


@dataclass(frozen=True, eq=False)
class WindowDepth:
    """Depth of the published views of one window, and the poses of all its views.

    depth: (M, h, w) float32 along z at network size, metres when `is_metric`, else units of
    the chain (`link`) or the network; NaN where unknown, all of it while the scale of posed
    frames is unknown.
    conf, sky: (M, h, w) or None. cameras: of the M views at (h, w). plans: how their images
    became (h, w). placement: where the window is, and how its depth became metres; its parts
    can be asked for directly. seconds: time of each stage.
    limit: what memory allowed; None where everything fitted.
    """

    window: Window
    depth: np.ndarray
    conf: np.ndarray | None
    sky: np.ndarray | None
    cameras: tuple[CameraModel, ...]
    plans: tuple[ResizePlan, ...]
    placement: Placement
    seconds: dict[str, float]
    limit: MemoryLimit | None = None

    def __post_init__(self):
        count, *size = self.depth.shape
        _check_maps(self.depth, conf=self.conf, sky=self.sky)
        _check("T_world_cam", self.T_world_cam, (len(self.window.frames), 4, 4))
        if count != len(self.window.views) or count != len(self.cameras):
            raise ValueError(
                f"{count} maps and {len(self.cameras)} cameras for {len(self.window.views)} views"
            )
        if any([c.height, c.width] != size for c in self.cameras):
            raise ValueError(f"cameras must have the depth's size {tuple(size)}")

    @property
    def scale(self) -> ScaleEstimate:
        """Metres per network unit."""
        return self.placement.scale

    @property
    def is_metric(self) -> bool:
        """Whether lengths are metres."""
        return self.placement.is_metric

    @property
    def evidence(self) -> Evidence | None:
        """What the metres rest on; None without given poses."""
        return self.placement.evidence

    @property
    def T_world_cam(self) -> np.ndarray | None:
        """(N, 4, 4) poses as predicted; None of a one-view network."""
        return self.placement.T_world_cam

    @property
    def world_poses(self) -> np.ndarray | None:
        """T_world_cam (N, 4, 4) as given, of one moment's correction, else as placed, NaN where
        unknown; None of a one-view network without given ones.
        """
        given = self.window.T_world_cam
        return self.T_world_cam if given is None else given

    @property
    def position_residuals(self) -> np.ndarray | None:
        """(N,) m, predicted against given poses."""
        return self.placement.position_residuals

    @property
    def rotation_residuals(self) -> np.ndarray | None:
        """(N,) rad, predicted against given poses."""
        return self.placement.rotation_residuals

    @property
    def link(self) -> ChainLink | None:
        """How a window without given poses was placed."""
        return self.placement.link

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The M published frames."""
        return tuple(self.window.frames[i] for i in self.window.views)

    def pose(self, index: int) -> np.ndarray | None:
        """T_world_cam (4, 4) of a published view: as given for its stamp, else as placed; None if
        unknown.
        """
        T_world_cam = self.frames[index].T_world_cam
        if T_world_cam is None and self.T_world_cam is not None:
            T_world_cam = self.T_world_cam[self.window.views[index]]
        return T_world_cam if T_world_cam is not None and np.isfinite(T_world_cam).all() else None

    def image(self, index: int) -> np.ndarray:
        """(h, w, 3) uint8 RGB of a published view, as the network saw it."""
        resized = self.plans[index].image(self.frames[index].image)
        return centre_crop(resized, self.depth.shape[1:])

    def to_prediction(self) -> Prediction:
        """The published views for the exports: world frame at the given poses.

        Without given poses: the chain's world at the predicted poses.
        """
        extrinsics = None
        if self.world_poses is not None:
            extrinsics = poses.inverse(self.world_poses[list(self.window.views)])[:, :3]
        return Prediction(
            depth=self.depth,
            conf=self.conf,
            extrinsics=extrinsics,
            intrinsics=np.stack([c.K for c in self.cameras]),
            processed_images=np.stack([self.image(m) for m in range(len(self.depth))]),
            is_metric=self.is_metric,
            sky=self.sky,
            scale_factor=self.scale.scale if self.is_metric else None,
        )


def _check_maps(depth: np.ndarray, **others: np.ndarray | None) -> None:
    _check_array("depth", depth)
    if depth.ndim != 3 or depth.dtype != np.float32:
        raise ValueError(f"depth must be (N, H, W) float32, got {depth.dtype} {depth.shape}")
    for name, values in others.items():
        _check(name, values, depth.shape)


def _check(name: str, values: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if values is None:
        return
    _check_array(name, values)
    if values.shape != shape:
        raise ValueError(f"{name} must be {shape}, got {values.shape}")


def _check_array(name: str, values: object) -> None:
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{name} must be a numpy array, got a {type(values).__name__}")
