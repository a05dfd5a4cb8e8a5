"""The spine: frames in, windows out of them, metric depth out of those.

    push      collect   Frame -> Window when one is due
    process   prepare   pictures and poses for the network
              infer     encode each frame once, aggregate the window, decode what is wanted
              scale     network units -> metres; without given poses, windows chained into one world
    view      mask, and bring to the size of the camera

`push` is cheap and belongs to whoever receives frames; `process` is the work and may run
in another thread, one window at a time.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import Config
from da3_ros.core.frame import Frame
from da3_ros.core.mask_depth import mask_depth
from da3_ros.core.memory_limit import MemoryLimit, is_out_of_memory
from da3_ros.core.network_input import WindowInput
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.preprocess import relative_to_reference
from da3_ros.core.resample import Resampler
from da3_ros.core.scale.metric_scale import (
    MetricScale,
    ScaleEstimate,
    align_to_given,
    pose_residuals,
)
from da3_ros.core.scale.window_chain import ChainLink, WindowChain
from da3_ros.core.scene.scene import Scene
from da3_ros.core.sliding_window import SlidingWindow, Step, Window
from da3_ros.net.nested import METRIC_FOCAL, NestedNetwork, NestedViews
from da3_ros.net.network import Cameras, EncodedViews, NetOutput, Network

METRES = ScaleEstimate(scale=1.0, spread=np.nan, age=0.0, measured=False)
"""Scale of a network that speaks metres by itself."""

UNKNOWN = ScaleEstimate(scale=np.nan, spread=np.nan, age=np.nan, measured=False)


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


@dataclass(frozen=True, eq=False)
class _Maps:
    """What the network said of the views (indices into the window) that were decoded."""

    views: tuple[int, ...]
    depth: np.ndarray
    conf: np.ndarray | None
    sky: np.ndarray | None

    def of(self, views: tuple[int, ...]) -> _Maps:
        """Those of some of the views."""
        if views == self.views:
            return self
        rows = [self.views.index(i) for i in views]
        conf, sky = (None if x is None else x[rows] for x in (self.conf, self.sky))
        return _Maps(views, self.depth[rows], conf, sky)


class Pipeline:
    """From frames to depth in metres. Holds the window, the encodings and the scale."""

    def __init__(self, network: Network | NestedNetwork, config: Config):
        self.network = network
        self.config = config
        self._device = next(network.parameters()).device
        self._window = SlidingWindow(config.window)
        self._scale = MetricScale(config.scale)
        self._chain = WindowChain(config.scale, metric=network.preset.metric)
        self.clear()

    def configure(self, config: Config) -> None:
        """Take parameters that changed while running."""
        self.config = config
        self._window.config = config.window
        self._scale.config = self._chain.config = config.scale

    def clear(self) -> None:
        """Forget frames, encodings, scale and chain, as after a jump back in time."""
        self._window.clear()
        self._scale.clear()
        self._chain.clear()
        self._limit = self._no_limit()
        # An encoding lives as long as its frame is in a window, here or with the caller.
        self._encoded: WeakKeyDictionary[Frame, EncodedViews | NestedViews] = WeakKeyDictionary()

    def _no_limit(self) -> MemoryLimit:
        return MemoryLimit(self.config.model.process_res)

    def push(self, *frames: Frame) -> Step:
        """Take the frames of one instant; says whether a window is due (see SlidingWindow)."""
        return self._window.push(*frames)

    def process(self, window: Window) -> WindowDepth:
        """Depth of the window's published views, in metres where that can be known.

        Without enough memory, this and all later windows get fewer views, then fewer pixels
        (`WindowDepth.limit`); the error comes out only when the smallest does not fit.
        """
        while not (result := self._attempt(self._limit.fit(window))):
            torch.cuda.empty_cache()  # now that nothing holds on to what the attempt had
        return result

    def _attempt(self, window: Window) -> WindowDepth | None:
        """None when the window does not fit; the limit is smaller then."""
        try:
            return self._infer(window)
        except RuntimeError as error:
            smaller = self._limit.smaller(window) if is_out_of_memory(error) else None
            if smaller is None:
                raise
            self._limit = smaller
            return None

    @torch.inference_mode()
    def _infer(self, window: Window) -> WindowDepth:
        seconds: dict[str, float] = {}
        prepared = WindowInput.of(window, self._limit.process_res)
        with _timed(seconds, "encode"):
            encoded = self._encode(prepared)
        with _timed(seconds, "aggregate"):
            posed, divisor = self._poses(prepared, window)
            decoded = self._decoded_views(window)
            features = self.network.aggregate(
                encoded, posed, reference="first", views=prepared.positions(decoded)
            )
        with _timed(seconds, "decode"):
            out = self.network.decode(features)
            maps = _Maps(decoded, _numpy(out.depth), _numpy(out.conf), _numpy(out.sky))
        with _timed(seconds, "scale"):
            T_cam_ref = _in_window_order(out, prepared.order)
            return self._to_metres(window, prepared, maps, T_cam_ref, divisor, seconds)

    def view(self, result: WindowDepth, index: int) -> DepthView:
        """One published view by the output parameters: masked, at camera or network size."""
        depth, conf = self._masked(result, index)
        frame, camera = result.frames[index], result.cameras[index]
        if self.config.output.size == "network":
            return DepthView(frame, camera, result.image(index), depth, conf)
        resample = Resampler(camera, frame.camera)
        depth, *others = resample(depth, *([] if conf is None else [conf]))
        return DepthView(frame, frame.camera, frame.image, depth, *(others or [None]))

    def fuse(self, result: WindowDepth, scene: Scene) -> None:
        """Add the published views to the map, as the network saw them and masked.

        Depth that is not in metres, or of frames that nobody placed, stays out.
        """
        if not result.is_metric or result.window.T_world_cam is None:
            return
        for i, (frame, camera) in enumerate(zip(result.frames, result.cameras)):
            depth, conf = self._masked(result, i)
            scene.integrate(depth, frame.T_world_cam, camera, result.image(i), conf)

    def _masked(self, result: WindowDepth, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Depth of one published view by the output parameters, and its confidence."""
        conf = None if result.conf is None else result.conf[index]
        sky = None if result.sky is None else result.sky[index]
        limits = self.config.output
        if not result.is_metric:
            limits = replace(limits, min_depth=0.0, max_depth=np.inf)
        return mask_depth(result.depth[index], conf, sky, limits), conf

    def _encode(self, prepared: WindowInput) -> EncodedViews | NestedViews:
        """Encode the frames not seen before, as one batch; the others are known."""
        new = [
            i
            for i, frame in enumerate(prepared.frames)
            if frame not in self._encoded or self._encoded[frame].size != prepared.size
        ]
        if new:
            views = self.network.encode(prepared.images(new, self._device)).split()
            self._encoded.update((prepared.frames[i], view) for i, view in zip(new, views))
        views = [self._encoded[f] for f in prepared.frames]
        return type(views[0]).stack(views)

    def _poses(self, prepared: WindowInput, window: Window) -> tuple[Cameras | None, float]:
        """Poses for the network, and the metres of one unit of its input."""
        if window.T_world_cam is None or not self.network.preset.any_view:
            return None, 1.0
        T_world_cam = window.T_world_cam[prepared.order]
        K = np.stack([c.K for c in prepared.cameras])
        cameras, divisor = relative_to_reference(T_world_cam, K, self._scale.divisor(T_world_cam))
        cameras = Cameras(cameras.T_cam_ref.to(self._device), cameras.K.to(self._device))
        # The nested model's output is in metres whatever its input was divided by.
        return cameras, 1.0 if self.network.preset.metric else divisor

    def _decoded_views(self, window: Window) -> tuple[int, ...]:
        """The published views; without given poses also what ties the windows together."""
        chained = window.T_world_cam is None and self.network.preset.any_view
        return self._chain.views(window) if chained else window.views

    def _to_metres(self, window, prepared, maps, T_cam_ref, divisor, seconds) -> WindowDepth:
        preset, published = self.network.preset, maps.of(window.views)
        positions = prepared.positions(window.views)
        cameras = tuple(prepared.cameras[i] for i in positions)
        scale = self._estimate(window, T_cam_ref, divisor)
        link = position = rotation = None
        if window.T_world_cam is None:
            T_world_cam, link = self._place(window, T_cam_ref, maps)
        else:
            T_world_cam, position, rotation = _compare(window, T_cam_ref, scale)
        depth = published.depth
        if preset.metric and not preset.any_view:
            focals = [(c.K[0, 0] + c.K[1, 1]) / 2 for c in cameras]
            depth = depth * np.float32(focals)[:, None, None] / np.float32(METRIC_FOCAL)
        is_metric = preset.metric or window.T_world_cam is not None
        factor = link.scale.scale if link else scale.scale if is_metric else 1.0
        return WindowDepth(
            window=window,
            depth=depth * np.float32(factor),
            conf=published.conf,
            sky=published.sky,
            cameras=cameras,
            plans=tuple(prepared.plans[i] for i in positions),
            scale=scale,
            is_metric=is_metric,
            T_world_cam=T_world_cam,
            position_residuals=position,
            rotation_residuals=rotation,
            seconds=seconds,
            link=link,
            limit=None if self._limit == self._no_limit() else self._limit,
        )

    def _place(
        self, window: Window, T_cam_ref: np.ndarray | None, maps: _Maps
    ) -> tuple[np.ndarray | None, ChainLink | None]:
        """Poses in the chain's world; None of a network that knows no poses."""
        if T_cam_ref is None:
            return None, None
        return self._chain.place(window, T_cam_ref, maps.views, maps.depth, maps.conf)

    def _estimate(
        self, window: Window, T_cam_ref: np.ndarray | None, divisor: float
    ) -> ScaleEstimate:
        """Metres per network unit; a metric network is believed where nothing is measured."""
        fallback = METRES if self.network.preset.metric else UNKNOWN
        if window.T_world_cam is None or T_cam_ref is None:
            return fallback
        estimate = self._scale.update(
            T_cam_ref, window.T_world_cam, divisor=divisor, stamp_ns=window.stamp_ns
        )
        if np.isfinite(estimate.scale):
            return estimate
        return replace(fallback, window_spread=estimate.window_spread)


def _compare(
    window: Window, T_cam_ref: np.ndarray | None, scale: ScaleEstimate
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Predicted poses in the world, and their residuals against the given ones."""
    if T_cam_ref is None:
        return None, None, None
    T_world_cam = align_to_given(T_cam_ref, window.T_world_cam, scale.scale)
    return T_world_cam, *pose_residuals(window.T_world_cam, T_world_cam)


def _in_window_order(out: NetOutput, order: list[int]) -> np.ndarray | None:
    """Predicted poses (N, 3, 4) float64 in the order of the window's frames."""
    if out.T_cam_ref is None:
        return None
    return out.T_cam_ref[0].double().cpu().numpy()[np.argsort(order)]


def _numpy(maps: torch.Tensor | None) -> np.ndarray | None:
    return None if maps is None else maps[0].float().cpu().numpy()


@contextmanager
def _timed(seconds: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
