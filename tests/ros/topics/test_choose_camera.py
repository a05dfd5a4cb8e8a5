"""Which picture is the camera, and whose camera info is taken, where several could be meant."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from tf2_msgs.msg import TFMessage

from da3_ros.core.camera_model import CameraModel
from da3_ros.ros import messages
from da3_ros.ros.bags.bag import BagError
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.bags.find_rig import find_cameras
from da3_ros.ros.bags.process_bag import offline_config
from da3_ros.ros.doctor.graph import Heard
from da3_ros.ros.doctor.recording import Event
from da3_ros.ros.topics.find_camera import Choice, find_topics
from da3_ros.ros.topics.topic_error import TopicError

CAMERA = CameraModel(16, 12, np.array([[20.0, 0, 7.5], [0, 20.0, 5.5], [0, 0, 1]]))
COLOR = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
GREY, DEPTH = COLOR[..., 0].copy(), np.full((12, 16), 7300, np.uint16)


def image(pixels=COLOR, frame="camera", encoding=""):
    encoding = encoding or {2: "mono8", 3: "rgb8"}[pixels.ndim]
    return messages.image_message(pixels, encoding, messages.header(frame, 10))


def info(frame="camera", camera=CAMERA):
    return messages.camera_info_message(camera, messages.header(frame, 10))


def png(format, pixels):
    data = cv2.imencode(".png", pixels)[1].tobytes()
    return CompressedImage(header=messages.header("camera", 10), format=format, data=data)


def source(*recorded):
    """Of (topic, message)."""
    heard = Heard()
    heard.events = [Event(topic, k, msg) for k, (topic, msg) in enumerate(recorded)]
    return heard


def find(*recorded, **choice):
    return find_topics(source(*recorded), Choice(**choice))


CAMERA_0 = (("/cam0/image_raw", image(GREY)), ("/cam0/camera_info", info()))
MASK = "/camera/class_mask/compressed"
COMPRESSED = ("/camera/image_raw/compressed", png("rgb8; png compressed bgr8", COLOR))


@pytest.mark.parametrize(
    "recorded, taken, other",
    [
        ([*CAMERA_0, ("/vins/image_track", image())], "/cam0/image_raw", "/vins/image_track"),
        (
            [
                COMPRESSED,
                (MASK, png("8UC1; png compressed ", GREY)),
                ("/camera/camera_info", info()),
            ],
            COMPRESSED[0],
            MASK,
        ),
        (
            [
                ("/camera/detections", image()),
                ("/camera/image_raw", image()),
                ("/camera/camera_info", info()),
            ],
            "/camera/image_raw",
            "/camera/detections",
        ),
        (
            [
                ("/camera/image_raw", image()),
                ("/b/image_raw", image(GREY, "b")),
                ("/b/info", info("b")),
            ],
            "/b/image_raw",
            "/camera/image_raw",
        ),
    ],
)
def test_pictures_of_other_programs(recorded, taken, other):
    """Trackers, detectors and segmentations publish pictures too: the camera is taken, they are
    named."""
    topics = find(*recorded)
    assert topics.image == taken
    assert f"takes {taken}; other pictures, for --image: {other}" in topics.notes
    chosen = find(*recorded, image=taken)
    assert chosen.image == taken and not any("color" in note for note in chosen.notes)


def test_the_same_picture_compressed_is_no_other():
    notes = find(("/camera/image_raw", image()), COMPRESSED, ("/camera/camera_info", info())).notes
    assert not any("--image" in note for note in notes)


def test_a_camera_info_that_stands_alone_belongs_to_the_color_camera():
    recorded = [("/usb/image", image()), ("/calibration/info", info()), *CAMERA_0]
    assert find(*recorded).image == "/usb/image"
    assert find(*recorded).camera_info == "/calibration/info"


@pytest.mark.parametrize("beside", [image(GREY, "rear"), image(DEPTH, "rear", "16UC1")])
def test_the_camera_info_of_another_camera(beside):
    recorded = [
        ("/camera/image_raw", image()),
        ("/rear/image_raw", beside),
        ("/rear/camera_info", info("rear")),
    ]
    with pytest.raises(TopicError, match="/camera/image_raw has no camera_info of its own: /rear"):
        find(*recorded, image="/camera/image_raw")
    asked = find(*recorded, image="/camera/image_raw", camera_info="/rear/camera_info")
    assert asked.camera_info == "/rear/camera_info"


@pytest.mark.parametrize(
    "recorded",
    [
        [("/camera/image_raw", image()), ("/camera/camera_info", info("camera_link"))],
        [("/camera/image_raw", image()), ("/calibration/camera_info", info("camera_link"))],
        [
            ("/rgb", image()),
            ("/depth/image", image(DEPTH, "camera", "16UC1")),
            ("/depth/info", info()),
        ],
    ],
)
def test_the_only_camera_info_is_taken(recorded):
    """Names and frames of real drivers do not always agree."""
    assert find(*recorded).camera_info == recorded[-1][0]


def test_camera_infos_side_by_side_are_told_apart():
    """By the frame, by the size, and then by the name."""
    small = CameraModel(8, 6, CAMERA.K / [[2], [2], [1]])
    right = ("/stereo/right_image", image(frame="right"))
    infos = [("/stereo/left_info", info("left")), ("/stereo/right_info", info("right"))]
    assert find(right, *infos).camera_info == "/stereo/right_info"
    infos = [("/stereo/left_info", info()), ("/stereo/right_info", info())]
    assert find(("/stereo/right_image", image()), *infos).camera_info == "/stereo/right_info"
    infos = [("/stereo/a_info", info(camera=small)), ("/stereo/b_info", info())]
    assert find(("/stereo/image", image()), *infos).camera_info == "/stereo/b_info"


def test_a_refusal_says_which_camera_was_looked_at(tmp_path):
    """The one meant may be another: here it has no camera info of its own."""
    tf = messages.transform_message(np.eye(4), messages.header("odom", 10), "elsewhere")
    tracked = ("/vins/image_track", image())
    topics = find(*CAMERA_0, tracked, ("/tf", TFMessage(transforms=[tf])))
    with pytest.raises(BagError, match="'camera' is mounted.*takes /cam0/image_raw; .*image_track"):
        offline_config(BagJob(tmp_path, tmp_path), topics)


FRONT, LEFT = ("/front/image_raw", image()), ("/left/image_raw", image(GREY, "left"))


@pytest.mark.parametrize("frame", ["camera", "left"])
def test_a_rig_with_one_camera_info_missing(frame):
    """The other's is not taken in its place, whatever the frame in it."""
    recorded = source(FRONT, LEFT, ("/front/camera_info", info(frame)))
    with pytest.raises(BagError, match="/front/camera_info .*--camera-info"):
        find_cameras(recorded, ["front", "left"])
    both = Choice(camera_info="front=/front/camera_info left=/front/camera_info")
    found = find_cameras(recorded, ["front", "left"], both)
    assert {topics.camera_info for topics in found.values()} == {"/front/camera_info"}


def test_a_grey_camera_of_a_rig_is_not_said_to_be_the_only_one():
    infos = ("/front/camera_info", info()), ("/left/camera_info", info("left"))
    found = find_cameras(source(FRONT, LEFT, *infos), ["front", "left"])
    assert not any("color" in note for topics in found.values() for note in topics.notes)


@pytest.mark.parametrize("first", ["", "default_cam"])
def test_the_first_image_does_not_decide_the_frame(first):
    tf = messages.transform_message(np.eye(4), messages.header("odom", 10), "camera")
    images = [("/camera/image_raw", image(frame=frame)) for frame in [first] + 9 * ["camera"]]
    recorded = source(*images, ("/camera/camera_info", info()), ("/tf", TFMessage(transforms=[tf])))
    topics = find_topics(recorded)
    assert (topics.frame_id, topics.world_frame, topics.gap) == ("camera", "odom", "")
