"""The node `da3`: a lifecycle node that turns posed camera images into metric depth.

    configure    load the model and warm it up, advertise topics and services
    activate     subscribe to images and poses, start working
    deactivate   unsubscribe, stop working
    cleanup      free the model

What it subscribes to is listed in inputs.py, what it publishes in outputs.py and
status.py, its services in services.py, its parameters in core/config.py.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from da3_ros.core.config import Config
from da3_ros.core.export import ExportError
from da3_ros.core.export.running import check_export
from da3_ros.core.frame_counts import Drop, Ledger
from da3_ros.core.load_model import ModelError, find_device, free_memory, load_model
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.process_res import process_res, size_warning, with_process_res
from da3_ros.core.scene.mesh import MeshError
from da3_ros.core.scene.scene import Scene
from da3_ros.ros.engine import Engine
from da3_ros.ros.health.callback_errors import CallbackErrors
from da3_ros.ros.health.clock_watch import ClockWatch
from da3_ros.ros.health.namesakes import Namesakes
from da3_ros.ros.health.throttled_log import Complaints
from da3_ros.ros.inputs.subscriptions import Inputs
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable
from da3_ros.ros.lifecycle import answer_impossible_transitions
from da3_ros.ros.outputs.publishers import Outputs
from da3_ros.ros.parameters import LiveParameters, declare_parameters, foreign_parameters
from da3_ros.ros.run_node import Stopper
from da3_ros.ros.services import Services
from da3_ros.ros.status import StatusReport, Vitals

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
STOP_TIMEOUT = 1.0
"""Seconds for the network to finish its window when the node stops."""


def logged(transition: Callable) -> Callable:
    """rclpy swallows what a transition raises: the log must have it."""

    @functools.wraps(transition)
    def run(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = None
        try:
            result = transition(self, state)
        finally:
            if result is None:
                self.get_logger().error(traceback.format_exc())
        return result

    return run


class DepthNode(LifecycleNode):
    """Composes inputs, engine and outputs along the lifecycle.

    Raises `ConfigError` when a parameter given at start is not allowed.
    """

    def __init__(self, stopper: Stopper):
        super().__init__("da3", automatically_declare_parameters_from_overrides=True)
        answer_impossible_transitions(self)
        foreign = foreign_parameters(self.get_parameters_by_prefix(""), sys.argv)
        config = declare_parameters(self)
        self._stopper = stopper
        self._complaints = Complaints(self.get_logger())
        self._errors = CallbackErrors(self.get_logger())
        self._ledger, self._vitals = Ledger(), Vitals()
        self._network = self._scene = self._outputs = self._services_of_model = None
        self._inputs = self._engine = self._late_engine = None
        self._live = LiveParameters(
            self, config, is_configured=lambda: self._network is not None, apply=self._apply
        )
        self._report = StatusReport(
            self, self._ledger, self._complaints, self._errors, self._vitals
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._report_timer = self.create_timer(1.0, self._report_status, clock=steady)
        self._clock_watch = ClockWatch(self, self._start_over)
        self._namesakes = Namesakes(self)
        self._bad_size = ""
        for name in foreign:
            self.get_logger().warning(f"parameter {name} is for another node; it is ignored")
        if config.autostart:
            self._start_timer = self.create_timer(0.0, self._autostart, clock=steady)

    @property
    def config(self) -> Config:
        """The parameters of now."""
        return self._live.config

    @property
    def state(self) -> str:
        """The lifecycle state in words."""
        return self._state_machine.current_state[1]

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and warm it up, advertise topics and services."""
        try:
            # First what is quick to find out: weights may take minutes.
            check_export(self.config.export)
            scene = Scene(self.config.scene, str(find_device(self.config.model.device)))
            network = load_model(self.config)
        except (ExportError, ModelError, MeshError) as error:
            self.get_logger().error(str(error))
            return FAILURE
        device = next(network.parameters()).device
        self._scene = scene
        self._network, self._vitals.device = network, device
        weights = self._network.weights
        self._vitals.model, self._vitals.license = weights.source, weights.license
        self._vitals.scene = self._scene
        self._outputs = Outputs(self, self.config)
        self._services_of_model = Services(self, self._network, self._scene)
        res = process_res(self.config, network)
        self._bad_size = size_warning(weights, res)
        self.get_logger().info(
            f"inactive: model {weights.source} is ready on {self._vitals.device}, {res} px"
        )
        return SUCCESS

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to images and poses, start working."""
        if self._late_engine and not self._late_engine.stop(STOP_TIMEOUT):
            self.get_logger().error(
                "the network is still busy with a window from before; activate again in a moment"
            )
            return FAILURE
        # Counters run since activation.
        self._ledger.reset()
        self._vitals.begin()
        self._engine = Engine(
            self,
            self._network,
            self.config,
            self._scene,
            self._outputs,
            self._ledger,
            self._complaints,
            self._vitals,
        )
        self._inputs = Inputs(
            self,
            with_process_res(self.config, self._network.weights.size),
            self._ledger,
            self._complaints,
            take=self._engine.take,
            start_over=self._start_over,
        )
        self._vitals.poses = self._inputs.poses
        self._vitals.camera_rates = [camera.rate for camera in self._inputs.cameras.values()]
        self.get_logger().info("active: waiting for images")
        return SUCCESS

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, stop working."""
        self.stop()
        self.get_logger().info("inactive: unsubscribed")
        return SUCCESS

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model, take topics and services off the graph."""
        if self._outputs:
            self._outputs.close()
            self._services_of_model.close()
        self._network = self._scene = self._outputs = self._services_of_model = None
        self._late_engine = None  # a network that is still busy is freed when it is done
        self._vitals.newest = self._vitals.scene = None
        self._bad_size = ""
        free_memory()
        self.get_logger().info("unconfigured: the model is freed")
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from any state."""
        self.stop()
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition raised: back to unconfigured."""
        return self.on_shutdown(state)

    def newest_result(self) -> WindowDepth | None:
        """The newest window's depth; see `Engine.newest`."""
        engine = self._engine
        return engine.newest() if engine else self._vitals.newest

    def find_pose(self, frame_id: str, stamp_ns: int) -> np.ndarray:
        """T_world_frame (4, 4) at a stamp (0: the newest). Raises `TransformUnavailable`."""
        world = self.config.pose.world_frame
        if frame_id.lstrip("/") == world:
            return np.eye(4)
        inputs = self._inputs
        if not inputs:
            sentence = f"poses of '{frame_id}' are known only while the node is active"
            raise TransformUnavailable(TransformUnavailable.NOT_YET, sentence)
        return inputs.poses.lookup(world, frame_id, stamp_ns)

    def reset(self) -> None:
        """Forget window, poses, scale and scene. Raises `MeshError` when scene.mesh is gone."""
        self._forget(Drop.TIME_JUMP)
        self.get_logger().info("reset: window, poses, scale and scene are forgotten")
        self._vitals.newest = None
        # Last: a window from before may be going into the scene until here.
        self._scene.reset()

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Drop whatever waits, end the worker; it has `timeout` seconds for its last window."""
        if self._inputs:
            self._inputs.close()
            self._late_engine = None if self._engine.stop(timeout) else self._engine
            self._ledger.drop_all(Drop.STOPPED)
        self._inputs = self._engine = None
        if self._late_engine:
            self.get_logger().warning(
                "the network is still busy with its last window, which will not be published"
            )

    def note_error(self, error: Exception) -> None:
        """An error came out of a callback: say and count it."""
        self._errors.note(error)

    def create_service(self, srv_type, srv_name, callback, **options):
        """As every node's; one that can say so answers even when its callback raises."""
        if hasattr(srv_type.Response, "success"):
            callback = self._errors.answered(callback)
        return super().create_service(srv_type, srv_name, callback, **options)

    def _autostart(self) -> None:
        self.destroy_timer(self._start_timer)
        if self.trigger_configure() != SUCCESS or self.trigger_activate() != SUCCESS:
            self._stopper.fail()

    def _apply(self, config: Config) -> None:
        if self._engine:
            self._engine.configure(config)
        if self._outputs:
            self._outputs.configure(config)
            self._scene.configure(config.scene)

    def _start_over(self, why: str) -> None:
        """Forget everything but the model and static transforms."""
        if self._inputs:
            self._complaints.warn(f"{why}: starting over", always=True)
            self._forget(Drop.TIME_JUMP)

    def _forget(self, reason: Drop) -> None:
        if self._inputs:
            self._inputs.clear(reason)
            self._engine.clear()
            self._ledger.drop_all(reason)

    def _report_status(self) -> None:
        inputs = self._inputs
        silent = inputs.complaints() if inputs else []
        lasting = [*self._clock_watch.complaints(), *self._namesakes.complaints(), *silent]
        self._complaints.last(lasting + [self._bad_size] * bool(self._bad_size))
        self._report.publish(self.state)
