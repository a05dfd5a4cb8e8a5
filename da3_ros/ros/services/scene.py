"""The fused scene on the graph.

~/build_mesh     std_srvs/Trigger                  make the map's surface the mesh
~/load_mesh      da3_ros/LoadMesh                  show this file instead
~/render_depth   da3_ros/RenderDepth               depth of the mesh from any viewpoint
~/cloud_map      sensor_msgs/PointCloud2           the fused surface, world frame, transient local
~/mesh_marker    visualization_msgs/Marker         the mesh that there is, transient local
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from geometry_msgs.msg import Point
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import ColorRGBA, Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.export.folder import export_root
from da3_ros.core.far_world import float32_origin
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.poses import PoseError
from da3_ros.core.scene.mesh import Mesh, MeshError
from da3_ros.core.scene.mesh_folder import allowed_mesh
from da3_ros.core.scene.scene import Scene
from da3_ros.ros import messages
from da3_ros.ros.entities import Entities
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable
from da3_ros.ros.outputs import topics
from da3_ros.ros.outputs.publishing import create_publisher, is_listened
from da3_ros.srv import LoadMesh, RenderDepth

MAPS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
MARKER = "mesh"
MARKER_FACES = 300_000
"""More triangles than this make RViz stutter: a marker shows every n-th."""

MESH_PERIOD = 1.0
"""Seconds between two looks for who has come to see the mesh, and whether it is another one."""

REFUSALS = (MeshError, PoseError, TransformUnavailable, ValueError, OSError, MemoryError)
"""What makes a request fail; the answer says which."""

FindPose = Callable[[str, int], np.ndarray]
"""(frame, stamp_ns; 0: newest) -> T_world_frame (4, 4); raises `TransformUnavailable`."""


class SceneServices:
    """Services and topics of the scene while the node is configured."""

    def __init__(self, entities: Entities, live: LiveConfig, scene: Scene, find_pose: FindPose):
        self._entities, self._node = entities, entities.node
        self._live, self._scene, self._find_pose = live, scene, find_pose
        self._shown = 0, live.config.scene.cloud_step
        self._cloud = create_publisher(entities, PointCloud2, f"~/{topics.CLOUD_MAP}", MAPS)
        self._marker = create_publisher(entities, Marker, f"~/{topics.MESH_MARKER}", MAPS)
        self._latched: Mesh | None = None  # what later subscribers of the marker get
        group = MutuallyExclusiveCallbackGroup()
        for kind, name, answer in (
            (Trigger, "build_mesh", self._on_build_mesh),
            (LoadMesh, "load_mesh", self._on_load_mesh),
            (RenderDepth, "render_depth", self._on_render_depth),
        ):
            entities.create_service(kind, f"~/{name}", answer, callback_group=group)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        for period, show in (
            (live.config.scene.cloud_period, self._show_cloud),
            (MESH_PERIOD, self._show_mesh),
        ):
            entities.create_timer(period, show, callback_group=group, clock=steady)

    def _on_build_mesh(self, _, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, self._scene.build_mesh)

    def _on_load_mesh(self, request, response: LoadMesh.Response) -> LoadMesh.Response:
        return self._answer(response, lambda: self._load_mesh(request.path))

    def _load_mesh(self, path: str) -> Mesh:
        config = self._live.config
        folder = Path(config.scene.mesh_directory or export_root(config.export.directory))
        return self._scene.load_mesh(allowed_mesh(path, folder))

    def _answer(self, response, make_mesh: Callable[[], Mesh]):
        """Show the mesh and say its size, or why there is none."""
        try:
            mesh = make_mesh()
        except REFUSALS as error:
            response.success, response.message = False, str(error)
            return response
        self._show_mesh()
        response.success, response.message = True, _size_of(mesh)
        return response

    def _on_render_depth(self, request, response: RenderDepth.Response) -> RenderDepth.Response:
        try:
            self._render(request, response)
        except REFUSALS as error:
            response.success, response.message = False, str(error)
        return response

    def _render(self, request: RenderDepth.Request, response: RenderDepth.Response) -> None:
        head = request.camera_pose.header
        if not head.frame_id.strip("/"):
            raise ValueError(
                "camera_pose.header.frame_id is empty; name the frame that the pose is in, "
                f"'{self._live.config.pose.world_frame}' for the world"
            )
        stamp_ns = Time.from_msg(head.stamp).nanoseconds
        camera = messages.camera_model(request.camera_info)
        self._check_size(camera)
        _check_roi(request.camera_info)
        T_frame_cam = messages.pose_matrix(request.camera_pose.pose, "camera_pose")
        T_world_cam = self._find_pose(head.frame_id, stamp_ns) @ T_frame_cam
        depth = self._scene.render_depth(
            T_world_cam, camera, cull_faces=request.cull_faces, add_alpha=request.add_alpha
        )
        head = Header(stamp=head.stamp, frame_id=_optical_frame(request, T_frame_cam))
        encoding = "32FC2" if request.add_alpha else "32FC1"
        response.depth = messages.image_message(depth, encoding, head)
        response.camera_info = request.camera_info
        response.camera_info.header = head
        response.success = True
        z = depth[..., 0] if request.add_alpha else depth
        response.message = f"{np.isfinite(z).mean():.0%} of the pixels show the mesh"

    def _check_size(self, camera: CameraModel) -> None:
        most = self._live.config.scene.max_pixels
        if camera.width * camera.height > most:
            raise ValueError(
                f"camera_info asks for {camera.width}x{camera.height}, scene.max_pixels allows "
                f"{most:,} pixels: ask for parts (roi), or raise it"
            )

    def _show_cloud(self) -> None:
        """At a low rate, only when the map has grown and somebody listens."""
        step = self._live.config.scene.cloud_step
        newest = self._scene.frames, step
        if self._entities.is_closing or newest == self._shown:
            return
        if not is_listened(self._cloud):
            return
        self._shown = newest
        points, colors = self._scene.cloud(step)
        self._publish(self._cloud, messages.map_message(points, colors, self._world_header()))

    def _world_header(self):
        now_ns = self._node.get_clock().now().nanoseconds
        return messages.header(self._live.config.pose.world_frame, now_ns)

    def _show_mesh(self) -> None:
        """Only a mesh that is another one than shown, when somebody listens; what is forgotten,
        or may be, is not left to later subscribers.
        """
        mesh = self._scene.shown_mesh
        if self._entities.is_closing or mesh is self._latched:
            return
        if mesh is not None and is_listened(self._marker):
            self._publish(self._marker, mesh_marker(mesh, self._world_header()))
            self._latched = mesh
        elif self._latched is not None:
            self._publish(self._marker, no_marker(self._world_header()))
            self._latched = None

    def _publish(self, publisher, message) -> None:
        # Making the message may have taken longer than callbacks are waited for.
        if not self._entities.is_closing:
            publisher.publish(message)


def _check_roi(info: CameraInfo) -> None:
    roi = info.roi
    if roi.x_offset + roi.width > info.width or roi.y_offset + roi.height > info.height:
        raise ValueError(
            f"camera_info.roi is {roi.width}x{roi.height} at ({roi.x_offset}, {roi.y_offset}), "
            f"which is not within the {info.width}x{info.height} pixels of the picture"
        )


def _optical_frame(request: RenderDepth.Request, T_frame_cam: np.ndarray) -> str:
    """The frame that the depth is in: as the camera info names it. Without a name only that of a
    pose which says nothing else is one; other frames have other axes.
    """
    if frame_id := request.camera_info.header.frame_id.lstrip("/"):
        return frame_id
    is_same = np.array_equal(T_frame_cam, np.eye(4))
    return request.camera_pose.header.frame_id.lstrip("/") if is_same else ""


def mesh_marker(mesh: Mesh, head) -> Marker:
    """visualization_msgs/Marker, a triangle list; large meshes are thinned for display."""
    step = -(-len(mesh.faces) // MARKER_FACES)
    corners = mesh.faces[::step].reshape(-1)
    marker = Marker(header=head, ns=MARKER, type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    # Its points are float32 for those who show it; its pose is not.
    origin = float32_origin(mesh.vertices)
    marker.pose.position = Point(**dict(zip("xyz", origin.tolist())))
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.color.r = marker.color.g = marker.color.b = marker.color.a = 1.0
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in (mesh.vertices[corners] - origin).tolist()]
    if mesh.vertex_colors is not None:
        shares = (mesh.vertex_colors[corners] / 255.0).tolist()
        marker.colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in shares]
    return marker


def no_marker(head) -> Marker:
    """That takes the mesh off the screen."""
    return Marker(header=head, ns=MARKER, type=Marker.TRIANGLE_LIST, action=Marker.DELETE)


def _size_of(mesh: Mesh) -> str:
    return f"mesh of {len(mesh.vertices)} vertices and {len(mesh.faces)} triangles"
