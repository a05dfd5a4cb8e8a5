"""Services of the node; the long ones in callback groups of their own stop no image.

~/reset   std_srvs/Trigger   forget window, poses, scale and scene, as after a jump back in time

The others are in export_services.py and scene_services.py.
"""

from __future__ import annotations

from std_srvs.srv import Trigger

from da3_ros.core.scene.mesh import MeshError
from da3_ros.core.scene.scene import Scene
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.ros.services.export import ExportServices
from da3_ros.ros.services.scene import SceneServices


class Services:
    """All services while the node is configured. node: the `DepthNode`."""

    def __init__(self, node, network: Network | NestedNetwork, scene: Scene):
        self._node = node
        self._exports = ExportServices(
            node, network, scene, lambda: node.config, node.newest_result
        )
        self._scene = SceneServices(node, scene, lambda: node.config, node.find_pose)
        # In the node's own group: never in the middle of an image.
        self._reset = node.create_service(Trigger, "~/reset", self._on_reset)

    def close(self) -> None:
        """Take all services off the graph."""
        self._scene.close()
        for service in (*self._exports.services, self._reset):
            self._node.destroy_service(service)

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        try:
            self._node.reset()
        except MeshError as error:  # the file of scene.mesh is gone
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = True, "window, poses, scale and scene are forgotten"
        return response
