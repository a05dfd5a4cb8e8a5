"""A camera info of 320x240 pixels, to be changed by tests."""

import numpy as np
from sensor_msgs.msg import CameraInfo

from da3_ros.ros import messages

K = np.array([[300.0, 0, 160], [0, 310, 120], [0, 0, 1]])
HEAD = messages.header("camera_optical_frame", 12_345_678_901)


def info(**changes) -> CameraInfo:
    msg = CameraInfo(width=320, height=240, k=K.ravel(), distortion_model="plumb_bob", d=[0.0] * 5)
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg
