"""The page itself: a viser server that shows frames, the map, cameras and words.

It knows nothing of where they come from. viser is the extra `view`: pip install da3_ros[view].
"""

from __future__ import annotations

from collections import deque

import numpy as np
import viser

from da3_ros.core import poses
from da3_ros.ros.view.growing_map import GrowingMap
from da3_ros.ros.view.picture import picture_html
from da3_ros.ros.view.view_frame import ViewFrame

PATH_LENGTH = 2000
"""Camera positions shown; the oldest go."""

CAMERA_COLOR, WINDOW_COLOR, REFERENCE_COLOR = (25, 113, 194), (134, 142, 150), (232, 89, 12)
POINT_SIZE = 0.012


class Page:
    """Serves one page on host:port, or on the next free port.

    Every method may be called at any rate from one thread; tabs that cannot follow skip.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8080):
        self.server = viser.ViserServer(host, port, label="da3_ros", verbose=False)
        self.server.scene.set_up_direction("+z")
        self.server.gui.configure_theme(
            control_layout="fixed", control_width="large", show_share_button=False
        )
        self.server.on_client_connect(self._aim)
        self._map = GrowingMap()
        self._ways: dict[str, deque[np.ndarray]] = {}
        self._home: np.ndarray | None = None
        self._pictures: dict[str, viser.GuiHtmlHandle] = {}
        self._status = self.server.gui.add_markdown("")
        self._shows_map = self.server.gui.add_checkbox("map of all frames", True)
        self._shows_frame = self.server.gui.add_checkbox("newest frame", True)
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

    def show_frame(self, frame: ViewFrame, unit: str = "m") -> None:
        """Picture, cloud and camera of one frame; the map grows where it has a place."""
        self._show_picture(frame, unit)
        points, colors = frame.cloud()
        name = f"/frame/{frame.camera_name or 'camera'}"
        self._show_points(name, points, colors, self._shows_frame.value)
        if frame.T_world_cam is None:
            return
        self._map.add(points, colors)
        self._show_points("/map", self._map.points, self._map.colors, self._shows_map.value)
        self._show_camera(frame)

    def show_window(self, T_world_cam: list[np.ndarray], reference: int) -> None:
        """The views of the newest window, the reference view in another color."""
        for i, T in enumerate(T_world_cam):
            color = REFERENCE_COLOR if i == reference else WINDOW_COLOR
            self._show_frustum(f"/window/{i}", T, color, 0.12)
        for i in range(len(T_world_cam), 64):
            self.server.scene.remove_by_name(f"/window/{i}")

    def clear(self) -> None:
        """Forget map and paths, as after a reset."""
        self._map.clear()
        self._ways.clear()
        for name in ("/map", "/frame", "/path", "/window"):
            self.server.scene.remove_by_name(name)

    def close(self) -> None:
        """Stop serving."""
        self.server.stop()

    def _show_picture(self, frame: ViewFrame, unit: str) -> None:
        html = picture_html(frame.rgb, frame.depth, unit)
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
        way.append(T[:3, 3])
        if len(way) > 1:
            line = np.array(way, np.float32)
            segments = np.stack([line[:-1], line[1:]], axis=1)
            name = f"/path/{frame.camera_name or 'camera'}"
            self.server.scene.add_line_segments(name, segments, colors=CAMERA_COLOR)
        if self._home is None:
            self._home = T
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
            position=T[:3, 3],
        )

    def _aim(self, client) -> None:
        """A tab begins behind and above the first camera, looking where it looked."""
        if self._home is None:
            return
        position, forward = self._home[:3, 3], self._home[:3, 2]
        client.camera.position = position - 1.5 * forward + (0.0, 0.0, 1.2)
        client.camera.look_at = position + 2.0 * forward
