"""`da3_play`, as far as it needs nobody who listens; see tests/ros/bags/test_bag.py, too."""

import subprocess
import sys

from rosbags.rosbag2 import Writer

from da3_ros.ros.bags.bag import TYPES


def test_a_bag_without_messages_has_an_end_however_often_it_is_played(tmp_path):
    with Writer(tmp_path / "bag", version=9) as bag:
        bag.add_connection("/text", "std_msgs/msg/String", typestore=TYPES)
    done = subprocess.run(
        [sys.executable, "-m", "da3_ros.commands.play", str(tmp_path / "bag"), "--loop"]
        + ["--wait", "0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("played 0 messages") == 1
