"""Images of one camera on their way in: each waits for its camera info and for its pose.

message_filters pairs messages too, but says nothing of what it throws away. Here every image
leaves the queue exactly once: with info and pose, or with the reason why not.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from da3_ros.core.frame_counts import Drop
from da3_ros.core.poses import PoseError
from da3_ros.ros.inputs.patience import Patience
from da3_ros.ros.inputs.pose_source import PoseSource
from da3_ros.ros.inputs.tf_buffer import TransformUnavailable
from da3_ros.ros.messages import stamp_to_ns

INFO_WAIT = 1.0
"""Seconds after which an image's camera info is not expected any more: of wall time, and on the
node's clock, which goes slowly in a slow simulator and so does what it sends.
"""


@dataclass(eq=False)
class Arrival:
    """An image message, and what of it is there by now.

    came_at: s on any steady clock; came_ns: on the node's. info: the camera info of the same
    stamp. paired_ns: when that was there, on the node's clock. T_world_frame: (4, 4) of the
    image's frame_id; None with pose source `none`. T_world_odom: (4, 4), see
    `PoseSource.correction`.
    """

    image: Any
    stamp_ns: int
    came_at: float
    came_ns: int
    info: Any = None
    paired_ns: int = 0
    T_world_frame: np.ndarray | None = None
    T_world_odom: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Lost:
    """An image that becomes no frame, and why. detail: tells troubles of one reason apart."""

    image: Any
    reason: Drop
    sentence: str
    detail: Hashable = None


class ArrivalQueue:
    """Images that wait for their info as long as `patience` says, and at most its `count` that
    wait for their pose; of the latter, the first one without a pose holds the rest.

    pose_timeout: s.

    info_topic: name of their topic, for sentences.
    """

    def __init__(self, poses: PoseSource, patience: Patience, pose_timeout: float):
        self._poses = poses
        self.patience = patience
        self._timeout_ns = round(pose_timeout * 1e9)
        self._queue: deque[Arrival] = deque()
        self._infos: OrderedDict[int, Any] = OrderedDict()
        self._has_heard_info = False
        self.info_topic = "camera_info"  # as remapped, once it is subscribed to

    def __len__(self) -> int:
        """Images that wait."""
        return len(self._queue)

    @property
    def memory(self) -> tuple[list[tuple[int, bool]], list[int]]:
        """Stamps of the images that wait, each with whether its info is there, and of the infos."""
        return [(a.stamp_ns, a.info is not None) for a in self._queue], list(self._infos)

    def add_image(self, msg: Any, now: float, now_ns: int) -> list[Lost]:
        """Take an image; returns those given up for it. now: s on a steady clock, now_ns: on
        the node's."""
        arrival = Arrival(msg, stamp_to_ns(msg.header.stamp), now, now_ns)
        self._queue.append(arrival)
        info = self._infos.pop(arrival.stamp_ns, None)
        if info is not None:
            return self._pair(arrival, info, now_ns)
        waiting = [a for a in self._queue if a.info is None]
        excess = self.patience.excess([(a.stamp_ns, len(a.image.data)) for a in waiting])
        return [self._without_info(a) for a in waiting[:excess]]

    def add_info(self, msg: Any, now_ns: int) -> list[Lost]:
        """Take a camera info; returns the images given up for it."""
        self._has_heard_info = True
        stamp_ns = stamp_to_ns(msg.header.stamp)
        for arrival in self._queue:
            if arrival.info is None and arrival.stamp_ns == stamp_ns:
                return self._pair(arrival, msg, now_ns)
        self._infos[stamp_ns] = msg
        for _ in range(self.patience.excess([(stamp, 0) for stamp in self._infos])):
            self._infos.popitem(last=False)
        return []

    def expire(self, now: float, now_ns: int) -> list[Lost]:
        """Images that have waited for their info for so long that it will not come."""
        waiting = [a for a in self._queue if a.info is None]
        return [self._without_info(a) for a in waiting if _is_over(a, now, now_ns)]

    def end(self) -> list[Lost]:
        """Nothing comes any more: all images that wait for their info."""
        return [self._without_info(a) for a in [*self._queue] if a.info is None]

    def poll(self, now_ns: int) -> Iterator[Arrival | Lost]:
        """Every image with info of which the pose is known by now, or known not to come; in
        order of arrival. Each leaves the queue when taken.

        An image whose lookup raises what it must not comes out as an internal error, and then
        what was raised.
        """
        while head := next((a for a in self._queue if a.info is not None), None):
            try:
                outcome = self._locate(head, now_ns)
            except Exception:
                self._queue.remove(head)  # or it would hold the others for ever
                yield Lost(head.image, Drop.INTERNAL_ERROR, "")
                raise
            if outcome is None:
                return
            self._queue.remove(head)
            yield outcome

    def clear(self) -> list:
        """Forget everything; returns the images that were waiting.

        The newest info stays: it may be that of the image, still to be added, which showed that
        time starts over.
        """
        images = [arrival.image for arrival in self._queue]
        self._queue.clear()
        while len(self._infos) > 1:
            self._infos.popitem(last=False)
        return images

    def _pair(self, arrival: Arrival, info: Any, now_ns: int) -> list[Lost]:
        arrival.info, arrival.paired_ns = info, now_ns
        # Both topics arrive in order, so what is older than a pair has lost its partner.
        for old in [s for s in self._infos if s < arrival.stamp_ns]:
            del self._infos[old]
        older = [a for a in self._queue if a.info is None and a.stamp_ns < arrival.stamp_ns]
        lost = [self._without_info(a) for a in older]
        paired = [a for a in self._queue if a.info is not None]
        for oldest in paired[: -self.patience.count]:
            self._queue.remove(oldest)
            sentence = "too many images wait for their poses; the oldest is dropped"
            lost.append(Lost(oldest.image, Drop.QUEUE_FULL, sentence))
        return lost

    def _without_info(self, arrival: Arrival) -> Lost:
        self._queue.remove(arrival)
        why = "those have other stamps" if self._has_heard_info else "none has come there yet"
        sentence = (
            "no camera_info has the stamp of the image; it is dropped (camera_info is read "
            f"from {self.info_topic}: {why})"
        )
        return Lost(arrival.image, Drop.NO_CAMERA_INFO, sentence)

    def _locate(self, arrival: Arrival, now_ns: int) -> Arrival | Lost | None:
        """None while the pose may still come."""
        image = arrival.image
        key = image.header.frame_id, arrival.stamp_ns
        try:
            arrival.T_world_frame = self._poses.locate(*key)
            arrival.T_world_odom = self._poses.correction(*key)
        except TransformUnavailable as error:
            waited_ns = now_ns - arrival.paired_ns
            # A clock that was set back would never reach the timeout.
            if error.may_come and 0 <= waited_ns < self._timeout_ns:
                return None
            self._poses.note_missed(error.cause)
            return Lost(image, Drop.NO_POSE, f"no pose: {self._poses.explain(error)}", error.cause)
        except PoseError as error:
            return Lost(image, Drop.NO_POSE, f"no pose: {error}")
        return arrival


def _is_over(arrival: Arrival, now: float, now_ns: int) -> bool:
    waited, waited_ns = now - arrival.came_at, now_ns - arrival.came_ns
    # A clock that was set back would never get there.
    return waited > INFO_WAIT and not 0 <= waited_ns <= INFO_WAIT * 1e9
