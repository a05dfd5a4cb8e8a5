"""Bags that were made wrong on purpose, and what the doctor says of them."""

from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from da3_ros.commands.doctor import examine, parse_arguments
from da3_ros.core import poses
from da3_ros.core.config import from_dict
from da3_ros.ros import messages
from da3_ros.ros.bags.bag import BagReader, BagWriter

OF_THE_MACHINE = {"device", "model", "transport"}


def spoil(room, path, change):
    """A copy; `change(topic, time_ns, msg)` returns the new topic, time and message, or None."""
    with BagReader(room) as bag, BagWriter(path) as out:
        topics = [c.topic for c in bag.connections]
        for recorded in bag.messages(*topics):
            if new := change(*recorded):
                out.write(*new)
    return path


def diagnose(bag, **parameters):
    """Check -> finding, without those of the machine."""
    values = {name.replace("__", "."): value for name, value in parameters.items()}
    options = parse_arguments([str(bag)] if bag else [])
    found = examine(options, from_dict(values), values.get("pose.world_frame"))
    return {finding.check: finding for finding in found if finding.check not in OF_THE_MACHINE}


def matrix(transform):
    q, t = transform.rotation, transform.translation
    return poses.from_quat_xyzw((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))


def with_transform(msg, T):
    old: TransformStamped = msg.transforms[0]
    new = messages.transform_message(T, old.header, old.child_frame_id)
    return TFMessage(transforms=[new])


def edit_info(**values):
    def change(topic, time_ns, msg):
        if isinstance(msg, CameraInfo):
            for name, value in values.items():
                setattr(msg, name, value)
        return topic, time_ns, msg

    return change
