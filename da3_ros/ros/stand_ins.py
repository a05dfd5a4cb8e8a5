"""What stands in for the ROS 2 Python libraries that PyPI does not have.

The only module that asks whether they are installed.

| package | installed | absent |
|---|---|---|
| tf2_ros | its C++ buffer looks transforms up | `tf_buffer.TransformBuffer`, same rules and errors |
| cv_bridge | converts encodings that `images.ENCODINGS` does not list | those are refused by name |
| message_filters | not used: it drops unmatched messages silently | `pairing.Pairing` counts each one |
| sensor_msgs_py | not used: one structured array is all it would add | `convert.cloud_message` |
| tf_transformations | not used: takes unnormalised and NaN quaternions | `core.poses` refuses them |

Whatever is common to both ways is tested against both where both are there.
"""

from __future__ import annotations

try:
    import cv_bridge
except ImportError:
    cv_bridge = None

try:
    import tf2_ros
except ImportError:
    tf2_ros = None
