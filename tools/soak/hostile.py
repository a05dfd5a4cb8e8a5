"""Somebody on the graph who means no good, beside a camera, transforms and clients that do.

    python -m tools.soak.hostile [--seed 0] [--fill PLACES]

Until SIGINT or SIGTERM: every half second one act, drawn from `ACTS`. At the end it prints how
often each was done. What each act should meet is written in docs/robustness.md. With --fill it
first fills so many places of the node's queues, as the soak does while the node waits.
"""

from __future__ import annotations

import argparse
import random
import signal
import time
from collections import Counter

import numpy as np
import rclpy
from da3_ros.srv import Export, LoadMesh, RenderDepth
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from da3_ros.core.camera_model import CameraModel
from da3_ros.ros import messages
from da3_ros.ros.transport import use_large_message_profile

PERIOD = 0.5
SECOND = 1_000_000_000
LONG_NAME = "x" * (1 << 20)
NASTY = "\n[ERROR] [da3]: the disk is full\x1b[2J\u202e"
CALLS = {
    "load_mesh": LoadMesh,
    "render_depth": RenderDepth,
    "export": Export,
    "reset": Trigger,
    "build_mesh": Trigger,
    "set_parameters": SetParameters,
}


FOUND = 5.0
"""Seconds until publishers and the node have found each other."""
FILLED = "the queues are full"

MINUTE, ACTING = 60.0, 45.0
"""Seconds: of each minute by the clock the last quarter is calm, to compare with."""


def is_acting(now: float) -> bool:
    """Whether it acts at `time.time()`."""
    return now % MINUTE < ACTING


