"""Windows without given poses, placed in one world: a chain of robust similarities.

The network poses each window in a frame and a unit of its own. Windows overlap: the views
that earlier windows have placed fix where the next one is.

    rotation     geometric median over the shared views (chordal L1 mean, Hartley et al. 2011)
    scale        depth of one shared view, the keyframe, against its depth before, confident
                 pixels only; else distances between shared cameras; else as in the window before
    translation  geometric median over the shared views

Depth fixes the scale also where the cameras stand still or turn on the spot. Fewer than half
of the shared views may be wrong.

The world is the reference camera of the segment's first window, with its optical axes
(z forward): where up is, nobody knows. The unit is that window's, or the metre when the
network is metric. A window that shares nothing with those before begins a new segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from da3_ros.core import poses
from da3_ros.core.config import ScaleConfig
from da3_ros.core.frame import Frame
from da3_ros.core.scale.metric_scale import camera_positions, pose_residuals
from da3_ros.core.scale.placement import (
    METRES,
    UNKNOWN,
    ChainLink,
    DepthMaps,
    NetworkPoses,
    Placement,
    ScaleEstimate,
)
from da3_ros.core.scale.relative_scale import ThinDepth, depth_ratio, distance_ratio
from da3_ros.core.sliding_window import Window

MEDIAN_ITERATIONS = 40


@dataclass(eq=False)
class _Known:
    """What earlier windows found about a frame, in the chain's world and unit.

    depth: from the window that decoded it first; decoded: how many did.
    """

    T_world_cam: list[np.ndarray]
    depth: ThinDepth | None = None
    decoded: int = 0


class WindowChain:
    """Where each window is, by what it shares with earlier ones.

    metric: the network speaks metres, the scale is not touched.
    """

    def __init__(self, config: ScaleConfig, *, metric: bool):
        self.config = config
        self._metric = metric
        self._segment = -1
        self.clear()

    def clear(self) -> None:
        """Forget everything, as after a jump back in time; the next window begins a segment."""
        # A frame that is in no window any more cannot be shared.
        self._known: WeakKeyDictionary[Frame, _Known] = WeakKeyDictionary()
        self._scale = ScaleEstimate(1.0, np.nan, 0.0, measured=False)
        self._measured_ns: int | None = None

    def views(self, window: Window) -> tuple[int, ...]:
        """The views to decode, ascending: the published ones, and what ties windows together.

        That is one more, the keyframe: a view whose depth is known from before, the same as
        in the last window while it is there (fewer links, less drift), else the newest. And
        the newest view of all where, at this pace, no decoded one will be in the next window.
        """
        if self._metric:
            return window.views
        known = [self._known.get(frame) for frame in window.frames]
        decoded = [(k.decoded, i) for i, k in enumerate(known) if k and k.decoded]
        wanted = {*window.views, *(i for _, i in sorted(decoded)[-1:])}
        leaving = sum(k is None for k in known)
        if max(wanted) < leaving:
            wanted.add(len(window.frames) - 1)
        return tuple(sorted(wanted))

    def place(self, window: Window, output: NetworkPoses, maps: DepthMaps) -> Placement:
        """Poses of a window in the chain's world, and the factor to the chain's unit.

        Where the network gave no finite poses or depth, both are NaN, and the chain goes on
        from the windows before.
        """
        scale, T_cam_ref = METRES if self._metric else UNKNOWN, output.T_cam_ref
        thin = [ThinDepth.of(*pair) for pair in zip(maps.depth, _each(maps.conf, maps.depth))]
        if np.isfinite(T_cam_ref).all() and any(d.is_known for d in thin):
            T_world_cam, link = self._extend(window, T_cam_ref, dict(zip(maps.views, thin)))
        else:
            T_world_cam, link = np.full((len(T_cam_ref), 4, 4), np.nan), self._no_link()
        return Placement(scale, self._metric, link.scale.scale, T_world_cam, link=link)

    def _extend(
        self, window: Window, T_cam_ref: np.ndarray, depths: dict[int, ThinDepth]
    ) -> tuple[np.ndarray, ChainLink]:
        """(N, 4, 4) poses in the world, and how the window is chained to those before."""
        shared = [i for i, frame in enumerate(window.frames) if frame in self._known]
        scale = self._measure(window, T_cam_ref, shared, depths)
        broken = self._reason_to_break(shared, scale)
        if broken or not shared:
            shared, scale = [], self._begin(window)
        T_world_cam = self._align(window, T_cam_ref, shared, scale.scale)
        link = self._link(window, shared, scale, T_world_cam, broken)
        self._remember(window, T_world_cam, depths, scale)
        return T_world_cam, link

    def _no_link(self) -> ChainLink:
        reason = "the network gave no finite poses and depth"
        return ChainLink(max(self._segment, 0), 0, UNKNOWN, broken=reason)

    def _reason_to_break(self, shared: list[int], scale: ScaleEstimate) -> str:
        if self._measured_ns is None:
            return ""  # nothing to break
        if not shared:
            return "the window shares no frame with the one before"
        if scale.age > self.config.max_age:
            return f"the scale between windows could not be measured for {scale.age:.0f} s"
        return ""

    def _begin(self, window: Window) -> ScaleEstimate:
        self.clear()
        self._segment += 1
        self._measured_ns = window.stamp_ns
        return self._scale

    def _measure(
        self,
        window: Window,
        T_cam_ref: np.ndarray,
        shared: list[int],
        depths: dict[int, ThinDepth],
    ) -> ScaleEstimate:
        """Chain units per network unit: by depth, by distances, or as before."""
        if self._metric or not shared:
            return self._scale
        known = {i: self._known[window.frames[i]] for i in shared}
        ratio = depth_ratio([(known[i].depth, depths.get(i)) for i in shared])
        if ratio is None or ratio.spread > self.config.max_spread:
            before = np.stack([known[i].T_world_cam[-1][:3, 3] for i in shared])
            now = camera_positions(T_cam_ref[shared])
            ratio = distance_ratio(before, now, list(depths.values()))
        if ratio is not None and ratio.spread <= self.config.max_spread:
            return ScaleEstimate(ratio.scale, ratio.spread, age=0.0, measured=True)
        age = (window.stamp_ns - self._measured_ns) * 1e-9
        return ScaleEstimate(self._scale.scale, self._scale.spread, age, measured=False)

    def _align(
        self, window: Window, T_cam_ref: np.ndarray, shared: list[int], scale: float
    ) -> np.ndarray:
        """(N, 4, 4) poses in the world; of the segment's first window relative to its reference."""
        T_source_cam = _camera_to_reference(T_cam_ref, scale)
        if not shared:
            return poses.inverse(T_source_cam[window.reference]) @ T_source_cam
        votes = [(i, T) for i in shared for T in self._known[window.frames[i]].T_world_cam]
        owner = np.array([i for i, _ in votes])
        # However often a view was placed: one view, one vote.
        weights = 1 / np.bincount(owner)[owner]
        T_world_cam = np.stack([T for _, T in votes])
        return _rigid_between(T_source_cam[owner], T_world_cam, weights) @ T_source_cam

    def _link(
        self,
        window: Window,
        shared: list[int],
        scale: ScaleEstimate,
        T_world_cam: np.ndarray,
        broken: str,
    ) -> ChainLink:
        if not shared:
            return ChainLink(self._segment, 0, scale, broken=broken)
        last = np.stack([self._known[window.frames[i]].T_world_cam[-1] for i in shared])
        position, rotation = pose_residuals(last, T_world_cam[shared])
        return ChainLink(
            self._segment,
            len(shared),
            scale,
            float(np.median(position)),
            float(np.median(rotation)),
        )

    def _remember(
        self,
        window: Window,
        T_world_cam: np.ndarray,
        depths: dict[int, ThinDepth],
        scale: ScaleEstimate,
    ) -> None:
        self._scale = scale
        if self._metric or scale.measured:
            self._measured_ns = window.stamp_ns
        for i, frame in enumerate(window.frames):
            known = self._known.setdefault(frame, _Known([]))
            known.T_world_cam.append(T_world_cam[i])
            if i in depths:
                known.depth = known.depth or depths[i].times(scale.scale)
                known.decoded += 1


