"""The page itself: a viser server that shows frames, the map, cameras and words.

It knows nothing of where they come from. viser is the extra `view`: pip install viser.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np
import trimesh
import viser

from da3_ros.core import poses
from da3_ros.core.far_world import float32_origin
from da3_ros.ros.view.growing_map import GrowingMap
from da3_ros.ros.view.picture import picture_html
from da3_ros.ros.view.view_frame import ViewFrame

PATH_LENGTH = 2000
"""Camera positions shown; the oldest go."""

CAMERA_COLOR, WINDOW_COLOR, REFERENCE_COLOR = (25, 113, 194), (134, 142, 150), (232, 89, 12)
POINT_SIZE = 0.012

GOODBYE = 1.0
"""Seconds that the tabs get to close their connections; they notice the end of it anyway."""

MAP_PERIOD = 1.0
"""Seconds from one picture of the map to the next: it is by far the largest thing to send."""


class Page:
    """Serves one page on host:port, or on the next free port.

    Every method may be called at any rate from any thread; tabs that cannot follow skip.
    origin: (3,) m, where the page's zero is in the world: its graphics are float32.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8080):
        self.server = viser.ViserServer(host, port, label="da3_ros", verbose=False)
        self.server.scene.set_up_direction("+z")
        self.server.gui.configure_theme(control_width="large", show_share_button=False)
        self.server.gui.main_panel.dock_right()
        self.server.on_client_connect(self._aim)
        self._map, self._map_shown_at = GrowingMap(), -MAP_PERIOD
        self._window_size = 0
        self._ways: dict[str, deque[np.ndarray]] = {}
        self._home: np.ndarray | None = None
        self.origin = np.zeros(3)
        self._lock = threading.RLock()
        self._pictures: dict[str, viser.GuiHtmlHandle] = {}
        self._status = self.server.gui.add_markdown("")
        self._shows_map = self._add_switch("map of all frames", "/map")
        self._shows_frame = self._add_switch("newest frame", "/frame")
        self._shows_mesh = self._add_switch("mesh", "/mesh")
        self._point_size = self.server.gui.add_slider(
            "size of points, m", 0.002, 0.05, 0.002, POINT_SIZE
        )

    @property
    def address(self) -> str:
        """To open in a browser."""
        return f"http://{self.server.get_host()}:{self.server.get_port()}"

    def say(self, markdown: str) -> None:
        """The numbers and alarms."""
        if self._status.content != markdown:
            self._status.content = markdown

    def show_frame(self, frame: ViewFrame) -> None:
        """Picture, cloud and camera of one frame; the map grows where it has a place."""
        name = f"/frame/{frame.camera_name or 'camera'}"
        with self._lock:
            self._show_picture(frame)
            if self._home is None and frame.T_world_cam is not None:
                self._settle(frame.T_world_cam)
            points, colors = frame.cloud()
            points = points if frame.T_world_cam is None else points - self.origin
            self._show_points(name, points, colors, self._shows_frame.value)
            if frame.T_world_cam is not None:
                self._map.add(points, colors)
                self._show_camera(frame)
                self.show_map()

    def show_map(self) -> None:
        """What the frames added to the map, at most every `MAP_PERIOD`; may be called often."""
        with self._lock:
            now = time.monotonic()
            if self._map.has_grown and now - self._map_shown_at >= MAP_PERIOD:
                self._map_shown_at = now
                self._show_points("/map", *self._map.cloud(), self._shows_map.value)

    def show_window(self, T_world_cam: list[np.ndarray], reference: int) -> None:
        """The views of the newest window, the reference view in another color."""
        with self._lock:
            for i, T in enumerate(T_world_cam):
                color = REFERENCE_COLOR if i == reference else WINDOW_COLOR
                self._show_frustum(f"/window/{i}", T, color, 0.12)
            for i in range(len(T_world_cam), self._window_size):
                self.server.scene.remove_by_name(f"/window/{i}")
            self._window_size = len(T_world_cam)

    def show_mesh(self, mesh: trimesh.Trimesh) -> None:
        """The mesh that the node made, until `clear`; an empty one takes it away."""
        if mesh.is_empty:
            self.server.scene.remove_by_name("/mesh")
            return
        mesh = trimesh.Trimesh(mesh.vertices - self.origin, mesh.faces, visual=mesh.visual)
        self.server.scene.add_mesh_trimesh("/mesh", mesh, visible=self._shows_mesh.value)

    def clear(self) -> None:
        """Forget map and paths, as after a reset."""
        with self._lock:
            self._map.clear()
            self._ways.clear()
            self._home, self._window_size = None, 0
            for name in ("/map", "/frame", "/path", "/window", "/camera", "/mesh"):
                self.server.scene.remove_by_name(name)

    def close(self) -> None:
        """Stop serving. A browser that does not answer is not waited for: a tab that sleeps, or a
        connection that it opened and has no use for yet, holds viser's own end for 6 seconds."""
        end = threading.Thread(target=self.server.stop, daemon=True)
        end.start()
        end.join(GOODBYE)

    def _add_switch(self, label: str, name: str) -> viser.GuiCheckboxHandle:
        box = self.server.gui.add_checkbox(label, True)

        @box.on_update
        def _(_) -> None:
            if handle := self.server.scene.get_handle_by_name(name):
                handle.visible = box.value

        return box

    def _show_picture(self, frame: ViewFrame) -> None:
        html = picture_html(frame.rgb, frame.depth, frame.unit)
        handle = self._pictures.get(frame.camera_name)
        if handle is None:
            self._pictures[frame.camera_name] = self.server.gui.add_html(html, order=-1)
        else:
            handle.content = html

    def _show_points(self, name: str, points, colors, visible: bool) -> None:
        self.server.scene.add_point_cloud(
            name,
            points.astype(np.float32),
            colors,
            point_size=self._point_size.value,
            precision="float32",
            point_shading="flat",
            visible=visible,
        )

    def _show_camera(self, frame: ViewFrame) -> None:
        T = frame.T_world_cam
        self._show_frustum(f"/camera/{frame.camera_name or 'camera'}", T, CAMERA_COLOR, 0.2)
        way = self._ways.setdefault(frame.camera_name, deque(maxlen=PATH_LENGTH))
        way.append(T[:3, 3] - self.origin)
        if len(way) > 1:
            line = np.array(way, np.float32)
            segments = np.stack([line[:-1], line[1:]], axis=1)
            name = f"/path/{frame.camera_name or 'camera'}"
            self.server.scene.add_line_segments(name, segments, colors=CAMERA_COLOR)

    def _settle(self, T_world_cam: np.ndarray) -> None:
        """The first camera: the page begins here."""
        self.origin = float32_origin(T_world_cam[None, :3, 3])
        self._home = T_world_cam
        for client in self.server.get_clients().values():
            self._aim(client)

    def _show_frustum(self, name: str, T: np.ndarray, color, scale: float) -> None:
        self.server.scene.add_camera_frustum(
            name,
            fov=0.9,
            aspect=4 / 3,
            scale=scale,
            color=color,
            wxyz=np.roll(poses.to_quat_xyzw(T[:3, :3]), 1),
            position=T[:3, 3] - self.origin,
        )

    def _aim(self, client) -> None:
        """A tab begins behind and above the first camera, looking where it looked."""
        if self._home is None:
            return
        position, forward = self._home[:3, 3] - self.origin, self._home[:3, 2]
        client.camera.position = position - 2.0 * forward + (0.0, 0.0, 2.2)
        client.camera.look_at = position + 2.0 * forward
