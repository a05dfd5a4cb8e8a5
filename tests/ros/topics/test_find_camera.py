"""Which camera of a bag is taken, and what is said about TF that does not reach it."""

import cv2
import numpy as np
import pytest
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.core.camera_model import CameraModel
from da3_ros.ros import messages
from da3_ros.ros.bags.bag import BagError, BagReader, BagWriter
from da3_ros.ros.bags.process_bag import BagJob, offline_config
from da3_ros.ros.topics.find_camera import Choice, find_topics
from da3_ros.ros.topics.topic_error import TopicError

CAMERA = CameraModel(16, 12, np.array([[20.0, 0, 7.5], [0, 20.0, 5.5], [0, 0, 1]]))
COLOR = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
GREY16 = np.full((12, 16), 7300, np.uint16)


def head(frame="camera"):
    return messages.header(frame, 1_000_000_000)


def raw(encoding="rgb8", pixels=COLOR):
    return messages.image_message(pixels, encoding, head())


def compressed(format, pixels=COLOR, suffix=".png"):
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    return CompressedImage(header=head(), format=format, data=data)


def info():
    return messages.camera_info_message(CAMERA, head())


def tf(*edges):
    """Of names "parent child"."""
    transforms = [
        messages.transform_message(np.eye(4), head(edge.split()[0]), edge.split()[1])
        for edge in edges
    ]
    return TFMessage(transforms=transforms)


def find(tmp_path, recorded, **choice):
    """Topics of a bag of (topic, message)."""
    path = tmp_path / f"bag{len(list(tmp_path.iterdir()))}"
    with BagWriter(path) as bag:
        for k, (topic, msg) in enumerate(recorded):
            bag.write(topic, 10 + k, msg)
    with BagReader(path) as bag:
        return find_topics(bag, Choice(**choice))


PLAIN = [("/camera/image", raw()), ("/camera/camera_info", info())]


@pytest.mark.parametrize(
    "other",
    [
        ("/a/depth/compressed", compressed("16UC1; png compressed ", GREY16)),
        ("/a/depth/compressed", compressed("png", GREY16)),
        ("/a/depth/compressedDepth", compressed("16UC1; compressedDepth png", GREY16)),
        ("/a/depth", raw("16UC1", GREY16)),
        ("/a/thermal", raw("mono16", GREY16)),
        ("/a/thermal/compressed", compressed("mono16; png compressed ", GREY16)),
        ("/a/infra", raw("mono8", COLOR[..., 0].copy())),
        ("/a/infra/compressed", compressed("jpeg", COLOR[..., 0], ".jpg")),
        ("/a/image", Image(header=head(), width=16, height=12, encoding="rgb8", step=48)),
        ("/a/image/compressed", CompressedImage(header=head(), format="h264", data=b"\0\0\1")),
        (
            "/a/unknown",
            Image(header=head(), width=16, height=12, encoding="mine", step=48, data=bytes(576)),
        ),
        ("/a/overlay", raw()),  # in color, without a camera info beside it
        ("/camera/image/compressed", compressed("rgb8; jpeg compressed bgr8", COLOR, ".jpg")),
    ],
)
def test_the_color_camera_is_taken(tmp_path, other):
    topics = find(tmp_path, [other, *PLAIN])
    assert (topics.image, topics.compressed, topics.size) == ("/camera/image", False, (12, 16))
    assert topics.camera_info == "/camera/camera_info"
    chosen = find(tmp_path, [*PLAIN, ("/b/image", raw())], image="/b/image")
    assert chosen.image == "/b/image"


def test_one_grey_camera_alone_is_taken_and_said(tmp_path):
    for msg in (raw("mono16", GREY16), raw("mono8", COLOR[..., 0].copy())):
        topics = find(tmp_path, [("/thermal/image", msg), ("/thermal/camera_info", info())])
        assert topics.image == "/thermal/image"
        assert "no camera is in color: the grey images of /thermal/image" in topics.notes[0]


def test_first_images_that_are_broken_do_not_hide_the_camera(tmp_path):
    broken = Image(header=head(), width=16, height=12, encoding="rgb8", step=48)
    topics = find(tmp_path, [("/camera/image", broken), *PLAIN])
    assert (topics.image, topics.size) == ("/camera/image", (12, 16))


def test_other_cameras_are_named(tmp_path):
    more = [("/rear/image", raw()), ("/rear/camera_info", info())]
    assert "for --image: /rear/image" in " ".join(find(tmp_path, [*PLAIN, *more]).notes)


@pytest.mark.parametrize(
    "choice, sentence",
    [
        ({"image": "/nothing"}, "--image /nothing: there are /camera/image, /depth"),
        ({"image": "/depth"}, "no camera pictures there.*that is a depth image"),
        ({"camera_info": "/x"}, "--camera-info /x: there are /camera/camera_info"),
        ({"tf": ("/robot/tf",)}, "--tf /robot/tf: there are /tf"),
    ],
)
def test_a_choice_that_is_not_there(tmp_path, choice, sentence):
    recorded = [*PLAIN, ("/depth", raw("16UC1", GREY16)), ("/tf", tf("odom camera"))]
    with pytest.raises(TopicError, match=sentence):
        find(tmp_path, recorded, **choice)


