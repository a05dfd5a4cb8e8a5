"""How the node is doing: ~/status and /diagnostics, once a second."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from da3_ros.core.frame_counts import FrameCounts
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.scale.metric_scale import turned_away
from da3_ros.core.scale.misfit import explanation
from da3_ros.core.scale.placement import CONTRADICTION, TOO_FEW, Evidence
from da3_ros.msg import Status
from da3_ros.net.plain_text import plain
from da3_ros.ros.health.callback_errors import CallbackErrors
from da3_ros.ros.health.process_memory import resident_bytes
from da3_ros.ros.health.throttled_log import ThrottledLog
from da3_ros.ros.inputs.subscriptions import Inputs
from da3_ros.ros.node_states import Configured
from da3_ros.ros.outputs import topics
from da3_ros.ros.outputs.publishers import add_evidence
from da3_ros.ros.outputs.publishing import create_publisher

LONGEST_REASON = 8000
"""Characters of all that is wrong at once."""


@dataclass(frozen=True)
class _InputsSeen:
    """What a `PoseSource` has counted, and up to when it knows poses; and what of anchors."""

    missed: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    known_until_ns: int | None = None
    anchors: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Inputs) -> _InputsSeen:
        poses, anchors = inputs.cameras.poses, dict(inputs.anchors.counts)
        return cls(dict(poses.missed), dict(poses.refused), poses.known_until_ns(), anchors)


class StatusReport:
    """Publishes both messages: once a second, also while a callback takes longer than that."""

    def __init__(self, node: Node, counts: FrameCounts, log: ThrottledLog, errors: CallbackErrors):
        self._node = node
        self._counts, self._log, self._errors = counts, log, errors
        self._inputs: Inputs | None = None
        self._seen = _InputsSeen()
        self._going_out = threading.Lock()  # two threads publish
        self._status = create_publisher(node, Status, f"~/{topics.STATUS}")
        self._diagnostics = create_publisher(node, DiagnosticArray, "/diagnostics")

    def watch(self, inputs: Inputs) -> None:
        """The node was activated: report of these inputs, also after it stops."""
        self._inputs, self._seen = inputs, _InputsSeen()

    def publish(self, state: str, configured: Configured | None) -> None:
        """Publish the state of now, from the thread of the callbacks.

        state: the node's lifecycle state.
        """
        if self._inputs:
            self._seen = _InputsSeen.of(self._inputs)
        self.publish_while_busy(state, configured)

    def publish_while_busy(self, state: str, configured: Configured | None) -> None:
        """The same from any thread; what only the callbacks may read is that of the last time."""
        with self._going_out:
            self._publish(state, configured)

    def _publish(self, state: str, configured: Configured | None) -> None:
        msg = self.status(configured)
        self._status.publish(msg)
        name = self._node.get_fully_qualified_name().lstrip("/")
        array = diagnostics_message(msg, name, state, configured)
        counts = {f"anchors: {what}": n for what, n in self._seen.anchors.items() if n}
        counts["internal errors"] = self._errors.count
        array.status[0].values += [KeyValue(key=k, value=str(n)) for k, n in counts.items()]
        self._diagnostics.publish(array)

    def status(self, configured: Configured | None) -> Status:
        """The status message of now."""
        counts = self._counts.counts()
        newest = configured.runner.newest_result if configured else None
        msg = Status(stamp=self._node.get_clock().now().to_msg())
        msg.level, msg.reason = self._level(configured, newest)
        msg.frames_received, msg.frames_published = counts.received, counts.published
        msg.frames_pending, msg.windows_processed = counts.pending, counts.windows
        msg.dropped_reasons = list(counts.dropped)
        msg.dropped_counts = list(counts.dropped.values())
        self._add_inputs(msg)
        _add_model(msg, configured)
        _add_scale(msg, newest)
        return msg

    def _add_inputs(self, msg: Status) -> None:
        msg.transform_age = math.nan
        if self._inputs is None:
            return
        poses, cameras = self._seen, self._inputs.cameras
        msg.input_rates = [camera.rate.hertz() for camera in cameras.inputs.values()]
        msg.pose_misses, msg.pose_miss_counts = _columns(poses.missed)
        msg.transforms_refused, msg.transforms_refused_counts = _columns(poses.refused)
        if poses.known_until_ns:
            now_ns = self._node.get_clock().now().nanoseconds
            msg.transform_age = (now_ns - poses.known_until_ns) / 1e9

    def _level(self, configured: Configured | None, newest: WindowDepth | None) -> tuple[int, str]:
        if configured and configured.runner.failure:
            return Status.ERROR, configured.runner.failure
        if error := self._errors.recent():
            return Status.ERROR, error
        if warnings := [*self._log.recent(), *_alarms(newest)]:
            return Status.WARN, plain("; ".join(warnings), LONGEST_REASON)
        return Status.OK, ""


def _add_model(msg: Status, configured: Configured | None) -> None:
    msg.latency_median = msg.latency_p95 = math.nan
    msg.device_memory = device_memory(configured.device if configured else torch.device("cpu"))
    if configured is None:
        return
    statistics, weights = configured.statistics, configured.runner.network.weights
    msg.window_rate = statistics.window_rate.hertz()
    msg.latency_median, msg.latency_p95 = statistics.latency.quantiles()
    msg.scene_memory = configured.scene.nbytes
    msg.model, msg.license = weights.source, weights.license


def _columns(counts: dict[str, int]) -> tuple[list[str], list[int]]:
    return list(counts), list(counts.values())


def _alarms(newest: WindowDepth | None) -> list[str]:
    """What is wrong with the newest window, in sentences."""
    if newest is None:
        return []
    alarms = _alarms_of_points(newest.evidence)
    if newest.rotation_residuals is None:
        return alarms
    if not math.isfinite(newest.scale.scale):
        alarms.append("the scale is not known yet: the camera has to move; depth is NaN until then")
    if newest.scale.is_contradictory:
        alarms.append(
            f"the views of a window disagree about the scale by {newest.scale.window_spread:.0%}, "
            "which is not used: check time stamps, wheel slip and scale.max_spread"
        )
    if words := turned_away(newest.rotation_residuals):
        alarms.append(f"{words} and the time stamps")
    return alarms


def _alarms_of_points(evidence: Evidence | None) -> list[str]:
    if evidence is None or evidence.fault in ("", TOO_FEW):
        return []
    if evidence.fault == CONTRADICTION:
        return [
            "points of the scene contradict each other: something that moves fills the picture, "
            f"or anchors are misplaced; metres rest on {evidence.source}"
        ]
    return [
        f"{evidence.fault}: points are {evidence.across:.1f} px off their epipolar lines (median; "
        f"scale.max_residual){explanation(evidence.delay, evidence.focal)}: check extrinsics, "
        f"camera_info and time stamps; metres rest on {evidence.source}"
    ]


def _add_scale(msg: Status, newest: WindowDepth | None) -> None:
    msg.scale = msg.scale_spread = msg.scale_age = math.nan
    msg.translation_residual = msg.rotation_residual = msg.window_scale_spread = math.nan
    add_evidence(msg, newest)
    if newest is None:
        return
    scale = newest.scale
    msg.scale, msg.scale_spread, msg.scale_age = map(float, (scale.scale, scale.spread, scale.age))
    msg.window_scale_spread = float(scale.window_spread)
    if newest.position_residuals is not None:
        msg.translation_residual = float(newest.position_residuals.max())
        msg.rotation_residual = float(newest.rotation_residuals.max())


def device_memory(device: torch.device) -> int:
    """Bytes the network holds on its GPU, or the process in main memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return resident_bytes()