class Hostile(Node):
    """One method for each act; `done` counts them."""

    def __init__(self, seed: int):
        super().__init__("somebody", start_parameter_services=False)
        self.done: Counter[str] = Counter()
        self.stopping = False
        self._draw = random.Random(seed)
        queue = QoSProfile(depth=5)
        self._image = self.create_publisher(Image, "image", queue)
        self._info = self.create_publisher(CameraInfo, "camera_info", queue)
        self._tf = self.create_publisher(TFMessage, "/tf", queue)
        self._points = self.create_publisher(PointCloud2, "anchor/points", queue)
        # Made once: what it takes to make is not to be taken from the others' cores.
        many = (("odom", f"flood_{k}", np.eye(4), 0.0) for k in range(20_000))
        self._flood = serialize_message(self._transforms(*many))
        self._calls = {n: self.create_client(kind, f"/da3/{n}") for n, kind in CALLS.items()}

    def act(self) -> None:
        """One act, and whatever answers came for those before."""
        name = self._draw.choice(ACTS)
        getattr(self, name)()
        self.done[name] += 1
        rclpy.spin_once(self, timeout_sec=0.01)

    def fill(self, places: int) -> None:
        """The largest of all that it sends, into every place of the queues of a node that waits."""
        for _ in range(places):
            self.flood_of_frames()
            self.info_without_end()
            self._send_picture(self._head(LONG_NAME), 40.0)
            time.sleep(0.01)

    # ---- pictures and camera infos ----

    def picture_of_lies(self) -> None:
        """A size that its bytes do not have, an encoding of a terminal's commands."""
        side = self._draw.choice((0, 1, 60_000, 2**32 - 1))
        encoding = self._draw.choice(("rgb8", "mono16", NASTY, "x" * 100_000))
        head = self._head("camera_optical_frame")
        self._image.publish(Image(header=head, width=side, height=side, encoding=encoding))

    def picture_of_another_clock(self) -> None:
        """A good one of the camera's frame, but for its stamp."""
        off = self._draw.choice((-1.5, 1.5, -60.0, 3600.0))
        self._send_picture(self._head("camera_optical_frame", off), 40.0)

    def picture_of_nowhere(self) -> None:
        """A frame that does not exist, or has a name of a megabyte."""
        name = self._draw.choice(("nowhere", NASTY, LONG_NAME, f"f{self._draw.random()}"))
        self._send_picture(self._head(name), 40.0)

    def info_without_end(self) -> None:
        """Two megabytes of coefficients."""
        info = CameraInfo(header=self._head("camera_optical_frame"), width=56, height=42)
        info.d = [0.0] * (1 << 18)
        self._info.publish(info)

    def info_of_lies(self) -> None:
        """Numbers that no camera has, under the stamp of a picture of its own."""
        focal = self._draw.choice((0.0, float("nan"), 1e300, 1e-300, -40.0))
        self._send_picture(self._head("camera_optical_frame"), focal)

    # ---- transforms ----

    def flood_of_frames(self) -> None:
        """20,000 new ones in one message."""
        self._tf.publish(self._flood)

    def some_new_frames(self) -> None:
        """Five hundred, as a large robot might have."""
        tag = self._draw.random()
        self._send_transforms(*(("odom", f"{tag}_{k}", np.eye(4), 0.0) for k in range(500)))

    def transform_of_two_clocks(self) -> None:
        """Of a frame that nobody needs, and of the one that everybody needs."""
        off = self._draw.choice((-1.5, 1.5, -8.0, 3600.0))
        child = self._draw.choice(("gripper", "base_link"))
        self._send_transforms(("odom", child, np.eye(4), off))

    def transform_of_lies(self) -> None:
        """Far away, no number, no rotation; names of a megabyte."""
        T = np.eye(4)
        T[0, 3] = self._draw.choice((1e15, float("nan"), float("inf"), 1e300))
        name = self._draw.choice(("base_link", NASTY, "y" * (1 << 17)))
        self._send_transforms(("odom", name, T, 0.0))

    def cloud_of_lies(self) -> None:
        """Anchors of billions of points, of which none is there."""
        head = self._head(self._draw.choice(("odom", "nowhere", NASTY)))
        cloud = PointCloud2(header=head, height=2**31, width=2**31, point_step=2**31)
        self._points.publish(cloud)

    # ---- requests ----

    def mesh_of_somewhere(self) -> None:
        paths = ("/etc/passwd", "/dev/zero", "../../x.ply", "x" * 100_000, NASTY, "")
        self._call("load_mesh", LoadMesh.Request(path=self._draw.choice(paths)))

    def render_without_measure(self) -> None:
        side = self._draw.choice((20_000, 32_767, 2**32 - 1))
        info = messages.camera_info_message(
            CameraModel(side, side, np.diag([1e3, 1e3, 1.0])), self._head("odom")
        )
        self._call("render_depth", RenderDepth.Request(camera_pose=self._pose(), camera_info=info))

    def export_of_nonsense(self) -> None:
        name = self._draw.choice(("../../root", NASTY, "z" * 10_000, "", "/tmp"))
        options = self._draw.choice(("", "[" * 10_000, '{"num_max_points": 1e300}', NASTY))
        formats = self._draw.choice(("glb", NASTY, "npz-" * 1000, "gs_video"))
        self._call("export", Export.Request(formats=formats, name=name, options=options))

    def reset(self) -> None:
        """Ten within one second: one is done at most."""
        for _ in range(10):
            self._call("reset", Trigger.Request())

    def build_mesh(self) -> None:
        self._call("build_mesh", Trigger.Request())

    def parameters(self) -> None:
        name, value = self._draw.choice(
            (
                ("export.directory", "/"),
                ("scene.mesh_directory", "/"),
                ("window.size", -1),
                (NASTY, 1),
            )
        )
        parameter = Parameter(name, value=value).to_parameter_msg()
        self._call("set_parameters", SetParameters.Request(parameters=[parameter]))

    # ---- how ----

    def _head(self, frame: str, off: float = 0.0):
        return messages.header(frame, time.time_ns() + round(off * SECOND))

    def _pose(self) -> PoseStamped:
        pose = PoseStamped(header=self._head("odom"))
        pose.pose.orientation.w = 1.0
        return pose

    def _send_picture(self, head, focal: float) -> None:
        pixels = np.full((42, 56, 3), self._draw.randrange(256), np.uint8)
        info = CameraInfo(header=head, width=56, height=42)
        info.k = [focal, 0.0, 27.5, 0.0, focal, 20.5, 0.0, 0.0, 1.0]
        self._info.publish(info)
        self._image.publish(messages.image_message(pixels, "rgb8", head))

    def _send_transforms(self, *transforms) -> None:
        self._tf.publish(self._transforms(*transforms))

    def _transforms(self, *transforms) -> TFMessage:
        msg = TFMessage()
        for parent, child, T, off in transforms:
            msg.transforms.append(messages.transform_message(T, self._head(parent, off), child))
        return msg

    def _call(self, name: str, request) -> None:
        self._calls[name].call_async(request)

    def stop(self, *_) -> None:
        """Signal handler: no more acts."""
        self.stopping = True


ACTS = [
    name
    for name, member in vars(Hostile).items()
    if callable(member) and not name.startswith("_") and name not in ("act", "fill", "stop")
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fill", type=int, default=0, metavar="PLACES")
    options = parser.parse_args()
    use_large_message_profile()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    somebody = Hostile(options.seed)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, somebody.stop)
    time.sleep(FOUND)
    somebody.fill(options.fill)
    print(FILLED, flush=True)
    while not somebody.stopping:
        if is_acting(time.time()):
            somebody.act()
        time.sleep(PERIOD)
    print(
        "acts:", ", ".join(f"{n} {name}" for name, n in sorted(somebody.done.items())), flush=True
    )
    somebody.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
