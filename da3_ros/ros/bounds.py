"""How much of a message is taken: bounds that no robot reaches, and floods do.

Each holds for what one participant of the graph may ask of the node; who sends more is refused
in one sentence. Bounds of numbers are beside what they bound: `poses.FARTHEST`,
`camera_model.FOCAL_LENGTHS`, `FARTHEST_CENTRE`, `images.LARGEST_PICTURE`,
`rig_cameras.MOST_FRAME_IDS`.
"""

from __future__ import annotations

import struct

from sensor_msgs.msg import CameraInfo, PointCloud2
from tf2_msgs.msg import TFMessage

from da3_ros.msg import CameraPoses

LARGEST_TF_MESSAGE = 256 << 10
"""Bytes: some 2000 transforms, and 0.1 s to take them in. A humanoid sends 20 kB."""

MOST_FRAMES = 5000
"""Names of frames in the transform tree: tens of megabytes. Robots have up to some hundred."""

MOST_TRANSFORMS = 200
"""From a frame up to the root of its tree; tf2 goes 1000. A humanoid has 15."""

LONGEST_FRAME = 255
"""Characters of the name of a frame."""

MOST_CLOUD_FIELDS = 100
"""Fields of a cloud of anchors. Lidars have about ten; a million takes 14 s to become objects."""

RESET_PERIOD = 1.0
"""Seconds between two `~/reset`: with less, no window would ever be full."""

LONGEST_EXPORT_REQUEST = 16 << 10
"""Characters of formats, name and options together. JSON of 57 MB took 2.4 s and 2 GB to read."""

MOST_GOALS = 10
"""Goals of exports accepted within a second. All are kept for a while after they end, and each
change of one is told to all clients with the list of all."""

MOST_PARAMETERS = 1000
"""Parameters of one request; the node has a tenth. 400,000 took 13 s to answer."""


LARGEST = {TFMessage: LARGEST_TF_MESSAGE, CameraInfo: 256 << 10, CameraPoses: 256 << 10}
"""Bytes of messages that are lists: each byte may claim to be a part of 200 bytes."""


def excess(cls: type, raw: bytes) -> str:
    """What no robot sends, in words, found before objects are made of it; else nothing."""
    if cls is PointCloud2 and field_count(raw) > MOST_CLOUD_FIELDS:
        return f"clouds whose points have more than {MOST_CLOUD_FIELDS} fields"
    if cls in LARGEST and len(raw) > LARGEST[cls]:
        return f"messages of more than {LARGEST[cls] >> 10} kB (no robot sends these)"
    return ""


def field_count(raw: bytes) -> int:
    """Fields of a serialized PointCloud2, found without making objects of them."""
    order = "<" if raw[1:2] == b"\1" else ">"
    try:
        (name_bytes,) = struct.unpack_from(f"{order}I", raw, 12)  # of header.frame_id
        at = 16 + name_bytes + -name_bytes % 4 + 8  # behind height and width
        return struct.unpack_from(f"{order}I", raw, at)[0]
    except struct.error:
        return 0