def _counted(what: str, reasons: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    return {f"{what}: {reason}": n for reason, n in zip(reasons, counts) if n}


def diagnostics_message(
    msg: Status, name: str, state: str, configured: Configured | None
) -> DiagnosticArray:
    """diagnostic_msgs/DiagnosticArray with one entry that says the same as the status.

    name: of the node with its namespace, by which monitors tell the nodes of a team apart.
    """
    newest = configured.runner.newest_result if configured else None
    entry = DiagnosticStatus(
        level=bytes([msg.level]),
        name=f"{name}: depth",
        message=msg.reason or state,
        hardware_id=str(configured.device) if configured else "cpu",
    )
    values = {"lifecycle": state, **_values(msg), **_stages(newest.seconds if newest else {})}
    values["scene blocks dropped"] = configured.scene.dropped_blocks if configured else 0
    entry.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    array = DiagnosticArray(status=[entry])
    array.header.stamp = msg.stamp
    return array


def _values(msg: Status) -> dict[str, object]:
    return {
        "model": msg.model,
        "license": msg.license,
        "input rates [Hz]": ", ".join(f"{rate:.1f}" for rate in msg.input_rates),
        "window rate [Hz]": f"{msg.window_rate:.2f}",
        "latency median [s]": f"{msg.latency_median:.3f}",
        "latency p95 [s]": f"{msg.latency_p95:.3f}",
        "frames received": msg.frames_received,
        "frames published": msg.frames_published,
        "frames pending": msg.frames_pending,
        **_counted("dropped", msg.dropped_reasons, msg.dropped_counts),
        **_counted("no pose", msg.pose_misses, msg.pose_miss_counts),
        **_counted("transform refused", msg.transforms_refused, msg.transforms_refused_counts),
        "transform age [s]": f"{msg.transform_age:.3f}",
        "scale": f"{msg.scale:.4g}",
        "scale spread": f"{msg.scale_spread:.3f}",
        "scale spread of the window": f"{msg.window_scale_spread:.3f}",
        "scale age [s]": f"{msg.scale_age:.1f}",
        "scale source": msg.scale_source,
        "scale correction": msg.scale_correction,
        "scale points": msg.scale_points,
        "scale spread of the points": f"{msg.points_spread:.3f}",
        "depth error at held-out points [%]": f"{100 * msg.depth_error:.1f}",
        "epipolar residual [px]": f"{msg.epipolar_residual:.2f}",
        "pose residual [m]": f"{msg.translation_residual:.3f}",
        "pose residual [rad]": f"{msg.rotation_residual:.3f}",
        "device memory [MB]": msg.device_memory >> 20,
        "scene memory [MB]": msg.scene_memory >> 20,
    }


def _stages(seconds: dict[str, float]) -> dict[str, str]:
    return {f"{stage} [ms]": f"{s * 1e3:.1f}" for stage, s in seconds.items()}
