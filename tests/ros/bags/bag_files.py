"""Bags that tests copy, read back and compare; and small parameters to process them with."""

import hashlib
from pathlib import Path

import numpy as np
import yaml
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from da3_ros.ros.bags.bag import BagReader, BagWriter

SMALL = {
    "model.name": "da3-demo",
    "model.device": "cpu",
    "model.process_res": 56,
    "window.size": 2,
    "scale.max_spread": 10.0,
    "scene.max_range": 100.0,
    "scene.voxel_size": 0.1,
}
TYPES = get_typestore(Stores.ROS2_KILTED)


def copy(source, path, *, until=np.inf, change=lambda topic, k, msg: msg):
    """A bag with the first seconds of another; `change` returns the message, or None."""
    with BagReader(source) as bag, BagWriter(path) as out:
        topics = [c.topic for c in bag.connections]
        for k, (topic, time_ns, msg) in enumerate(bag.messages(*topics)):
            if time_ns < bag.start_ns + until * 1e9 and (msg := change(topic, k, msg)):
                out.write(topic, time_ns, msg)
    return path


def read(folder):
    """Topic -> (recording time, message), decoded by rosbags alone where it knows the type."""
    found = {}
    with Reader(folder) as reader:
        for connection, time_ns, raw in reader.messages():
            known = connection.msgtype in TYPES.fielddefs
            msg = TYPES.deserialize_cdr(raw, connection.msgtype) if known else raw
            found.setdefault(connection.topic, []).append((time_ns, msg))
    return found


def files(folder):
    """Name and digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_parameters(path: Path, values: dict) -> Path:
    """A parameter file of the node."""
    path.write_text(yaml.safe_dump({"da3": {"ros__parameters": values}}))
    return path
