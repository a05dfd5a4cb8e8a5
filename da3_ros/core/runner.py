"""Frames to published results: what the live node and `da3_process` both run.

`take` brings frames, one by one. A window that is due goes through the network and out: between
`start` and `stop` in a thread, or in two, so that one window goes out while the next is in the
network; else at once, in the thread that brought its last frame. A jump in time replaces the
pipeline; the network may still be busy with the old one, and what comes of that is thrown away.

    thread      may call
    callbacks   take, add_anchors, clear, forget, finish, start, stop
    network     (own) _prepare, _work
    outgoing    (own, or the network's) _go_out
    services    newest, look_again
    any         failure, newest_result
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from da3_ros.core.config import Config
from da3_ros.core.depth_view import fuse
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, FrameCounts
from da3_ros.core.job import Done, Job
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.outlet import Log, Outlet
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.prediction import Prediction, WindowDepth
from da3_ros.core.preprocess import plan_resize
from da3_ros.core.process_res import process_res
from da3_ros.core.rig_cameras import RigCameras
from da3_ros.core.rig_sync import RigSynchroniser
from da3_ros.core.scale.anchors import Anchors
from da3_ros.core.scene.scene import Scene
from da3_ros.core.sliding_window import SAID_REFUSALS, why_no_window
from da3_ros.core.warm_up import warm_up_windows
from da3_ros.core.window_fill import WindowFill
from da3_ros.core.worker import TwoSteps
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.net.plain_text import LONGEST_SENTENCE, plain

NOT_WANTED = "nobody subscribes to any output: images are not processed until somebody does"
BACK_TO_WORK = "somebody subscribes: images are processed"


class Runner:
    """Holds pipeline, rig and threads; its newest result is what exports show.

    counts: of what becomes of frames, which whoever brings them has `receive`d.
    busy_with: what the network is not done with when `stop` or `start` say so, in words.
    on_error: told of an error in publishing or fusing while the threads run.
    """

    def __init__(
        self,
        network: Network | NestedNetwork,
        live: LiveConfig,
        scene: Scene,
        outlet: Outlet,
        counts: FrameCounts,
        log: Log,
        on_error: Callable[[Exception], None] = lambda error: None,
    ):
        self.network = network
        self.failure = ""
        kind = next(network.parameters()).device.type
        self.side_by_side = kind != "cpu"  # all its cores are the network's: both would be later
        # Torch prepares its libraries for a GPU in every thread anew.
        self.warms_up = kind == "cuda" and live.config.model.backend == "torch"
        self._live, self._scene, self._outlet = live, scene, outlet
        self._counts, self._log, self._on_error = counts, log, on_error
        self._worker: TwoSteps[Job, Done] | None = None
        self._in_network = threading.Lock()  # one window at a time
        self._going_out = threading.Lock()  # a jump in time comes before or after, never within
        self._begin()

    @property
    def _config(self) -> Config:
        return self._live.config

    def start(self, timeout: float) -> bool:
        """Forget everything, and process windows in threads from now on. False, and nothing is
        done, when after `timeout` seconds those of last time are still busy.
        """
        if self._worker and not self._worker.stop(timeout):
            return False
        self._begin()
        self._counts.reset()
        self._worker = TwoSteps(
            self._work,
            self._go_out,
            newest_wins=self._config.window.drop_when_busy,
            side_by_side=self.side_by_side,
            prepare=self._prepare if self.warms_up else lambda: iter(()),
        )
        return True

    def stop(self, timeout: float) -> bool:
        """End the threads; nothing more goes out. False when they are busy for longer than that."""
        self._renew()
        self._counts.drop_all(Drop.STOPPED)
        return self._worker is None or self._worker.stop(timeout)

    def take(self, name: str, frame: Frame) -> None:
        """Step collect: one frame of the camera `name`; a rig waits for its other cameras.

        Raises `PreprocessError` for a picture that the network cannot take.
        """
        if not self._cameras.are_told_apart(name, frame):
            return
        size = process_res(self._config, self.network)
        plan_resize(frame.camera.height, frame.camera.width, size)  # raises where none is possible
        self._cameras.watch_size(name, frame)
        instants = self._rig.add(name, frame)
        self._cameras.watch_rig(self._rig)
        for instant in instants:
            self._push(instant)

    def add_anchors(self, anchors: Anchors) -> None:
        """Points from outside, for the windows that come."""
        self._pipeline.anchors.add(anchors)

    def finish(self) -> None:
        """No more frames will come: process those that wait for other cameras of the rig."""
        for instant in self._rig.flush():
            self._push(instant)
        self._say_no_window(self._counts.end())

    def clear(self) -> None:
        """Forget frames, results and scale, as after a jump back in time."""
        with self._going_out:
            self._renew()
            self._newest: WindowDepth | None = None
        self._outlet.clear()
        self._counts.drop_all(Drop.TIME_JUMP)

    @property
    def memory(self) -> tuple[tuple, tuple]:
        """What decides which frames are looked at next, and what decides their metres."""
        frames, metres = self._pipeline.memory
        return (*frames, self._rig.memory, self._counts.pending()), metres

    def forget(self) -> None:
        """Forget the newest result."""
        self._newest = None

    @property
    def newest_result(self) -> WindowDepth | None:
        """The newest window's depth that went out, or was asked for."""
        return self._newest

    def newest(self) -> WindowDepth | None:
        """The newest window's depth; if nobody listened when it came, it is processed now.

        Raises whatever the network raises.
        """
        if self._left_out_lately() is None:
            return self._newest
        with self._in_network:
            job = self._left_out_lately()
            if job is None:  # a newer one went out while this waited
                return self._newest
            result = job.pipeline.process(job.window)
        with self._going_out:
            if not (self._is_stale(job) or self._is_outdated(job)):
                self._newest = result
        return result

    def _left_out_lately(self) -> Job | None:
        """The window that nobody wanted, unless a newer one has gone out since."""
        job = self._left_out
        return None if job is None or self._is_outdated(job) else job

    def _is_outdated(self, job: Job) -> bool:
        newest = self._newest
        return newest is not None and newest.window.stamp_ns >= job.window.stamp_ns

    def look_again(
        self, result: WindowDepth, *, gaussians: bool, layers: Sequence[int]
    ) -> Prediction:
        """Gaussians and features of a window, see `Pipeline.look_again`; it is processed alone."""
        with self._in_network:
            return self._pipeline.look_again(result, gaussians=gaussians, layers=layers)

    def _begin(self) -> None:
        self.failure, self.busy_with = "", "its last window"
        self._newest = None
        self._cameras = RigCameras(self._counts, self._log)
        self._was_wanted = True
        self._renew()

    def _renew(self) -> None:
        """Whatever was collected before is stale from now on."""
        inputs = self._config.input
        self._pipeline = Pipeline(self.network, self._config)
        self.fill = WindowFill()
        self._left_out: Job | None = None
        self._rig = RigSynchroniser(inputs.cameras, round(inputs.sync_tolerance * 1e9))

    def _is_stale(self, job: Job) -> bool:
        return job.pipeline is not self._pipeline

    def _push(self, instant: tuple[Frame, ...]) -> None:
        self._pipeline.configure(self._config)
        step = self._pipeline.push(*instant)
        self.fill.note(max(f.stamp_ns for f in instant), step, self._config.window)
        if step.refused:
            for frame in instant:
                self._counts.drop(frame.key, step.refused)
            if step.refused in SAID_REFUSALS:
                self._log.warn(step.refused, SAID_REFUSALS[step.refused])
        self._say_no_window(self._counts.leave(frame.key for frame in step.left))
        if step.window:
            self._submit(Job(self._pipeline, step.window))

    def _say_no_window(self, are_lost: bool) -> None:
        if are_lost and not self.fill.trouble:
            self._log.warn(Drop.NO_WINDOW, why_no_window(self._config.window))
        elif are_lost and not self._worker:  # a node says it itself, for as long as it lasts
            self._log.warn("window fill", self.fill.trouble)

    def _submit(self, job: Job) -> None:
        self._counts.queue(job.keys, beside=(frame.key for frame in job.window.frames))
        if not self._is_wanted():
            self._left_out = job
            self._counts.give_up(job.keys, Drop.NO_LISTENERS)
        elif self._worker is None:
            self._publish(job, self._process(job))
        else:
            job.pipeline.begin(job.window)
            if given_way := self._worker.submit(job):
                self._counts.give_up(given_way.keys, Drop.BUSY)

    def _is_wanted(self) -> bool:
        is_wanted = self._config.scene.enabled or self._outlet.is_wanted()
        if is_wanted != self._was_wanted:
            self._log.debug(BACK_TO_WORK if is_wanted else NOT_WANTED)
        self._was_wanted = is_wanted
        return is_wanted

    def _prepare(self) -> Iterator[WindowDepth]:
        """Before the first picture; what goes wrong here goes wrong there again, and is said."""
        with self._in_network, suppress(Exception):
            self.busy_with = "its warm-up"
            yield from warm_up_windows(self.network, self._config)
        self.busy_with = "its last window"

    def _work(self, job: Job) -> Done | None:
        """One window in the network's thread, which goes on whatever happens."""
        if self._is_stale(job):
            return None
        try:
            return job, self._process(job)
        except Exception as error:
            return job, error

    def _go_out(self, done: Done) -> None:
        """One result in the outgoing thread, which likewise goes on."""
        job, outcome = done
        way_out = self._fail if isinstance(outcome, Exception) else self._publish
        try:
            with self._going_out:
                if not self._is_stale(job):
                    way_out(job, outcome)
        except Exception as error:
            self._counts.give_up(job.keys, Drop.INTERNAL_ERROR)
            self._on_error(error)

    def _process(self, job: Job) -> WindowDepth:
        with self._in_network:
            return job.pipeline.process(job.window)

    def _publish(self, job: Job, result: WindowDepth) -> None:
        self.failure = ""
        # Before it is published: who has seen it may export it.
        self._newest = result
        if self._left_out_lately() is None:
            self._left_out = None
        self._outlet.publish(result, self._cameras.camera_of)
        self._counts.publish(job.keys)
        if result.limit:
            self._log.warn("memory", str(result.limit))
        if result.link and result.link.broken:
            self._log.warn("chain", f"odometry: {result.link.broken}")
        if result.evidence and (jump := result.evidence.jump):
            self._log.warn("scale", jump)
        if self._config.scene.enabled:
            self._scene.configure(self._config.scene)
            fuse(result, self._scene, self._config.output, self._log)

    def _fail(self, job: Job, error: Exception) -> None:
        self._counts.give_up(job.keys, Drop.INFERENCE_FAILED)
        words = plain(str(error), LONGEST_SENTENCE // 2)
        self.failure = f"inference failed: {type(error).__name__}: {words}"
        details = "".join(traceback.format_exception(error))
        self._log.fail("inference", self.failure, details)
