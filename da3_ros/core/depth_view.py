"""What of a result is shown, and what goes into the map: masked by the output parameters."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import OutputConfig
from da3_ros.core.mask_depth import flying_points, mask_depth
from da3_ros.core.outlet import Log
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.resample import Resampler
from da3_ros.core.scene.scene import Scene


class DepthView:
    """One published view by the output parameters: masked, at camera or network size.

    frame: as it came in. T_world_cam: (4, 4) as given, else as placed; None if unknown. The
    maps are made when the first of them is asked for: often nobody listens.
    """

    def __init__(self, result: WindowDepth, index: int, output: OutputConfig):
        self.frame = result.frames[index]
        self.T_world_cam = result.pose(index)
        self._result, self._index, self._output = result, index, output

    @property
    def depth(self) -> np.ndarray:
        """(H, W) float32, metres along z (one unknown unit without poses and metric model); NaN
        unknown, +Inf out of range."""
        return self._maps[0]

    @property
    def cloud_depth(self) -> np.ndarray:
        """The same for clouds: NaN between surfaces, too (`output.cloud_filter`)."""
        if not self._output.cloud_filter:
            return self.depth
        flying = flying_points(self._masked[0], self._output.cloud_filter)
        return np.where(self._sized(flying), np.float32(np.nan), self.depth)

    @property
    def conf(self) -> np.ndarray | None:
        """(H, W) float32, at least 1; None of a network that has none."""
        return self._maps[1]

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the picture that belongs to the depth."""
        return self.frame.image if self._at_camera_size else self._result.image(self._index)

    @property
    def camera(self) -> CameraModel:
        """Of image and depth."""
        return self.frame.camera if self._at_camera_size else self._result.cameras[self._index]

    @property
    def _at_camera_size(self) -> bool:
        return self._output.size == "camera"

    @cached_property
    def _masked(self) -> tuple[np.ndarray, np.ndarray | None]:
        return _masked_view(self._result, self._index, self._output)

    @cached_property
    def _resample(self) -> Resampler:
        return Resampler(self._result.cameras[self._index], self.frame.camera)

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray | None]:
        depth, conf = self._masked
        if not self._at_camera_size:
            return depth, conf
        depth, *others = self._resample(depth, *([] if conf is None else [conf]))
        if self.frame.seen is not None:
            depth[~self.frame.seen] = np.nan
        return depth, *(others or [None])

    def _sized(self, mask: np.ndarray) -> np.ndarray:
        return self._resample.nearest(mask) if self._at_camera_size else mask


def fuse(result: WindowDepth, scene: Scene, output: OutputConfig, log: Log) -> None:
    """Add the published views to the map, as the network saw them and masked.

    Depth that is not in metres, or of frames that nobody placed, stays out. log: told where the
    map loses what is too far away from the camera.
    """
    if not result.is_metric or result.window.T_world_cam is None:
        return
    for i, (frame, camera) in enumerate(zip(result.frames, result.cameras)):
        depth, conf = _masked_view(result, i, output)
        lost = scene.integrate(depth, frame.T_world_cam, camera, result.image(i), conf)
        if lost:
            x, y, z = frame.T_world_cam[:3, 3]
            log.warn(
                "map",
                f"the map lost {lost} blocks: they are too far away from the camera, which is at "
                f"({x:.6g}, {y:.6g}, {z:.6g}) m now; see who publishes that pose",
            )


def _masked_view(
    result: WindowDepth, index: int, output: OutputConfig
) -> tuple[np.ndarray, np.ndarray | None]:
    """Depth of one published view by the output parameters, and its confidence."""
    conf = None if result.conf is None else result.conf[index]
    sky = None if result.sky is None else result.sky[index]
    depth = mask_depth(result.depth[index], conf, sky, output, is_metric=result.is_metric)
    return depth, conf
