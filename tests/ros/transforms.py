"""Transform messages of few words, and a `PoseSource` that knows where the camera is mounted."""

import math

from geometry_msgs.msg import TransformStamped
from tf2_msgs.msg import TFMessage

from da3_ros.core.config import PoseConfig
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.messages import ns_to_stamp

MS = 1_000_000
SECOND = 1000 * MS


def transform(
    parent: str, child: str, stamp_ns: int = 0, xyz=(0.0, 0.0, 0.0), q=(0.0, 0.0, 0.0, 1.0)
) -> TransformStamped:
    """q: x, y, z, w; taken as it is."""
    msg = TransformStamped(child_frame_id=child)
    msg.header.frame_id, msg.header.stamp = parent, ns_to_stamp(stamp_ns)
    t, r = msg.transform.translation, msg.transform.rotation
    t.x, t.y, t.z = map(float, xyz)
    r.x, r.y, r.z, r.w = map(float, q)
    return msg


def about_z(yaw: float) -> tuple[float, float, float, float]:
    """The quaternion of a turn, rad."""
    return 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)


def source_with_mount(**config) -> PoseSource:
    """The camera is 0.5 m before the base."""
    source = PoseSource(PoseConfig(**config))
    mount = TFMessage(transforms=[transform("base", "camera", xyz=(0.5, 0, 0))])
    assert source.take_transforms(mount, static=True) == []
    return source


def move(source: PoseSource, stamp_ns: int, x: float) -> list:
    """The base is x m along; what the source says of that."""
    msg = TFMessage(transforms=[transform("odom", "base", stamp_ns, (x, 0, 0))])
    return source.take_transforms(msg, static=False)
