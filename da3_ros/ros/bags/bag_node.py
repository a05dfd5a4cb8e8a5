"""The publishers of the node, writing into a bag instead of a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection

from nav_msgs.msg import Path
from sensor_msgs.msg import CompressedImage

from da3_ros.ros.bags.bag import BagWriter
from da3_ros.ros.outputs import topics
from da3_ros.ros.parameter_file import NODE_NAME

PRIVATE = f"/{NODE_NAME}"
"""What `~` stands for in names of topics: `~/depth/image` is /da3/depth/image."""
PATH = f"{PRIVATE}/{topics.PATH}"


class BagPublisher:
    """What `Outputs` needs of a publisher."""

    def __init__(self, write: Callable | None):
        self._write = write

    def get_subscription_count(self) -> int:
        """1, or 0 for a topic that is left out."""
        return int(self._write is not None)

    def publish(self, msg) -> None:
        """Write the message; its recording time is the node's `now_ns`."""
        self._write(msg)


class BagNode:
    """What `Outputs` needs of `Entities`: publishers, which write into `bag`.

    now_ns: recording time of what is written next. leave_out: topics such as `points`
    that nobody wants. Of paths, of the newest 1000 poses, only the last is written, by `close`.
    Compressed pictures are not written: the bag has them whole.
    """

    def __init__(self, bag: BagWriter, leave_out: Collection[str] = ()):
        self.now_ns = 0
        self._bag = bag
        self._leave_out = {f"{PRIVATE}/{topic}" for topic in leave_out}
        self._path: tuple[str, Path] | None = None

    def create_publisher(self, kind: type, topic: str, *_, **__) -> BagPublisher:
        """A publisher of `~/topic`."""
        name = topic.replace("~", PRIVATE, 1)
        if name in self._leave_out or kind is CompressedImage:
            return BagPublisher(None)
        if kind is Path:
            return BagPublisher(lambda msg: self._keep(name, msg))
        return BagPublisher(lambda msg: self._bag.write(name, self.now_ns, msg))

    def close(self) -> None:
        """Write what was kept for the end."""
        if self._path:
            topic, msg = self._path
            self._bag.write(topic, self.now_ns, msg)

    def _keep(self, topic: str, msg: Path) -> None:
        self._path = topic, msg
