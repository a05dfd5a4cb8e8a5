"""What the node holds in its lifecycle states; each state is built whole, or leaves nothing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import torch

from da3_ros.core.body_mask import read_mask
from da3_ros.core.export.running import check_export
from da3_ros.core.load_model import find_device, load_model
from da3_ros.core.runner import Runner
from da3_ros.core.scene.scene import Scene
from da3_ros.ros.entities import Entities
from da3_ros.ros.health.rates import Statistics
from da3_ros.ros.inputs.anchor_input import AnchorInput
from da3_ros.ros.inputs.cameras import CameraInputs
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.subscriptions import Inputs
from da3_ros.ros.outputs.publishers import Outputs
from da3_ros.ros.services import Services


@dataclass(frozen=True, eq=False)
class Configured:
    """From configure to cleanup: the model, and what can be asked for."""

    device: torch.device
    scene: Scene
    runner: Runner
    outputs: Outputs
    services: Services
    statistics: Statistics
    entities: Entities

    @staticmethod
    def build(node) -> Configured:
        """For a `DepthNode`. Raises `ConfigError`, `ExportError`, `ModelError`, `MeshError`."""
        # First what is quick to find out: weights may take minutes.
        check_export(node.config.export)
        for name in node.config.input.cameras:
            read_mask(node.config.input.mask, name)
        scene = Scene(node.config.scene, str(find_device(node.config.model.device)))
        network = load_model(node.config)
        device = next(network.parameters()).device
        with _whole(Entities(node)) as entities:
            statistics = Statistics(node.now_ns)
            outputs = Outputs(entities, node.live, statistics)
            runner = Runner(
                network, node.live, scene, outputs, node.counts, node.log, node.note_error
            )
            services = Services(entities, node, runner, scene)
            return Configured(device, scene, runner, outputs, services, statistics, entities)

    def close(self) -> None:
        """Let what was asked for end, take topics and services off the graph."""
        self.services.close()
        self.entities.close()


@dataclass(frozen=True, eq=False)
class Active:
    """From activate to deactivate: what comes in."""

    inputs: Inputs
    entities: Entities

    @staticmethod
    def build(node, runner: Runner) -> Active:
        """For a `DepthNode`; frames go to the runner."""
        with _whole(Entities(node)) as entities:
            poses = PoseSource(node.config.pose, node.now_ns)
            cameras = CameraInputs(
                node.live, node.counts, node.log, poses, runner.take, node.start_over, node.now_ns
            )
            anchors = AnchorInput(node.live, node.log, poses, runner.add_anchors, node.now_ns)
            return Active(Inputs(entities, node.live, node.log, cameras, anchors), entities)

    def close(self) -> None:
        """Unsubscribe."""
        self.entities.close()


@contextmanager
def _whole(entities: Entities):
    """Close them when what is built of them fails half way."""
    try:
        yield entities
    except BaseException:
        entities.close()
        raise
