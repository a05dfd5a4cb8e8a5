"""Bags: written, read back, played into a real graph; damaged and foreign ones."""

import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import TransformStamped
from graph import Process, a_robot
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage

from da3_ros.ros.bags.bag import TYPES, BagError, BagReader, BagWriter
from da3_ros.ros.demo.bag import DEMO_CAMERA, write_demo_bag
from da3_ros.ros.topics.find_camera import find_topics
from da3_ros.ros.topics.message_types import message_class
from da3_ros.ros.topics.topic_error import TopicError

START_NS = 1_700_000_000_000_000_000
STEP_NS = 50_000_000


def head(k, frame="camera"):
    header = Header(frame_id=frame)
    header.stamp.sec, header.stamp.nanosec = divmod(START_NS + k * STEP_NS, 10**9)
    return header


def edge(parent, child):
    return TFMessage(transforms=[TransformStamped(header=head(0, parent), child_frame_id=child)])


def messages():
    yield "/tf_static", 0, edge("base_link", "camera")
    yield "/tf", 0, edge("odom", "base_link")
    yield "/tf", 0, edge("map", "odom")
    for k in range(10):
        yield "/camera/camera_info", k, CameraInfo(header=head(k), width=4, height=2)
        image = Image(header=head(k), width=4, height=2, encoding="rgb8", step=12)
        image.data = bytes(range(24))
        yield "/camera/image", k, image


@pytest.fixture(scope="module")
def bag_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "bag"
    with BagWriter(path) as bag:
        for topic, k, msg in messages():
            bag.write(topic, START_NS + k * STEP_NS, msg)
    return path


@pytest.fixture(scope="module")
def sqlite_path(tmp_path_factory):
    """As other tools write them: sqlite3, and with a type nobody here has."""
    path = tmp_path_factory.mktemp("bags") / "sqlite"
    with Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        text = writer.add_connection("/text", "std_msgs/msg/String", typestore=TYPES)
        foreign = writer.add_connection(
            "/foreign",
            "acme_msgs/msg/Rocket",
            msgdef="float64 thrust\n",
            rihs01="RIHS01_" + "0" * 64,
        )
        for k in range(5):
            data = serialize_message(String(data=str(k)))
            writer.write(text, START_NS + k * STEP_NS, data)
            writer.write(foreign, START_NS + k * STEP_NS, data)
    return path


def test_what_was_written_is_read(bag_path):
    with BagReader(bag_path) as bag:
        read = list(bag.messages("/camera/image", "/camera/camera_info", "/tf", "/tf_static"))
        assert (bag.start_ns, bag.end_ns - bag.start_ns) == (START_NS, 9 * STEP_NS + 1)
    written = [(topic, START_NS + k * STEP_NS, msg) for topic, k, msg in messages()]
    assert read == written


def test_the_file_alone_will_do(bag_path):
    (file,) = bag_path.glob("*.mcap")
    with BagReader(file) as bag:
        assert bag.topics_of(Image) == ["/camera/image"]


def test_humble_reads_the_metadata(bag_path):
    metadata = yaml.safe_load((bag_path / "metadata.yaml").read_text())
    metadata = metadata["rosbag2_bagfile_information"]
    assert metadata["version"] == 8
    for topic in metadata["topics_with_message_count"]:
        assert isinstance(topic["topic_metadata"]["offered_qos_profiles"], str)


@pytest.mark.parametrize(
    "name",
    [
        "stranger/msg/Thing",
        "STRANGER/msg/Thing",
        "lonely/msg/Thing",
        "lonely.deep/msg/Thing",
        "../stranger/msg/Thing",
        "stranger/msg/thing",
        "stranger/srv/Thing",
        "__main__/msg/Thing",
        "zipimport/msg/Thing",
        "Stränger/msg/Thing",
        "a" * 5000 + "/msg/Thing",
    ],
)
def test_a_bag_does_not_choose_what_is_imported(tmp_path, monkeypatch, name):
    """Only packages with generated messages are, and nothing runs before that is known."""
    (tmp_path / "lonely.py").write_text("raise SystemExit('this was run')")
    (tmp_path / "stranger" / "msg").mkdir(parents=True)
    for file in ("__init__.py", "msg/__init__.py"):
        (tmp_path / "stranger" / file).write_text("raise SystemExit('this was run')")
    monkeypatch.syspath_prepend(tmp_path)
    assert message_class(name) is None


