"""Why metres do not rest on points from outside, where the parameters say that they shall."""

from __future__ import annotations

import time

from da3_ros.core.live_config import LiveConfig
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.scale.placement import TOO_FEW
from da3_ros.ros.inputs.anchor_input import AnchorInput
from da3_ros.ros.inputs.silence import SILENCE, Silence

WINDOWS_END = 30.0
"""Seconds without a new window after which none come any more; a processor takes long for one."""


class UnusedAnchors:
    """What is wrong with the points from outside of the windows that come."""

    def __init__(self, live: LiveConfig, anchors: AnchorInput, silence: Silence):
        self._live, self._anchors, self._silence = live, anchors, silence
        self._newest: WindowDepth | None = None
        self._came_at = 0.0  # s of `time.monotonic()`, as all times here
        self._met: dict[str, float] = {}

    def sentences(self, newest: WindowDepth | None) -> list[str]:
        """Those met lately: windows that use points and windows that do not may take turns. None
        where points are not asked for by name, nor where none come, which `Silence` says.
        """
        now = time.monotonic()
        if newest is not self._newest:
            self._newest, self._came_at = newest, now
        if newest and now - self._came_at < WINDOWS_END and (why := self._why(newest)):
            self._met[why] = now
        self._met = {said: at for said, at in self._met.items() if now - at < SILENCE}
        return list(self._met)

    def _why(self, newest: WindowDepth) -> str:
        """Without numbers that change, for it lasts; empty where points are used."""
        is_asked = self._live.config.scale.source == "anchors"
        if not (is_asked and newest.evidence and newest.evidence.fault == TOO_FEW):
            return ""
        # In the first seconds a topic counts as heard.
        if not (self._anchors.counts["received"] and self._silence.hears_points):
            return ""
        return (
            f"scale.source is anchors, but {self._fault(newest)}; "
            "scale_source says what metres rest on instead"
        )

    def _fault(self, newest: WindowDepth) -> str:
        anchors, age = self._anchors, self._live.config.scale.anchor_age
        if not anchors.heard_ns:
            return "no message with points from outside can be used: see what the log says of them"
        oldest_ns = min(frame.stamp_ns for frame in newest.frames) - round(age * 1e9)
        if anchors.heard_ns < oldest_ns:
            return (
                f"the newest points from outside are more than {age:g} s older than the image "
                "(scale.anchor_age): synchronise the clocks, or raise it"
            )
        if anchors.newest_ns < oldest_ns:
            return "no points from outside have a place in the world: see what the log says of them"
        return (
            "the picture shows none or too few of the points from outside: check their frame, and "
            "their stamps against those of the images"
        )
