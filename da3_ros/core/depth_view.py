"""What of a result is shown, and what goes into the map: masked by the output parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import OutputConfig
from da3_ros.core.frame import Frame
from da3_ros.core.mask_depth import mask_depth
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.resample import Resampler
from da3_ros.core.scene.scene import Scene


@dataclass(frozen=True, eq=False)
class DepthView:
    """One published view: depth and conf (H, W) float32, image (H, W, 3) uint8, same camera.

    depth: metres along z (one unknown unit without poses and metric model); NaN unknown,
    +Inf out of range.
    """

    frame: Frame
    camera: CameraModel
    image: np.ndarray
    depth: np.ndarray
    conf: np.ndarray | None


def view(result: WindowDepth, index: int, output: OutputConfig) -> DepthView:
    """One published view by the output parameters: masked, at camera or network size."""
    depth, conf = _masked(result, index, output)
    frame, camera = result.frames[index], result.cameras[index]
    if output.size == "network":
        return DepthView(frame, camera, result.image(index), depth, conf)
    resample = Resampler(camera, frame.camera)
    depth, *others = resample(depth, *([] if conf is None else [conf]))
    if frame.seen is not None:
        depth[~frame.seen] = np.nan
    return DepthView(frame, frame.camera, frame.image, depth, *(others or [None]))


def fuse(result: WindowDepth, scene: Scene, output: OutputConfig) -> None:
    """Add the published views to the map, as the network saw them and masked.

    Depth that is not in metres, or of frames that nobody placed, stays out.
    """
    if not result.is_metric or result.window.T_world_cam is None:
        return
    for i, (frame, camera) in enumerate(zip(result.frames, result.cameras)):
        depth, conf = _masked(result, i, output)
        scene.integrate(depth, frame.T_world_cam, camera, result.image(i), conf)


def _masked(
    result: WindowDepth, index: int, output: OutputConfig
) -> tuple[np.ndarray, np.ndarray | None]:
    """Depth of one published view by the output parameters, and its confidence."""
    conf = None if result.conf is None else result.conf[index]
    sky = None if result.sky is None else result.sky[index]
    if not result.is_metric:
        output = replace(output, min_depth=0.0, max_depth=np.inf)
    return mask_depth(result.depth[index], conf, sky, output), conf