def test_the_compressed_topic_is_found_by_the_name_of_the_raw_one(tmp_path):
    recorded = [("/camera/image/compressed", compressed("png")), ("/camera/camera_info", info())]
    topics = find(tmp_path, recorded, image="/camera/image")
    assert (topics.image, topics.compressed) == ("/camera/image/compressed", True)


LINKS = ("/tf_static", tf("base_link camera_link", "camera_link camera"))


@pytest.mark.parametrize(
    "recorded, world",
    [
        ([LINKS, ("/tf", tf("odom base_link"))], "odom"),
        ([LINKS, ("/tf", tf("odom base_link", "map odom"))], "odom"),
        ([LINKS, ("/tf", tf("map base_link"))], "map"),
        ([LINKS, ("/tf", tf("start base_link"))], "start"),
        ([LINKS, ("/tf", tf("vo base_link")), ("/tf", tf("odom base_link"))], "odom"),
        ([LINKS, *[("/tf", tf("wheel spoke"))] * 300, ("/tf", tf("odom base_link"))], "odom"),
        ([("/tf_static", tf("map camera")), ("/tf", tf("elsewhere arm"))], "map"),
        ([("/tf_static", tf("/cell /camera"))], "cell"),
    ],
)
def test_the_fixed_frame(tmp_path, recorded, world):
    topics = find(tmp_path, [*PLAIN, *recorded])
    assert (topics.world_frame, topics.gap) == (world, "")


@pytest.mark.parametrize(
    "recorded, choice, gap",
    [
        ([("/tf", tf("odom base_link"))], {}, "nothing says where 'camera' is mounted .*tf_static"),
        (
            [("/tf_static", tf("camera_link camera")), ("/tf", tf("odom base_link"))],
            {},
            "its way from 'camera' ends at 'camera_link' .*not connected: base_link, odom",
        ),
        ([("/r/tf", tf("odom camera"))], {}, "no transforms on /tf, but on /r/tf: .*--tf"),
        (
            [LINKS, ("/tf", tf("odom base_link", "utm map"))],
            {"world_frame": "map"},
            "'map' is not connected with 'camera'",
        ),
        (
            [LINKS, ("/tf", tf("odom base_link"))],
            {"world_frame": "earth"},
            "frame 'earth' does not exist in TF",
        ),
    ],
)
def test_transforms_that_do_not_reach_the_camera(tmp_path, recorded, choice, gap):
    """Never processed without poses in silence."""
    topics = find(tmp_path, [*PLAIN, *recorded], **choice)
    assert topics.world_frame is None
    job = BagJob(tmp_path, tmp_path)
    with pytest.raises(BagError, match=gap):
        offline_config(job, topics)
    asked = BagJob(tmp_path, tmp_path, {"pose.source": "none"})
    assert offline_config(asked, topics).pose.source == "none"


def test_a_bag_without_transforms(tmp_path):
    topics = find(tmp_path, PLAIN)
    assert (topics.world_frame, topics.gap) == (None, "")
    assert "there are no transforms" in topics.notes[0] and "metres" in topics.notes[0]
    assert offline_config(BagJob(tmp_path, tmp_path), topics).pose.source == "none"
    for wanted in ({"pose.source": "tf"}, {"pose.world_frame": "map"}):
        with pytest.raises(BagError, match="the bag has no transforms"):
            offline_config(BagJob(tmp_path, tmp_path, wanted), topics)


def test_odometry_in_a_bag_without_transforms(tmp_path):
    """It is named until the user has said where poses come from."""
    recorded = [*PLAIN, ("/wheels/odom", Odometry(header=head("odom"), child_frame_id="base"))]
    (note,) = find(tmp_path, recorded).notes
    assert "there are no transforms" in note
    assert note.endswith("pose.source: odometry takes: /wheels/odom")
    assert find(tmp_path, recorded, pose_source="odometry").notes == ()
    (note,) = find(tmp_path, recorded, pose_source="none").notes
    assert "odom" not in note
    job = BagJob(tmp_path, tmp_path, {"pose.source": "odometry"})
    assert job.wanted.pose_source == "odometry"


def test_transforms_of_a_robot_with_a_name(tmp_path):
    recorded = [("/r/tf_static", LINKS[1]), ("/r/tf", tf("odom base_link"))]
    topics = find(tmp_path, [*PLAIN, *recorded], tf=("/r/tf",))
    assert (topics.world_frame, topics.tf) == ("odom", ("/r/tf", "/r/tf_static"))


def test_a_topic_that_cannot_be_read_does_not_matter(tmp_path):
    """Announced as images, holding something else."""
    with BagWriter(tmp_path / "bag") as bag:
        connection = bag._add("/a/image", Image)
        bag._writer.write(connection, 5, b"\0\1\0\0garbage")
        for topic, msg in PLAIN:
            bag.write(topic, 10, msg)
    with BagReader(tmp_path / "bag") as bag:
        assert find_topics(bag).image == "/camera/image"


def test_images_of_nothing_but_depth(tmp_path):
    recorded = [("/depth", raw("16UC1", GREY16)), ("/camera_info", CameraInfo())]
    with pytest.raises(TopicError, match="no color images .*/depth: encoding '16UC1'"):
        find(tmp_path, recorded)
