"""The spine: frames in, windows out of them, metric depth out of those.

    push      collect   Frame -> Window when one is due
    process   prepare   pictures and poses for the network
              infer     encode each frame once, aggregate the window, decode what is wanted
              scale     network units -> metres; without given poses, windows chained into one world

What is shown of the result, and what goes into the map, is in depth_view.py.

`push` and `begin` are cheap and belong to whoever receives frames; `process` is the work and may
run in another thread, one window at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import numpy as np
import torch

from da3_ros.core import poses
from da3_ros.core.config import Config
from da3_ros.core.device_pictures import pictures_for
from da3_ros.core.frame import Frame
from da3_ros.core.gaussians import moved, of_views, with_gaussians_at_depth
from da3_ros.core.mask_depth import mask_unseen
from da3_ros.core.memory_limit import MemoryLimit
from da3_ros.core.network_input import WindowInput
from da3_ros.core.prediction import Prediction, WindowDepth
from da3_ros.core.preprocess import centre_crop, relative_to_reference
from da3_ros.core.process_res import process_res
from da3_ros.core.scale.align import Similarity
from da3_ros.core.scale.anchors import AnchorStore
from da3_ros.core.scale.metric_scale import MetricScale
from da3_ros.core.scale.network_scale import NetworkScale
from da3_ros.core.scale.placement import DepthMaps, NetworkPoses, Placement, ScaleSource
from da3_ros.core.scale.scene_scale import SceneScale
from da3_ros.core.scale.window_chain import WindowChain
from da3_ros.core.sliding_window import SlidingWindow, Step, Window
from da3_ros.net.gaussians import Gaussians
from da3_ros.net.nested import NestedNetwork, NestedViews, metres_per_unit
from da3_ros.net.network import Cameras, EncodedViews, NetOutput, Network
from da3_ros.net.out_of_memory import is_out_of_memory
from da3_ros.net.stage_types import first_scene


class Pipeline:
    """From frames to depth in metres. Holds the window, the encodings and the scale."""

    def __init__(self, network: Network | NestedNetwork, config: Config):
        self.network = network
        self.config = config
        self._device = next(network.parameters()).device
        self._ahead = pictures_for(self._device)
        self._window = SlidingWindow(config.window)
        metric = network.preset.metric
        self._scale = MetricScale(config.scale, metric=metric)
        self._chain = WindowChain(config.scale, metric=metric)
        self._own_scale = NetworkScale(metric=metric)
        any_view = network.preset.any_view
        self._scene_scale = SceneScale(
            config.scale,
            self._scale if any_view else self._own_scale,
            keeps_unit=any_view or metric,
        )
        self.clear()

    def configure(self, config: Config) -> None:
        """Take parameters that changed while running."""
        self.config = config
        self._window.config = config.window
        self._scale.config = self._chain.config = self._scene_scale.config = config.scale

    def clear(self) -> None:
        """Forget frames, encodings, scale and chain, as after a jump back in time."""
        self._window.clear()
        self._scene_scale.clear()
        self._chain.clear()
        self._limit = self._no_limit()
        # An encoding lives as long as its frame is in a window, here or with the caller.
        self._encoded: WeakKeyDictionary[Frame, EncodedViews | NestedViews] = WeakKeyDictionary()

    def _no_limit(self) -> MemoryLimit:
        return MemoryLimit(process_res(self.config, self.network))

    def push(self, *frames: Frame) -> Step:
        """Take the frames of one instant; says whether a window is due (see SlidingWindow)."""
        return self._window.push(*frames)

    @property
    def anchors(self) -> AnchorStore:
        """Points from outside are added here, from any thread."""
        return self._scene_scale.anchors

    @property
    def memory(self) -> tuple[tuple, tuple]:
        """What decides which frames are looked at next, and what decides their metres; anchors
        as far as frames of the window may see them.
        """
        newest = max((f.stamp_ns for i in self._window.instants for f in i), default=0)
        seconds = self.config.window.max_age + self.config.scale.anchor_age
        anchors = self.anchors.since(newest - round(seconds * 1e9))
        return (self._window,), (self._scene_scale, self._scale, self._chain, self._limit, anchors)

    def begin(self, window: Window) -> None:
        """Send the new pictures of a window ahead, to a GPU that computes another one meanwhile.

        From the thread that pushes; `process` does without, too.
        """
        if self._ahead:
            prepared = WindowInput.of(self._limit.fit(window), self._limit.process_res)
            self._ahead.begin(prepared, self._not_encoded(prepared))

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
    def look_again(
        self, result: WindowDepth, *, gaussians: bool = False, layers: Sequence[int] = ()
    ) -> Prediction:
        """All the network says of a window: Gaussians, features, depth of every view; where
        `result` has placed it, in the same unit. layers: blocks whose features are wanted.
        """
        window, unit, T_world_cam = result.window, result.placement.unit, result.world_poses
        prepared = WindowInput.of(window, self._limit.process_res)
        positions = list(range(len(prepared.frames)))
        cameras = self._poses(prepared, window)[0]
        out = self.network(
            self._images(prepared, positions),
            cameras,
            reference="first",
            feature_layers=layers,
            gaussians=gaussians,
        )
        out = out if cameras is None else with_gaussians_at_depth(out, cameras)
        maps = self._maps(out, tuple(prepared.order), prepared).of(tuple(positions))
        plans = tuple(prepared.plans[i] for i in prepared.positions(tuple(positions)))
        back = np.argsort(prepared.order)
        images = [plan.image(f.image) for plan, f in zip(plans, window.frames)]
        return Prediction(
            depth=mask_unseen(maps.depth * np.float32(unit), window.frames, plans),
            conf=maps.conf,
            extrinsics=None if T_world_cam is None else poses.inverse(T_world_cam)[:, :3],
            intrinsics=np.stack([c.K for c in maps.cameras]),
            processed_images=np.stack([centre_crop(i, prepared.size) for i in images]),
            aux={name: first_scene(values)[back] for name, values in out.aux.items()},
            gaussians=_gaussians_in_world(out, result, prepared.order),
            is_metric=result.is_metric,
            sky=maps.sky,
            scale_factor=result.scale.scale if result.is_metric else None,
        )

    @torch.inference_mode()
    def _infer(self, window: Window) -> WindowDepth:
        seconds: dict[str, float] = {}
        prepared = WindowInput.of(window, self._limit.process_res)
        source = self._source_of_scale(window)
        with _timed(seconds, "encode"):
            encoded = self._encode(prepared)
        with _timed(seconds, "aggregate"):
            posed, divisor = self._poses(prepared, window)
            decoded = source.views(window)
            features = self.network.aggregate(
                encoded, posed, reference="first", views=prepared.positions(decoded)
            )
        with _timed(seconds, "decode"):
            out = self.network.decode(features).on_host()
            maps = self._maps(out, decoded, prepared)
        with _timed(seconds, "scale"):
            output = NetworkPoses(_in_window_order(out, prepared.order), divisor)
            placement = source.place(window, output, maps)
            return self._to_metres(window, prepared, maps.of(window.views), placement, seconds)

    def _encode(self, prepared: WindowInput) -> EncodedViews | NestedViews:
        """Encode the frames not seen before, as one batch; the others are known."""
        new = self._not_encoded(prepared)
        if new:
            views = self.network.encode(self._images(prepared, new)).split()
            self._encoded.update((prepared.frames[i], view) for i, view in zip(new, views))
        views = [self._encoded[f] for f in prepared.frames]
        return type(views[0]).stack(views)

    def _images(self, prepared: WindowInput, positions: list[int]) -> torch.Tensor:
        if self._ahead:
            return self._ahead.take(prepared, positions)
        return prepared.images(positions)

    def _not_encoded(self, prepared: WindowInput) -> list[int]:
        return [
            i
            for i, frame in enumerate(prepared.frames)
            if frame not in self._encoded or self._encoded[frame].size != prepared.size
        ]

    def _poses(self, prepared: WindowInput, window: Window) -> tuple[Cameras | None, float]:
        """Poses for the network, and the metres of one unit of its input."""
        if window.T_world_cam is None or not self.network.preset.any_view:
            return None, 1.0
        T_world_cam = window.T_world_cam[prepared.order]
        K = np.stack([c.K for c in prepared.cameras])
        cameras, divisor = relative_to_reference(T_world_cam, K, self._scale.divisor(T_world_cam))
        sent = (x.to(self._device, non_blocking=True) for x in (cameras.T_cam_ref, cameras.K))
        # The nested model's output is in metres whatever its input was divided by.
        return Cameras(*sent), 1.0 if self.network.preset.metric else divisor

    def _source_of_scale(self, window: Window) -> ScaleSource:
        """Who says where this window is and how long its unit is."""
        if window.T_world_cam is not None:
            return self._scene_scale
        return self._chain if self.network.preset.any_view else self._own_scale

    def _maps(self, out: NetOutput, views: tuple[int, ...], prepared: WindowInput) -> DepthMaps:
        """What was decoded of the views; a one-view metric network speaks of a focal length."""
        cameras = tuple(prepared.cameras[i] for i in prepared.positions(views))
        depth, preset = first_scene(out.depth), self.network.preset
        if preset.metric and not preset.any_view:
            metres = np.float32(metres_per_unit(np.stack([c.K for c in cameras])))
            depth = depth * metres[:, None, None]
        return DepthMaps(views, cameras, depth, first_scene(out.conf), first_scene(out.sky))

    def _to_metres(
        self,
        window: Window,
        prepared: WindowInput,
        published: DepthMaps,
        placement: Placement,
        seconds: dict[str, float],
    ) -> WindowDepth:
        plans = tuple(prepared.plans[i] for i in prepared.positions(window.views))
        return WindowDepth(
            window=window,
            depth=mask_unseen(
                published.depth * np.float32(placement.factor),
                tuple(window.frames[i] for i in window.views),
                plans,
            ),
            conf=published.conf,
            sky=published.sky,
            cameras=published.cameras,
            plans=plans,
            placement=placement,
            seconds=seconds,
            limit=None if self._limit == self._no_limit() else self._limit,
        )


def _gaussians_in_world(out: NetOutput, result: WindowDepth, order: list[int]) -> Gaussians | None:
    """Gaussians of the views in the window's order, beside the predicted poses in the world."""
    if out.gaussians is None:
        return None
    reference, unit = result.window.reference, result.placement.unit
    T_cam_network = np.eye(4)
    T_cam_network[:3] = _in_window_order(out, order)[reference]
    T_cam_network[:3, 3] *= unit
    T = result.T_world_cam[reference] @ T_cam_network
    into_world = Similarity(T[:3, :3], T[:3, 3], unit)
    return moved(of_views(out.gaussians, np.argsort(order)), into_world)


def _in_window_order(out: NetOutput, order: list[int]) -> np.ndarray | None:
    """Predicted poses (N, 3, 4) float64 in the order of the window's frames."""
    if out.T_cam_ref is None:
        return None
    return out.T_cam_ref[0].double().cpu().numpy()[np.argsort(order)]


@contextmanager
def _timed(seconds: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
