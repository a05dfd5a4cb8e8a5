"""The node's services as buttons of the page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped
from std_srvs.srv import Trigger

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.ros.depth_images import depth_metres
from da3_ros.ros.messages import camera_info_message, header, pose_message
from da3_ros.ros.view.live import LiveView
from da3_ros.ros.view.page import Page
from da3_ros.ros.view.picture import depth_picture
from da3_ros.srv import Export, RenderDepth

WAIT = 60.0
"""Seconds until a service is taken to be dead; meshes and exports take a while."""

RENDERED_HEIGHT = 360
"""px of the picture that `render_depth` makes of the page's viewpoint."""

WIDEST = 20
"""Times as wide as high, or the other way round, that a page may be."""


class ServiceError(RuntimeError):
    """The service did not answer, or said no; one sentence."""


class Buttons:
    """Adds the buttons to the page; each calls a service of the node that `view` listens to.

    world_frame: in which the page's viewpoint is said.
    """

    def __init__(self, page: Page, view: LiveView, world_frame: str):
        self._page, self._view, self._world_frame = page, view, world_frame
        self._rendered = None
        self._waiting: set[threading.Event] = set()
        self._is_closed = False
        with page.server.gui.add_folder("node"):
            self._add("build mesh", self._build_mesh)
            self._add("render depth from here", self._render_depth)
            self._add("export GLB", self._export)
            self._add("reset", self._reset)

    def close(self) -> None:
        """Wait for no service any more: a page that ends must not stay for an answer."""
        self._is_closed = True
        for answered in tuple(self._waiting):
            answered.set()

    def _add(self, label: str, act: Callable) -> None:
        button = self._page.server.gui.add_button(label)

        @button.on_click
        def _(event) -> None:
            button.disabled = True
            try:
                said, color = act(event.client), "green"
            except ServiceError as error:
                said, color = str(error), "red"
            finally:
                button.disabled = False
            event.client.add_notification(label, said, color=color, auto_close_seconds=8.0)

    def _build_mesh(self, client) -> str:
        return self._call(Trigger, "build_mesh", Trigger.Request()).message

    def _reset(self, client) -> str:
        answer = self._call(Trigger, "reset", Trigger.Request())
        self._page.clear()
        return answer.message or "window, poses, scale and map are forgotten"

    def _export(self, client) -> str:
        answer = self._call(Export, "export", Export.Request(formats="glb"))
        for name in answer.paths:
            if name.endswith(".glb") and Path(name).is_file():
                client.send_file_download(
                    Path(name).name, Path(name).read_bytes(), save_immediately=True
                )
        return answer.message

    def _render_depth(self, client) -> str:
        try:
            camera, T_world_cam = viewpoint(client.camera)
        except ValueError as error:  # of whatever a browser, or who acts as one, has sent
            raise ServiceError(f"there is no depth from this viewpoint: {error}") from error
        T_world_cam[:3, 3] += self._page.origin
        request = RenderDepth.Request(cull_faces=True)
        head = header(self._world_frame, 0)
        request.camera_pose = PoseStamped(header=head, pose=pose_message(T_world_cam))
        request.camera_info = camera_info_message(camera, head)
        answer = self._call(RenderDepth, "render_depth", request)
        picture = depth_picture(depth_metres(answer.depth), "m")
        if self._rendered is None:
            self._rendered = self._page.server.gui.add_image(picture, label="rendered depth")
        else:
            self._rendered.image = picture
        return answer.message

    def _call(self, kind: type, name: str, request):
        """The answer; raises `ServiceError`."""
        topic, node = f"{self._view.name}/{name}", self._view.node
        client = node.create_client(kind, topic)
        try:
            if not client.wait_for_service(timeout_sec=2.0):
                raise ServiceError(f"{topic} is not there: is the node configured?")
            answer = self._answer(client.call_async(request), topic)
        finally:
            node.destroy_client(client)
        if not answer.success:
            raise ServiceError(answer.message)
        return answer

    def _answer(self, future, topic: str):
        answered = threading.Event()
        self._waiting.add(answered)
        future.add_done_callback(lambda _: answered.set())
        try:
            if self._is_closed or not answered.wait(WAIT) or not future.done():
                said = "the page closes" if self._is_closed else f"no answer within {WAIT:.0f} s"
                raise ServiceError(f"{topic}: {said}")
        finally:
            self._waiting.discard(answered)
        return future.result()


def viewpoint(camera) -> tuple[CameraModel, np.ndarray]:
    """The pinhole camera and T_world_cam (4, 4) from which a tab looks.

    viser says the vertical field of view, and the pose in the axes of an optical frame. Raises
    `ValueError` in one sentence.
    """
    if not 1 / WIDEST <= camera.aspect <= WIDEST:
        raise ValueError(f"the page is {camera.aspect:g} times as wide as high")
    width = max(1, round(RENDERED_HEIGHT * camera.aspect))
    focal = RENDERED_HEIGHT / 2 / np.tan(camera.fov / 2)
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (RENDERED_HEIGHT - 1) / 2], [0, 0, 1]])
    T_world_cam = poses.from_quat_xyzw(np.roll(camera.wxyz, -1), camera.position)
    return CameraModel(width, RENDERED_HEIGHT, K), T_world_cam
