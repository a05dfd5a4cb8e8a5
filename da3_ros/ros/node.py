"""The node `da3`: a lifecycle node that turns posed camera images into metric depth.

    configure    load the model and warm it up, advertise topics and services
    activate     subscribe to images and poses, start working
    deactivate   unsubscribe, stop working
    cleanup      free the model

What it subscribes to is listed in inputs/subscriptions.py, what it publishes in
outputs/publishers.py and status.py, its services in services/, its parameters in core/config.py.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from da3_ros.core.config import Config, ConfigError
from da3_ros.core.config_doubts import config_doubts
from da3_ros.core.export import ExportError
from da3_ros.core.frame_counts import Drop, FrameCounts
from da3_ros.core.load_model import ModelError, free_memory
from da3_ros.core.process_res import process_res, size_warning
from da3_ros.core.scene.mesh import MeshError
from da3_ros.core.stop_signals import Stopper
from da3_ros.net.plain_text import LONGEST_PATH, LONGEST_SENTENCE, plain, plain_tail
from da3_ros.ros.executor import UnansweredError
from da3_ros.ros.health.callback_errors import CallbackErrors
from da3_ros.ros.health.clock_watch import ClockWatch
from da3_ros.ros.health.namesakes import Namesakes
from da3_ros.ros.health.python_log import say_in_log_of
from da3_ros.ros.health.throttled_log import LONGEST_DETAILS, ThrottledLog
from da3_ros.ros.health.watchdog import Watchdog
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable, is_same_frame
from da3_ros.ros.lifecycle import answer_impossible_transitions, current_state
from da3_ros.ros.node_states import Active, Configured
from da3_ros.ros.parameter_file import NODE_NAME
from da3_ros.ros.parameter_requests import LISTS, bounded
from da3_ros.ros.parameters import (
    LiveParameters,
    declare_parameters,
    foreign_parameters,
    missing_blocks,
    of_another_node,
)
from da3_ros.ros.qos_overrides import unused_overrides
from da3_ros.ros.status import StatusReport

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
STOP_TIMEOUT = 1.0
"""Seconds for the network to finish its window when the node stops."""

LONGEST_CALLBACK = 2.0
"""Seconds after which the status says that the callbacks wait for one of them."""


def logged(transition: Callable) -> Callable:
    """rclpy swallows what a transition raises: the log must have it."""

    @functools.wraps(transition)
    def run(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = None
        try:
            result = transition(self, state)
        finally:
            if result is None:
                self.get_logger().error(plain_tail(traceback.format_exc(), LONGEST_DETAILS))
        return result

    return run


class DepthNode(LifecycleNode):
    """Composes inputs, runner and outputs along the lifecycle.

    Raises `ConfigError` when a parameter given at start is not allowed.
    """

    def __init__(self, stopper: Stopper):
        super().__init__(NODE_NAME, automatically_declare_parameters_from_overrides=True)
        say_in_log_of(self.get_logger())
        answer_impossible_transitions(self)
        full_name = self.get_fully_qualified_name()
        given = self.get_parameters_by_prefix("")
        foreign = foreign_parameters(given, sys.argv, full_name)
        config = declare_parameters(self)
        self._stopper = stopper
        self.log = ThrottledLog(self.get_logger())
        self.counts = FrameCounts()
        self._errors = CallbackErrors(self.get_logger())
        self._configured: Configured | None = None
        self._active: Active | None = None
        self.live = LiveParameters(self, config, is_configured=lambda: self._configured is not None)
        self._report = StatusReport(self, self.counts, self.log, self._errors)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._report_status, clock=steady)
        self._clock_watch = ClockWatch(self, self.start_over, self.log.warn)
        self._namesakes = Namesakes(self)
        self._bad_size, self._silent = "", []
        self._unproven = list(given)
        doubts = [*missing_blocks(sys.argv, full_name), *map(of_another_node, foreign)]
        for sentence in doubts:
            self.get_logger().warning(sentence)
        if config.autostart:
            self._start_timer = self.create_timer(0.0, self._autostart, clock=steady)
        self._watchdog = Watchdog(self._report_while_busy, self.note_error)

    @property
    def config(self) -> Config:
        """The parameters of now."""
        return self.live.config

    @property
    def state(self) -> str:
        """The lifecycle state in words."""
        return current_state(self)

    def now_ns(self) -> int:
        """The node's clock, in ns."""
        return self.get_clock().now().nanoseconds

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and warm it up, advertise topics and services."""
        try:
            configured = self._configured = Configured.build(self)
        except (ConfigError, ExportError, ModelError, MeshError) as error:
            self.get_logger().error(plain(str(error), LONGEST_SENTENCE))
            return FAILURE
        network = configured.runner.network
        res = process_res(self.config, network)
        self._bad_size = size_warning(network.weights, res)
        for doubt in config_doubts(self.config, is_metric=network.preset.metric):
            self.get_logger().warning(doubt)
        source = plain(network.weights.source, LONGEST_PATH)
        self.get_logger().info(
            f"configured: model {source} is ready on {configured.device}, {res} px"
        )
        return SUCCESS

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to images and poses, start working."""
        runner = self._configured.runner
        if not runner.start(STOP_TIMEOUT):
            self.get_logger().error(
                f"the network is still busy with {runner.busy_with}; activate again in a moment"
            )
            return FAILURE
        self._configured.statistics.clear()
        self._watchdog.beat()  # no message has kept the node so far
        try:
            self._active = Active.build(self, runner)
        except ConfigError as error:  # the file of input.mask is gone
            runner.stop(STOP_TIMEOUT)
            self.get_logger().error(plain(str(error), LONGEST_SENTENCE))
            return FAILURE
        except BaseException:
            runner.stop(STOP_TIMEOUT)
            raise
        self._report.watch(self._active.inputs)
        for sentence in unused_overrides(self._unproven, self):
            self.get_logger().warning(sentence)
        self._unproven = []
        self.get_logger().info("active: waiting for images")
        return SUCCESS

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, stop working."""
        self.stop()
        self.get_logger().info("deactivated: unsubscribed")
        return SUCCESS

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model, take topics and services off the graph."""
        if self._configured:
            self._configured.close()
        # A network that is still busy is freed when it is done.
        self._configured = None
        self._bad_size = ""
        free_memory()
        self.get_logger().info("cleaned up: the model is freed")
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from any state."""
        self.stop()
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition raised: back to unconfigured."""
        return self.on_shutdown(state)

    def find_pose(self, frame_id: str, stamp_ns: int) -> np.ndarray:
        """T_world_frame (4, 4) at a stamp (0: the newest). Raises `TransformUnavailable`."""
        world = self.config.pose.world_frame
        if is_same_frame(frame_id, world):
            return np.eye(4)
        active = self._active
        if not active:
            sentence = f"poses of '{frame_id}' are known only while the node is active"
            raise TransformUnavailable(TransformUnavailable.NOT_YET, sentence)
        return active.inputs.cameras.poses.lookup(world, frame_id, stamp_ns)

    def start_over(self, what: str, seconds: float) -> None:
        """Time jumped: forget everything but the model and static transforms.

        what: which time jumped, and which way, in words. seconds: how far.
        """
        if self._active:
            self.log.warn(what, f"{what} by {seconds:.1f} s: starting over")
            self._forget()

    def _forget(self) -> None:
        if self._active:
            cameras = self._active.inputs.cameras
            cameras.clear(Drop.TIME_JUMP)
            cameras.poses.clear()
            self._active.inputs.anchors.clear()
            self._configured.runner.clear()

    def reset(self) -> None:
        """Forget window, poses, scale and scene."""
        self._forget()
        self._configured.runner.forget()
        # Last: a window from before may be going into the scene until here.
        self._configured.scene.reset()
        self.get_logger().info("reset: window, poses, scale and scene are forgotten")

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Drop whatever waits, stop the network; it has `timeout` seconds for its last window."""
        active, self._active = self._active, None
        if not active:
            return
        active.close()
        active.inputs.cameras.clear(Drop.STOPPED)
        runner = self._configured.runner
        if not runner.stop(timeout):
            what = f"the network is still busy with {runner.busy_with}"
            self.get_logger().warning(f"{what}, of which nothing is published")

    def note_error(self, error: Exception) -> None:
        """An error came out of a callback or of publishing: say it, count our own faults."""
        if isinstance(error, UnansweredError):
            self.log.warn("unanswered", str(error))
        else:
            self._errors.note(error)

    def create_service(self, srv_type, srv_name, callback, **options):
        """As every node's; one that can say so answers even when its callback raises."""
        if hasattr(srv_type.Response, "success"):
            callback = self._errors.answered(callback)
        if srv_type in LISTS:  # rclpy makes these while this node is made
            callback = bounded(srv_type, callback, self._refuse_parameters)
        return super().create_service(srv_type, srv_name, callback, **options)

    def _refuse_parameters(self, sentence: str) -> None:
        self.log.warn("parameters", sentence)

    def _autostart(self) -> None:
        self.destroy_timer(self._start_timer)
        if self.trigger_configure() != SUCCESS or self.trigger_activate() != SUCCESS:
            self._stopper.fail()

    def destroy_node(self) -> None:
        """As every node's."""
        self._watchdog.stop()
        super().destroy_node()

    def _report_status(self) -> None:
        # While the node was busy it heard no images: that says nothing about their topics.
        if self._watchdog.beat() <= LONGEST_CALLBACK:
            self._silent = self._active.inputs.silent() if self._active else []
        lasting = [*self._clock_watch.warnings(), *self._namesakes.warnings(), *self._silent]
        lasting.append(self._bad_size)
        if self._active:
            runner = self._configured.runner
            lasting += [
                runner.fill.trouble,
                *self._active.inputs.unused_anchors(runner.newest_result),
            ]
        self.log.note_lasting([sentence for sentence in lasting if sentence])
        self._report.publish(self.state, self._configured)

    def _report_while_busy(self, seconds: float) -> None:
        if self._active and seconds > LONGEST_CALLBACK:
            sentence = (
                f"what came in has kept the node busy for {seconds:.0f} s, and images wait "
                "meanwhile: large pictures, lenses that are new, or a machine that is overloaded"
            )
            self.log.warn("busy", sentence)
        self._report.publish_while_busy(self.state, self._configured)