def test_bags_that_are_none(tmp_path, bag_path):
    with pytest.raises(BagError, match="cannot open bag .*nowhere"):
        BagReader(tmp_path / "nowhere").__enter__()
    (tmp_path / "empty").mkdir()
    with pytest.raises(BagError, match="cannot open bag"):
        BagReader(tmp_path / "empty").__enter__()
    with pytest.raises(BagError, match="exists already"):
        BagWriter(bag_path).__enter__()


def test_finds_the_camera(bag_path):
    with BagReader(bag_path) as bag:
        topics = find_topics(bag)
    assert (topics.image, topics.camera_info) == ("/camera/image", "/camera/camera_info")
    assert not topics.compressed
    assert (topics.frame_id, topics.world_frame) == ("camera", "odom")
    assert topics.remappings[:2] == ["-r", "image:=/camera/image"]


def test_finds_no_camera(sqlite_path, tmp_path):
    with BagReader(sqlite_path) as bag, pytest.raises(TopicError, match="no color images"):
        find_topics(bag)
    with BagWriter(tmp_path / "blind") as bag:
        bag.write("/image", 1, Image(encoding="rgb8", header=head(0)))
    with BagReader(tmp_path / "blind") as bag, pytest.raises(TopicError, match="no .*CameraInfo"):
        find_topics(bag)


def test_finds_the_camera_of_the_kitchen(shared_data):
    with BagReader(shared_data / "7scenes_redkitchen_compressed_mcap") as bag:
        topics = find_topics(bag)
        assert topics.image in bag.topics_of(CompressedImage)
    assert topics.compressed and topics.frame_id == "camera_optical_frame"
    assert topics.world_frame == "map"


def test_demo_bag_is_a_robot_in_a_room(tmp_path):
    write_demo_bag(tmp_path / "room", frames=2)
    with BagReader(tmp_path / "room") as bag:
        topics = find_topics(bag)
        assert (topics.frame_id, topics.world_frame) == ("camera_optical_frame", "odom")
        depths = [m for _, _, m in bag.messages("/ground_truth/depth")]
        images = [m for _, _, m in bag.messages("/camera/image_raw")]
    assert [d.header for d in depths] == [i.header for i in images] and len(depths) == 2
    depth = np.frombuffer(depths[0].data, np.float32)
    assert depth.size == DEMO_CAMERA.width * DEMO_CAMERA.height
    assert 0.2 < np.nanmin(depth) < np.nanmax(depth) < 8
    assert not list(Path(tmp_path).glob("*.partial"))


robot = pytest.fixture(a_robot)


def play(path, *arguments):
    return Process("da3_ros.commands.play", str(path), *arguments)


