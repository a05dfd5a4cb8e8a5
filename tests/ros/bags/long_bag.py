"""Bags for the tests of pieces: the demo's room, slower, so that it lasts; and its parameters."""

from da3_ros.ros.bags.bag import BagReader, BagWriter

PARAMETERS = {
    "model.name": "da3-demo",
    "model.device": "cpu",
    "model.process_res": 56,
    "window.size": 3,
    "window.max_age": 2.0,
    "scene.max_range": 100.0,
    "scene.voxel_size": 0.2,
}
START_NS = 1_700_000_000_000_000_000


def stretch(source, path, times, change=lambda topic, seconds, msg: True):
    """A copy that lasts so many times longer; `change` may change a message, or refuse it."""
    with BagReader(source) as bag, BagWriter(path) as out:
        topics = [c.topic for c in bag.connections if not c.topic.startswith("/ground_truth")]
        for topic, time_ns, msg in bag.messages(*topics):
            time_ns = START_NS + (time_ns - START_NS) * times
            for stamped in getattr(msg, "transforms", [msg]):
                stamp = stamped.header.stamp
                since = stamp.sec * 10**9 + stamp.nanosec - START_NS
                stamp.sec, stamp.nanosec = divmod(START_NS + since * times, 10**9)
            if change(topic, (time_ns - START_NS) / 1e9, msg):
                out.write(topic, time_ns, msg)
    return path
