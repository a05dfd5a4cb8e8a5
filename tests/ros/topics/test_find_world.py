"""Which frame is taken for the world: one that the camera moves in, never the robot's own."""

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage

from da3_ros.ros import messages
from da3_ros.ros.bags.bag import BagError, BagReader, BagWriter
from da3_ros.ros.bags.process_bag import BagJob, offline_config
from da3_ros.ros.doctor.findings import Verdict
from da3_ros.ros.doctor.poses import check_world
from da3_ros.ros.topics.find_camera import BagTopics, Choice
from da3_ros.ros.topics.find_world import find_world

MOUNT = ("/tf_static", "base_link camera", 0)
JOINTS = ("/tf", "base_link wheel", 1)


def message(edge, x):
    parent, child = edge.split()
    T = np.eye(4)
    T[0, 3] = x
    return messages.transform_message(T, messages.header(parent, 1), child)


def odometry(edge):
    parent, child = edge.split()
    msg = Odometry(header=messages.header(parent, 1), child_frame_id=child)
    msg.pose.pose.orientation.w = 1.0
    return msg


def world_of(tmp_path, recorded, **choice):
    """Of a camera in a bag of (topic, "parent child", x); topics but those of TF hold odometry."""
    with BagWriter(tmp_path / "bag") as bag:
        for k, (topic, edge, x) in enumerate(recorded):
            is_tf = topic.startswith("/tf")
            msg = TFMessage(transforms=[message(edge, x)]) if is_tf else odometry(edge)
            bag.write(topic, 10 + k, msg)
    with BagReader(tmp_path / "bag") as bag:
        topics = [t for t in ("/tf", "/tf_static") if t in bag.topics_of(TFMessage)]
        return find_world(bag, tuple(topics), "camera", Choice(**choice))


def config(world, **parameters):
    """Of a bag that has this world."""
    topics = BagTopics(
        "/image",
        "/camera_info",
        False,
        "camera",
        world.frame,
        gap=world.gap,
        odometry_world=world.of_odometry,
    )
    named = {name.replace("__", "."): value for name, value in parameters.items()}
    return offline_config(BagJob("bag", "out", named), topics).pose


@pytest.mark.parametrize("recorded", [[MOUNT], [MOUNT, JOINTS]])
def test_the_robots_own_frame_is_not_the_world(tmp_path, recorded):
    world = world_of(tmp_path, recorded)
    assert world.frame is None
    with pytest.raises(BagError, match="holds 'camera' fixed in 'base_link'.*pose.source: none"):
        config(world)
    assert config(world, pose__source="none").source == "none"


@pytest.mark.parametrize("recorded", [[MOUNT], [MOUNT, JOINTS], [MOUNT, ("/tf", "a b", 1)]])
def test_odometry_that_would_move_the_camera_is_named_and_gives_the_world(tmp_path, recorded):
    world = world_of(tmp_path, [*recorded, ("/wheels", "start base_link", 0)])
    assert world.frame is None
    with pytest.raises(BagError, match="/wheels says where 'base_link' is in 'start': pose.source"):
        config(world)
    pose = config(world, pose__source="odometry")
    assert (pose.source, pose.world_frame) == ("odometry", "start")


def test_odometry_below_a_map(tmp_path):
    recorded = [MOUNT, ("/tf_static", "map odom", 100), ("/wheels", "odom base_link", 0)]
    world = world_of(tmp_path, recorded)
    assert config(world, pose__source="odometry").world_frame == "odom"
    pose = config(world, pose__source="odometry", pose__world_frame="map")
    assert pose.world_frame == "map"


def test_of_several_odometries_none_decides(tmp_path):
    both = [("/wheels", "start base_link", 0), ("/visual", "vo base_link", 0)]
    recorded = [MOUNT, ("/tf", "odom base_link", 0), *both]
    assert world_of(tmp_path, recorded).of_odometry == ""
    (tmp_path / "again").mkdir()
    assert world_of(tmp_path / "again", recorded, odometry="/visual").of_odometry == "vo"


@pytest.mark.parametrize(
    "moving",
    [
        ("/tf", "base_link odom", 1),  # upside down, as some visual odometry sends it
        ("/tf_static", "odom base_link", 1),
        ("/tf", "odom base_link", 0),
    ],
)
def test_a_world_that_the_camera_moves_in(tmp_path, moving):
    world = world_of(tmp_path, [MOUNT, (*moving[:2], 0), moving])
    assert (world.frame, world.gap, world.still) == ("odom", "", "")


@pytest.mark.parametrize(
    "recorded, wanted, frame, still",
    [
        ([("/tf_static", "cell camera", 0)], "", "cell", "never moves the camera, 'camera', in"),
        ([("/tf_static", "map camera", 0), JOINTS], "", "map", "never moves the camera"),
        ([MOUNT, ("/tf", "odom base_link", 0)], "base_link", "base_link", "a frame that it moves"),
        ([MOUNT, ("/tf", "odom base_link", 0)], "camera", "camera", "is the camera's own frame"),
    ],
)
def test_a_camera_that_never_moves_in_its_world(tmp_path, recorded, wanted, frame, still):
    world = world_of(tmp_path, recorded, world_frame=wanted)
    assert (world.frame, world.gap) == (frame, "")
    assert still in world.still
    finding = check_world(frame, wanted or None, world.still)
    assert (finding.verdict, finding.seen) == (Verdict.WARN, world.still)