def test_plays_every_message(robot, bag_path):
    images = robot.listen(Image, "/camera/image")
    clock = robot.listen(Clock, "/clock")
    player = play(bag_path, "--clock", "--wait", "60", "--rate", "2")
    player.wait_for("played 23 messages")
    assert player.wait(20) == 0
    assert [m.header.stamp for m in images] == [head(k).stamp for k in range(10)]
    assert bytes(images[0].data) == bytes(range(24))
    times = [m.clock.sec * 10**9 + m.clock.nanosec for m in clock]
    assert times == sorted(times) and len(times) > 10
    assert START_NS <= times[0] and times[-1] == START_NS + 9 * STEP_NS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_static_transforms_reach_late_subscribers(robot, bag_path, number):
    """And both signals end it, also in the background of a script: a shell starts such a job
    with SIGINT ignored, and Python leaves it so.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    player = play(bag_path, "--loop", "--rate", "0.05", "--wait", "0")
    signal.signal(signal.SIGINT, before)
    robot.wait_until(lambda: robot.node.count_publishers("/camera/image"), 60, "the player")
    robot.received.clear()
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    late = robot.listen(TFMessage, "/tf_static", latched)
    robot.wait_until(
        lambda: any(m.transforms[0].child_frame_id == "camera" for m in late), what="/tf_static"
    )
    assert (player.stop(number), player.matching("Traceback")) == (0, [])


def test_waits_for_those_who_come_while_it_starts(robot, bag_path):
    """Nobody asked it to: without a wait the first images are lost."""
    player = play(bag_path, "--rate", "5")
    robot.wait_until(lambda: robot.node.count_publishers("/camera/image"), 60, "the player")
    images = robot.listen(Image, "/camera/image")
    player.wait_for("played 23 messages")
    assert player.wait(20) == 0
    assert [m.header.stamp for m in images] == [head(k).stamp for k in range(10)]


def test_waits_for_nobody_for_ever(bag_path, tmp_path):
    """The bag is a recording that was cut off, too."""
    (file,) = bag_path.glob("*.mcap")
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[: int(0.5 * file.stat().st_size)])
    player = play(cut, "--wait", "0.5", "--rate", "50")
    assert player.wait(60) == 0
    assert player.matching("nobody has subscribed; playing all the same")
    assert player.matching("is cut off or damaged at byte")
    (line,) = player.matching("played")
    assert 0 < int(line.split("played ")[1].split()[0]) < 23


def test_skips_types_that_are_not_installed(robot, sqlite_path):
    texts = robot.listen(String, "/text")
    player = play(sqlite_path, "--wait", "60")
    player.wait_for("/foreign is skipped: acme_msgs/msg/Rocket is not installed")
    assert player.wait(60) == 0
    robot.wait_until(lambda: len(texts) == 5, what="all texts")
    assert [m.data for m in texts] == list("01234")


@pytest.mark.parametrize("arguments", [("--rate", "0.1"), ("--clock", "--rate", "0.001")])
def test_does_not_wait_for_a_clock_that_was_set(robot, tmp_path, arguments):
    """Since 1970: 55 years. Time goes on from there, and back and forth between files is no gap."""
    times = [10**9, START_NS, START_NS + 1_000_000, START_NS + 10**12]
    with BagWriter(tmp_path / "bag") as bag:
        for time_ns in times:
            bag.write("/text", time_ns, String(data=str(time_ns)))
    texts, clock = robot.listen(String, "/text"), robot.listen(Clock, "/clock")
    player = play(tmp_path / "bag", "--wait", "60", *arguments)
    player.wait_for("played 4 messages")
    assert player.wait(20) == 0
    (said,) = player.matching("not waited for")
    assert "nothing was recorded for 1,699,999,999 s" in said and "above 60 s" in said
    robot.wait_until(lambda: len(texts) == 4, what="all texts")
    assert [int(m.data) for m in texts] == times
    told = [m.clock.sec * 10**9 + m.clock.nanosec for m in clock]
    assert told == sorted(told) and bool(told) == ("--clock" in arguments)
    assert all(min(abs(time_ns - t) for t in times) <= 1_000_000 for time_ns in told)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("nowhere",), "da3_play: cannot open bag nowhere"),
        (("x", "--rate", "0"), "must be above 0"),
        (("x", "--rate", "inf"), "must be above 0, at least 0.001"),
        (("x", "--start-delay", "-1"), "must be 0 or more"),
        (("x", "--start-delay", "nan"), "must be 0 or more"),
        (("x", "--wait", "-1"), "must be 0 or more"),
        (("a\x1b[2J\n", "--wait", "0"), r"cannot open bag a\x1b[2J\n: it does not exist"),
    ],
)
def test_says_what_is_wrong(arguments, sentence):
    player = play(*arguments)
    assert player.wait(60) != 0
    assert sentence in player.lines[-1]


def test_a_clock_beyond_2038_is_refused(tmp_path):
    with BagWriter(tmp_path / "late") as bag:
        bag.write("/info", 2**31 * 10**9, CameraInfo())
    player = play(tmp_path / "late", "--clock", "--wait", "0")
    assert player.wait(60) == 1
    (line,) = player.lines
    assert line.startswith("da3_play: the bag lasts beyond 2038")
    player = play(tmp_path / "late", "--wait", "0")
    assert player.wait(60) == 0 and player.matching("played 1 messages")
