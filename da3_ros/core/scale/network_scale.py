"""The unit of a network that knows no camera poses: its own."""

from __future__ import annotations

from da3_ros.core.scale.placement import METRES, UNKNOWN, DepthMaps, NetworkPoses, Placement
from da3_ros.core.sliding_window import Window


class NetworkScale:
    """Metres where the network is metric; else nobody knows: NaN with given poses, which
    promise metres, and without any as the network says, window by window.
    """

    def __init__(self, *, metric: bool):
        self._metric = metric

    def views(self, window: Window) -> tuple[int, ...]:
        """The views to decode: the published ones."""
        return window.views

    def place(self, window: Window, output: NetworkPoses, maps: DepthMaps) -> Placement:
        """Scale of a window; its cameras stay where they were given, or nowhere."""
        scale = METRES if self._metric else UNKNOWN
        is_metric = self._metric or window.T_world_cam is not None
        return Placement(scale, is_metric, scale.scale if is_metric else 1.0)

    def clear(self) -> None:
        """Nothing is remembered."""
