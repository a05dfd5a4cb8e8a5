"""Services of the node; the long ones in callback groups of their own stop no image.

~/reset   std_srvs/Trigger   forget window, poses, scale and scene, as after a jump back in time;
                             at most once in `RESET_PERIOD`, or no window would ever be full

The others are in export.py, export_action.py and scene.py.
"""

from __future__ import annotations

import math
import time

from std_srvs.srv import Trigger

from da3_ros.core.runner import Runner
from da3_ros.core.scene.mesh import MeshError
from da3_ros.core.scene.scene import Scene
from da3_ros.ros.entities import Entities
from da3_ros.ros.inputs.bounds import RESET_PERIOD
from da3_ros.ros.services.export import ExportServices
from da3_ros.ros.services.export_action import ExportAction
from da3_ros.ros.services.scene import SceneServices


class Services:
    """All services while the node is configured. node: the `DepthNode`."""

    def __init__(self, entities: Entities, node, runner: Runner, scene: Scene):
        self._node = node
        self._reset_at = -math.inf
        exports = ExportServices(entities, node.live, runner, scene)
        ExportAction(entities, exports)
        self._scene = SceneServices(entities, node.live, scene, node.find_pose)
        # In the node's own group: never in the middle of an image.
        entities.create_service(Trigger, "~/reset", self._on_reset)

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._reset()
        return response

    def _reset(self) -> tuple[bool, str]:
        """Whether it was done, and what is to be said."""
        since = time.monotonic() - self._reset_at
        if since < RESET_PERIOD:
            period = f"it is done at most once in {RESET_PERIOD:.0f} s"
            return False, f"the last reset was {since:.1f} s ago; {period}"
        self._reset_at = time.monotonic()
        try:
            self._node.reset()
        except MeshError as error:  # the file of scene.mesh is gone
            return False, str(error)
        return True, "window, poses, scale and scene are forgotten"
