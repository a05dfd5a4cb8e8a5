"""Which frame between the world and a camera is that of odometry, and where it was at a stamp."""

import pytest
from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage
from transforms import SECOND, move, source_with_mount, transform

from da3_ros.ros.bounds import MOST_TRANSFORMS
from da3_ros.ros.inputs.odom_frames import OdomFrames
from da3_ros.ros.messages import header

CHAIN = {"eye": "neck", "neck": "base", "base": "odom", "odom": "map", "map": "earth"}


def moving_in(*parents: str) -> OdomFrames:
    frames = OdomFrames()
    for parent in parents:
        for x in (0, 1):
            frames.note(parent, "robot", transform(parent, "robot", xyz=(x, 0, 0)).transform)
    return frames


@pytest.mark.parametrize(
    "frame, world, found",
    [
        ("eye", "map", "odom"),
        ("eye", "earth", "odom"),
        ("odom", "map", "odom"),  # of points that are in odom
        ("eye", "odom", None),  # the world itself
        ("eye", "base", None),
        ("eye", "moon", None),
        ("map", "eye", None),  # upside down
        ("stranger", "map", None),
    ],
)
def test_it_lies_between_world_and_camera(frame, world, found):
    assert moving_in("odom").between(frame, world, CHAIN) == found


@pytest.mark.parametrize(
    "name, is_one",
    [
        ("odom", True),
        ("robot1/odom", True),
        ("a/b/odom_combined", True),
        ("base_odom", False),
        ("odom/base", False),
        ("carrier", False),
    ],
)
def test_its_name_says_so(name, is_one):
    parents = {"base": name, name: "map"}
    assert moving_in(name).between("base", "map", parents) == (name if is_one else None)


def test_of_several_the_one_nearest_to_the_camera():
    parents = {"eye": "odom_visual", "odom_visual": "odom", "odom": "map"}
    assert moving_in("odom", "odom_visual").between("eye", "map", parents) == "odom_visual"


def test_transforms_that_go_in_a_circle_end():
    assert moving_in("odom").between("a", "map", {"a": "odom", "odom": "a"}) is None
    deep = {f"f{i}": f"f{i + 1}" for i in range(MOST_TRANSFORMS)}
    assert moving_in("odom").between("f0", f"f{MOST_TRANSFORMS}", deep) is None


def correct(source, stamp_ns, x):
    msg = TFMessage(transforms=[transform("map", "odom", stamp_ns, (x, 0, 0))])
    assert source.take_transforms(msg, static=False) == []


def test_its_place_is_that_of_the_stamp():
    source = source_with_mount(world_frame="map")
    for second, x in ((1, 0), (2, 0), (3, 5)):
        move(source, second * SECOND, second)
        correct(source, second * SECOND, x)
    assert source.locate("camera", 3 * SECOND)[0, 3] == 8.5
    found = [source.correction("/camera", int(t * SECOND))[0, 3] for t in (2, 2.5, 3)]
    assert found == pytest.approx([0, 2.5, 5])
    assert source.correction("camera", 9 * SECOND) is None


@pytest.mark.parametrize("static", [True, False])
def test_one_that_holds_the_robot_fixed_is_a_stand_in(static):
    """SLAM without odometry moves the robot with all of odom."""
    source = source_with_mount(world_frame="map")
    for second in (1, 2, 3):
        still = TFMessage(transforms=[transform("odom", "base", second * SECOND, (4, 0, 0))])
        source.take_transforms(still, static=static)
        correct(source, second * SECOND, second)
    assert source.locate("camera", 2 * SECOND)[0, 3] == 6.5
    assert source.correction("camera", 2 * SECOND) is None


def test_odometry_instead_of_tf_moves_the_robot_too():
    source = source_with_mount(world_frame="map", source="odometry")
    for second in (1, 2):
        msg = Odometry(child_frame_id="base")
        msg.header = header("odom", second * SECOND)
        msg.pose.pose.position.x = float(second)
        assert source.take_odometry(msg) == []
        correct(source, second * SECOND, 3 * second)
    assert source.correction("camera", 2 * SECOND)[0, 3] == 6
