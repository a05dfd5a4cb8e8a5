"""What metres rest on, as the messages state it, where no poses are given."""

import numpy as np
import pytest
from da3_ros.msg import CameraPoses

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.preprocess import plan_resize
from da3_ros.core.scale.network_scale import NetworkScale
from da3_ros.core.sliding_window import Window
from da3_ros.ros.outputs.publishers import add_evidence

CAMERA = CameraModel(28, 14, np.array([[20.0, 0, 13.5], [0, 20, 6.5], [0, 0, 1]]))


@pytest.mark.parametrize(
    ("is_metric", "is_posed", "source"),
    [(True, False, "network"), (False, False, "none"), (False, True, "none")],
)
def test_the_source_of_a_network_that_knows_no_poses(is_metric, is_posed, source):
    pose = np.eye(4) if is_posed else None
    image = np.zeros((14, 28, 3), np.uint8)
    window = Window((Frame("cam", 1, image, CAMERA, pose),), 0, (0,))
    plans = (plan_resize(14, 28, 28),)
    depth = np.ones((1, 14, 28), np.float32)
    placement = NetworkScale(metric=is_metric).place(window, None, None)
    result = WindowDepth(window, depth, None, None, (CAMERA,), plans, placement, {})
    message = CameraPoses()
    add_evidence(message, result)
    assert message.scale_source == source
