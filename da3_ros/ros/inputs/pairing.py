"""Image and CameraInfo of one camera, paired by their exact stamp.

message_filters does this too, but says nothing of what it throws away; here every image
comes back exactly once, paired or given up.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from da3_ros.ros.inputs.tf_buffer import stamp_to_ns


@dataclass(frozen=True)
class Pair:
    """An image message and the camera info of the same stamp."""

    image: Any
    info: Any

    @property
    def stamp_ns(self) -> int:
        return stamp_to_ns(self.image.header.stamp)


class Pairing:
    """Waiting images and infos of one camera, at most `queue_size` of each."""

    def __init__(self, queue_size: int):
        self._queue_size = queue_size
        self._images: OrderedDict[int, tuple[float, Any]] = OrderedDict()
        self._infos: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        """Images that wait for their info."""
        return len(self._images)

    def add_image(self, msg, now: float) -> tuple[Pair | None, list]:
        """The pair this image completes, if any, and the images given up for it.

        now: seconds on any clock; `expire` measures the wait with it.
        """
        stamp = stamp_to_ns(msg.header.stamp)
        info = self._infos.pop(stamp, None)
        if info is not None:
            return Pair(msg, info), self._older_than(stamp)
        self._images[stamp] = (now, msg)
        if len(self._images) <= self._queue_size:
            return None, []
        return None, [self._images.popitem(last=False)[1][1]]

    def add_info(self, msg) -> tuple[Pair | None, list]:
        """The pair this camera info completes, if any, and the images given up for it."""
        stamp = stamp_to_ns(msg.header.stamp)
        _, image = self._images.pop(stamp, (None, None))
        if image is not None:
            return Pair(image, msg), self._older_than(stamp)
        self._infos[stamp] = msg
        if len(self._infos) > self._queue_size:
            self._infos.popitem(last=False)
        return None, []

    def expire(self, now: float, wait: float) -> list:
        """Images that have waited longer than `wait` seconds: their info will not come."""
        late = [stamp for stamp, (since, _) in self._images.items() if now - since > wait]
        return [self._images.pop(stamp)[1] for stamp in late]

    def clear(self) -> list:
        """Forget everything; returns the images that were waiting."""
        images = [msg for _, msg in self._images.values()]
        self._images.clear()
        self._infos.clear()
        return images

    def _older_than(self, stamp: int) -> list:
        """Both topics arrive in order, so what is older than a pair has lost its partner."""
        for old in [s for s in self._infos if s < stamp]:
            del self._infos[old]
        return [self._images.pop(s)[1] for s in [s for s in self._images if s < stamp]]
