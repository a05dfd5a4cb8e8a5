"""Random messages for every input of the node; hypothesis draws the parts.

Drawing a message takes longer than sending it. So a hundred of each kind are drawn once, and
every message is put together anew from parts of them, with the time of now.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from da3_ros.ros.images import ENCODINGS
from da3_ros.ros.messages import ns_to_stamp

PARTS = 100
WILD_STAMPS = 0.01
"""Share of stamps that are not now: each makes the node forget everything."""

numbers = st.floats(allow_nan=True, allow_infinity=True)
sizes = st.one_of(st.integers(0, 64), st.integers(0, 2**32 - 1))
frames = st.sampled_from(["", "odom", "/odom", "base_link", "camera_optical_frame", "ghost", "ü/ "])
images = st.builds(
    Image,
    width=sizes,
    height=sizes,
    step=sizes,
    is_bigendian=st.integers(0, 255),
    encoding=st.sampled_from([*ENCODINGS, "32FC1", "", "\x00", "nv12"]),
    data=st.binary(max_size=300),
)
infos = st.builds(
    CameraInfo,
    width=sizes,
    height=sizes,
    distortion_model=st.sampled_from(["", "plumb_bob", "equidistant", "rational_polynomial", "x"]),
    d=st.lists(numbers, max_size=15),
    k=st.lists(numbers, min_size=9, max_size=9),
    p=st.lists(numbers, min_size=12, max_size=12),
    binning_x=sizes,
    binning_y=sizes,
)
vectors = st.builds(Vector3, x=numbers, y=numbers, z=numbers)
rotations = st.one_of(
    st.just(Quaternion()), st.builds(Quaternion, x=numbers, y=numbers, z=numbers, w=numbers)
)
lenses = st.sampled_from([("", 0), ("plumb_bob", 5), ("equidistant", 4)]).flatmap(
    lambda lens: st.tuples(
        st.just(lens[0]), st.lists(st.floats(-1e3, 1e3), min_size=lens[1], max_size=lens[1])
    )
)
pinholes = st.lists(st.floats(-1, 1e6), min_size=4, max_size=4)


@dataclass
class Parts:
    """What the messages are made of."""

    frame: list[str]
    wild_second: list[int]
    image: list[Image]
    info: list[CameraInfo]
    vector: list[Vector3]
    rotation: list[Quaternion]
    lens: list[tuple[str, list[float]]]
    pinhole: list[list[float]]

    @classmethod
    def draw(cls) -> Parts:
        """The same ones at every call."""
        parts = cls([], [], [], [], [], [], [], [])
        strategies = (
            frames, st.integers(0, 2**31 - 1), images, infos, vectors, rotations, lenses, pinholes,
        )  # fmt: skip

        @settings(
            max_examples=PARTS,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            deadline=None,
        )
        @given(st.tuples(*strategies))
        def collect(values):
            for pool, value in zip(vars(parts).values(), values):
                pool.append(value)

        collect()
        return parts


class Fuzzer:
    """An endless supply of messages; the same ones for the same seed, but for the time."""

    def __init__(self, parts: Parts, seed: int = 0):
        self._parts = parts
        self._rng = np.random.default_rng(seed)

    def _pick(self, pool: list):
        return pool[self._rng.integers(len(pool))]

    def _header(self) -> Header:
        if self._rng.random() < WILD_STAMPS:
            stamp_ns = self._pick(self._parts.wild_second) * 10**9
        else:
            stamp_ns = time.time_ns()
        return Header(frame_id=self._pick(self._parts.frame), stamp=ns_to_stamp(stamp_ns))

    def _mixed(self, kind: type, pool: list, *fields: str):
        """A message each field of which comes from another one."""
        msg = kind(header=self._header())
        for field in fields:
            setattr(msg, field, getattr(self._pick(pool), field))
        return msg

    def image(self) -> Image:
        """Any image."""
        fields = ("width", "height", "step", "is_bigendian", "encoding", "data")
        return self._mixed(Image, self._parts.image, *fields)

    def info(self) -> CameraInfo:
        """Any camera info."""
        fields = ("width", "height", "distortion_model", "d", "k", "p", "binning_x", "binning_y")
        return self._mixed(CameraInfo, self._parts.info, *fields)

    def transform(self) -> TransformStamped:
        """Any transform."""
        msg = TransformStamped(header=self._header(), child_frame_id=self._pick(self._parts.frame))
        msg.transform.translation = self._pick(self._parts.vector)
        msg.transform.rotation = self._pick(self._parts.rotation)
        return msg

    def transforms(self) -> TFMessage:
        """Up to three transforms, at least one."""
        return TFMessage(transforms=[self.transform() for _ in range(self._rng.integers(1, 4))])

    def odometry(self) -> Odometry:
        """Any odometry."""
        msg = Odometry(header=self._header(), child_frame_id=self._pick(self._parts.frame))
        msg.pose.pose.orientation = self._pick(self._parts.rotation)
        return msg

    def pair(self) -> tuple[Image, CameraInfo]:
        """An image and an info that have stamp and size in common; the lens may be any."""
        width, height = (int(n) for n in self._rng.integers(1, 41, 2))
        head = Header(frame_id="camera_optical_frame", stamp=ns_to_stamp(time.time_ns()))
        image = Image(header=head, width=width, height=height, encoding="mono8", step=width)
        image.data = bytes(width * height)
        fx, fy, cx, cy = self._pick(self._parts.pinhole)
        info = CameraInfo(header=head, width=width, height=height)
        info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
        info.distortion_model, info.d = self._pick(self._parts.lens)
        return image, info
