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
from da3_ros.core.scene.scene import Scene
from da3_ros.ros.bounds import RESET_PERIOD
from da3_ros.ros.entities import Entities
from da3_ros.ros.services.export import ExportServices
from da3_ros.ros.services.export_action import ExportAction
from da3_ros.ros.services.scene import SceneServices

CLOSE_TIMEOUT = 2.0
"""Seconds for requests that still run when the node is cleaned up."""

ABORT_TIMEOUT = 0.5
"""Seconds to send the results of exports that took longer."""


class Services:
    """All services while the node is configured. node: the `DepthNode`."""

    def __init__(self, entities: Entities, node, runner: Runner, scene: Scene):
        self._node, self._entities = node, entities
        self._reset_at = -math.inf
        exports = ExportServices(entities, node.live, runner, scene)
        self._action = ExportAction(entities, exports)
        SceneServices(entities, node.live, scene, node.find_pose)
        # In the node's own group: never in the middle of an image.
        entities.create_service(Trigger, "~/reset", self._on_reset)

    def close(self) -> None:
        """Refuse what comes, call exports off, and wait for what runs: at most `CLOSE_TIMEOUT`.

        To be called in the node's own group, before its entities are closed.
        """
        self._entities.is_closing = True
        executor, action = self._node.executor, self._action
        executor.run_until(lambda: not (executor.is_busy or action.is_open), CLOSE_TIMEOUT)
        if action.is_open:
            action.give_up()
            executor.run_until(lambda: not action.is_open, ABORT_TIMEOUT)

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
        self._node.reset()
        return True, "window, poses, scale and scene are forgotten"