def _each(conf: np.ndarray | None, depth: np.ndarray) -> Sequence[np.ndarray | None]:
    return [None] * len(depth) if conf is None else conf


def _camera_to_reference(T_cam_ref: np.ndarray, scale: float) -> np.ndarray:
    """(N, 4, 4) camera to reference, in chain units, of predicted (N, 3, 4)."""
    T = np.tile(np.eye(4), (len(T_cam_ref), 1, 1))
    T[:, :3] = T_cam_ref
    T[:, :3, 3] *= scale
    return poses.inverse(T)


def _rigid_between(
    T_source_cam: np.ndarray, T_target_cam: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """T_target_source (4, 4) that most of the V paired cameras agree on."""
    T_target_source = T_target_cam @ poses.inverse(T_source_cam)
    rotations = T_target_source[:, :3, :3].reshape(-1, 9)
    R = poses.nearest_rotation(geometric_median(rotations, weights).reshape(3, 3))
    positions = T_target_cam[:, :3, 3] - T_source_cam[:, :3, 3] @ R.T
    return poses.compose(R, geometric_median(positions, weights))


def geometric_median(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The point (D,) with the smallest weighted sum of distances to (N, D) (Weiszfeld 1937)."""
    median = weights @ points / weights.sum()
    for _ in range(MEDIAN_ITERATIONS):
        distances = np.linalg.norm(points - median, axis=1)
        pull = weights / np.maximum(distances, 1e-12)
        median = pull @ points / pull.sum()
    return median
