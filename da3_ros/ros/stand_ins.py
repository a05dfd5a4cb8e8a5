"""What stands in for the ROS 2 Python libraries that PyPI does not have.

The only module that asks whether they are installed. A library of ROS is used where it
gives something that ours does not; the others would only make results depend on where the
node runs.

tf2_ros             its core, tf2_py, looks transforms up like every other node; without it
                    `tf_buffer.TransformBuffer`: the same rules, numbers and errors
cv_bridge           not used: its binary part is built for one numpy and fails beside another;
                    `images.to_rgb`
message_filters     not used: what it drops, it drops silently; `pairing.Pairing` and
                    `instants.InstantCollector` account for every message
sensor_msgs_py      not used: the cloud is one array already; `convert.cloud_message`
tf_transformations  not used: takes quaternions that are none, and NaN; `core.poses` refuses them

Ours and theirs pass the same tests where theirs are there.
"""

from __future__ import annotations

try:
    import tf2_py
except ImportError:
    tf2_py = None
