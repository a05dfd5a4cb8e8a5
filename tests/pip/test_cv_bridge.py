"""What da3_ros relies on of cv_bridge; holds for ROS's own and for the one in pip/."""

import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from picture_messages import encoded, expected, message, smooth_picture, tolerance
from std_msgs.msg import Header

from da3_ros.ros.images import ENCODINGS, OLDER_NAMES

KNOWN = sorted(set(ENCODINGS) - set(OLDER_NAMES))
bridge = CvBridge()


@pytest.mark.parametrize("pixels_of_padding", [0, 3])
@pytest.mark.parametrize("encoding", KNOWN)
def test_every_encoding_becomes_rgb(encoding, pixels_of_padding):
    rgb = smooth_picture()
    pixels = encoded(rgb, encoding)
    padding = pixels_of_padding * pixels[0, 0].nbytes
    out = bridge.imgmsg_to_cv2(message(pixels, encoding, padding=padding), "rgb8")
    assert out.shape == rgb.shape and out.dtype == np.uint8
    error = np.abs(out.astype(int) - expected(rgb, encoding))[2:-2, 2:-2]
    assert error.max() <= tolerance(encoding)


@pytest.mark.parametrize("encoding", ["rgb8", "mono16", "bgra8"])
def test_passthrough_are_the_pixels_of_the_message(encoding):
    pixels = encoded(smooth_picture(), encoding)
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message(pixels, encoding)), pixels)


@pytest.mark.parametrize("encoding", ["purple9", "", "8UC3", "32FC1"])
def test_what_is_no_color_has_no_rgb(encoding):
    with pytest.raises(CvBridgeError):
        bridge.imgmsg_to_cv2(message(np.zeros((24, 32, 12), np.uint8), encoding), "rgb8")


def test_missing_bytes_are_an_error():
    msg = message(smooth_picture(), "bgr8")
    msg.data = msg.data[:100]
    with pytest.raises(TypeError):
        bridge.imgmsg_to_cv2(msg, "rgb8")


@pytest.mark.parametrize(
    "encoding, dtype, channels",
    [("rgb8", "u1", 3), ("32FC1", "f4", 1), ("32FC2", "f4", 2), ("16UC1", "u2", 1)],
)
def test_messages_hold_a_packed_copy(encoding, dtype, channels):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 200, (5, 14, channels)).astype(dtype)[:, ::2].squeeze()
    head = Header(frame_id="camera")
    msg = bridge.cv2_to_imgmsg(pixels, encoding, head)
    kept = pixels.copy()
    pixels[:] = 0
    assert (msg.height, msg.width, msg.encoding, msg.header) == (5, 7, encoding, head)
    assert msg.step == 7 * channels * np.dtype(dtype).itemsize and not msg.is_bigendian
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(msg), kept)


def test_pixels_must_be_what_the_encoding_says():
    with pytest.raises(CvBridgeError, match="rgb8"):
        bridge.cv2_to_imgmsg(np.zeros((4, 4), np.uint8), "rgb8")
    assert bridge.cv2_to_imgmsg(np.zeros((4, 4), np.float32)).encoding == "32FC1"
