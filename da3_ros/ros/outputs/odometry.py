"""The way the network itself sees, where nobody gives poses.

~/odometry   nav_msgs/Odometry   camera in `pose.world_frame`; on /tf too with `pose.publish_tf`

The world is the first window's reference camera (z forward; where up is stays unknown), the
unit that window's, metres with a metric network. Both start anew when the chain breaks.
"""

from __future__ import annotations

from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage

from da3_ros.core import poses
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.prediction import WindowDepth
from da3_ros.ros import messages
from da3_ros.ros.entities import Entities
from da3_ros.ros.outputs import topics
from da3_ros.ros.outputs.publishing import create_publisher, is_listened

UNKNOWN = -1.0
"""First entry of a covariance that nobody knows (nav_msgs convention)."""


class OdometryOutput:
    """Publishes the newest view of each window, once."""

    def __init__(self, entities: Entities, live: LiveConfig):
        self._live = live
        self._odometry = create_publisher(entities, Odometry, f"~/{topics.ODOMETRY}")
        publish_tf = live.config.pose.publish_tf
        self._tf = create_publisher(entities, TFMessage, "/tf") if publish_tf else None

    def is_wanted(self) -> bool:
        """A window that is left out breaks the chain, so TF wants every one."""
        return self._tf is not None or is_listened(self._odometry)

    def publish(self, result: WindowDepth) -> None:
        """Odometry and TF of the newest published view."""
        T_world_cam, frame = result.pose(-1), result.frames[-1]
        if T_world_cam is None:
            return
        T_world_frame = T_world_cam @ poses.inverse(frame.T_frame_cam)
        head = messages.header(self._live.config.pose.world_frame, frame.stamp_ns)
        odometry = Odometry(header=head, child_frame_id=frame.camera_id)
        odometry.pose.pose = messages.pose_message(T_world_frame)
        odometry.pose.covariance[0] = odometry.twist.covariance[0] = UNKNOWN
        self._odometry.publish(odometry)
        if self._tf:
            transform = messages.transform_message(T_world_frame, head, frame.camera_id)
            self._tf.publish(TFMessage(transforms=[transform]))
