"""Frames to published results: steps collect to publish, across the two threads.

The executor's thread brings frames (`take`); the worker's thread runs the network and
publishes. A jump in time replaces the pipeline: the worker may still be using the old one.
"""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass

from rclpy.node import Node

from da3_ros.core.config import Config
from da3_ros.core.depth_view import fuse
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, Key, Ledger
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.rig_sync import InstantCollector
from da3_ros.core.scene.scene import Scene
from da3_ros.core.sliding_window import Refusal, Window
from da3_ros.core.worker import Worker
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.ros.health.throttled_log import Complaints
from da3_ros.ros.outputs.publishers import Outputs
from da3_ros.ros.status import Vitals

REASONS = {
    Refusal.DUPLICATE: Drop.DUPLICATE_STAMP,
    Refusal.OUT_OF_ORDER: Drop.OUT_OF_ORDER,
    Refusal.TOO_NEAR: Drop.NOT_MOVED,
}

NOT_WANTED = "nobody subscribes to any output: images are not processed until somebody does"
BACK_TO_WORK = "somebody subscribes: images are processed"


@dataclass(eq=False)
class Job:
    """A window, the pipeline that collected it (after a jump in time there is another), and
    what came out."""

    pipeline: Pipeline
    window: Window
    result: WindowDepth | None = None

    @property
    def keys(self) -> list[Key]:
        """The frames it would publish."""
        return [_key(self.window.frames[i]) for i in self.window.views]


class Engine:
    """Holds pipeline and worker while the node is active."""

    def __init__(
        self,
        node: Node,
        network: Network | NestedNetwork,
        config: Config,
        scene: Scene,
        outputs: Outputs,
        ledger: Ledger,
        complaints: Complaints,
        vitals: Vitals,
    ):
        self._node = node
        self._network = network
        self._config = config
        self._scene = scene
        self._outputs = outputs
        self._ledger = ledger
        self._complaints = complaints
        self._vitals = vitals
        self._last_frame: dict[str, Frame] = {}
        self._camera_of: dict[str, str] = {}
        self._was_wanted = True
        self._in_network = threading.Lock()  # one window at a time
        self._renew()
        self._worker: Worker[Job, WindowDepth] = Worker(
            process=self._process,
            publish=self._publish,
            fail=self._fail,
            newest_wins=config.window.drop_when_busy,
        )

    def configure(self, config: Config) -> None:
        """Take parameters that changed while running."""
        self._config = config
        self._pipeline.configure(config)

    def take(self, name: str, frame: Frame) -> None:
        """Step collect: one frame of the camera `name`; a rig waits for its other cameras."""
        if not self._is_its_own(name, frame):
            return
        self._watch_size(name, frame)
        for instant in self._instants.add(name, frame):
            self._push(instant)
        for silent in self._instants.silent():
            self._complaints.warn(
                f"camera {silent} sends no usable images; the others go on without it"
            )

    def _push(self, instant: tuple[Frame, ...]) -> None:
        step = self._pipeline.push(*instant)
        if step.refused:
            self._refuse(instant, step.refused)
        self._ledger.leave(_key(f) for f in step.left)
        if step.window:
            self._submit(step.window)

    def newest(self) -> WindowDepth | None:
        """The newest window's depth; if nobody listened when it came, it is processed now.

        Raises whatever the network raises.
        """
        job, newest = self._left_out, self._vitals.newest
        if job is None or (newest and newest.window.stamp_ns >= job.window.stamp_ns):
            return newest
        return self._process(job)

    def clear(self) -> None:
        """Forget frames, results and scale."""
        self._worker.clear()
        self._renew()
        self._outputs.clear()
        self._vitals.newest = None

    def stop(self, timeout: float) -> bool:
        """End the worker; False when it did not end within `timeout` seconds."""
        return self._worker.stop(timeout)

    def _renew(self) -> None:
        inputs = self._config.input
        self._pipeline = Pipeline(self._network, self._config)
        self._left_out: Job | None = None
        self._instants = InstantCollector(inputs.cameras, round(inputs.sync_tolerance * 1e9))

    def _is_its_own(self, name: str, frame: Frame) -> bool:
        owner = self._camera_of.setdefault(frame.camera_id, name)
        if owner == name:
            return True
        self._ledger.drop(_key(frame), Drop.BAD_HEADER)
        self._complaints.warn(
            f"cameras '{owner}' and '{name}' both send frame_id '{frame.camera_id}'; "
            "each camera needs an optical frame of its own",
        )
        return False

    def _watch_size(self, name: str, frame: Frame) -> None:
        last = self._last_frame.get(name, frame).camera
        self._last_frame[name] = frame
        now = frame.camera
        if (now.width, now.height) != (last.width, last.height):
            self._complaints.warn(
                f"images changed from {last.width}x{last.height} to {now.width}x{now.height}",
            )

    def _refuse(self, instant: tuple[Frame, ...], refusal: Refusal) -> None:
        for frame in instant:
            self._ledger.drop(_key(frame), REASONS[refusal])
        if refusal is not Refusal.TOO_NEAR:
            self._complaints.warn(f"image dropped: {refusal.value}")

    def _submit(self, window: Window) -> None:
        job = Job(self._pipeline, window)
        self._ledger.queue(job.keys)
        if not self._is_wanted():
            self._left_out = job
            self._ledger.give_up(job.keys, Drop.NO_LISTENERS)
        elif given_way := self._worker.submit(job):
            self._ledger.give_up(given_way.keys, Drop.BUSY)

    def _is_wanted(self) -> bool:
        is_wanted = self._config.scene.enabled or self._outputs.has_listeners()
        if is_wanted != self._was_wanted:
            self._was_wanted = is_wanted
            self._node.get_logger().info(BACK_TO_WORK if is_wanted else NOT_WANTED)
        return is_wanted

    def _process(self, job: Job) -> WindowDepth:
        with self._in_network:
            if job.result is None:
                job.result = job.pipeline.process(job.window)
            return job.result

    def _publish(self, result: WindowDepth) -> None:
        # Before it is published: who has seen it may export it.
        self._vitals.newest = result
        self._outputs.publish(result, self._camera_of)
        self._ledger.publish(map(_key, result.frames))
        newest_ns = max(frame.stamp_ns for frame in result.frames)
        now_ns = self._node.get_clock().now().nanoseconds
        self._vitals.note(result, (now_ns - newest_ns) / 1e9)
        if result.limit:
            self._complaints.warn(str(result.limit))
        if self._config.scene.enabled:
            fuse(result, self._scene, self._config.output)

    def _fail(self, job: Job, error: Exception) -> None:
        self._ledger.give_up(job.keys, Drop.INFERENCE_FAILED)
        self._vitals.failure = f"inference failed: {type(error).__name__}: {error}"
        details = "".join(traceback.format_exception(error))
        self._complaints.fail(self._vitals.failure, details)


def _key(frame: Frame) -> Key:
    return frame.camera_id, frame.stamp_ns
