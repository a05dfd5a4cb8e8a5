"""What all tests share: a ROS graph of their own, recorded data, hypothesis without a clock."""

import fcntl
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import torch


def take_domain():
    """A ROS domain that no other run of the tests on this machine has, and the lock on it."""
    for number in range(1, 100):
        path = Path(tempfile.gettempdir()) / f"da3_ros_tests_domain_{number}.lock"
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return number, lock
    raise RuntimeError("99 runs of these tests hold all ROS domains of this machine")


# Set before any rclpy.init, and inherited by the processes that tests start. The lock lasts as
# long as this process, however it ends.
DOMAIN, DOMAIN_LOCK = take_domain()
os.environ["ROS_DOMAIN_ID"] = str(DOMAIN)
if os.environ.get("ROS_DISTRO") == "humble":
    os.environ["ROS_LOCALHOST_ONLY"] = "1"
else:
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

# Threads of torch that wait for each other on a busy machine take ten times as long.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# Machines may be busy, and the same commit gives the same verdict everywhere. To look for new
# counterexamples: pytest --hypothesis-profile search
hypothesis.settings.register_profile("da3_ros", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=300)
hypothesis.settings.load_profile("da3_ros")


def pytest_collection_modifyitems(items):
    """What starts nodes (by tests/ros/graph.py) is marked `graph`: see Makefile."""
    for item in items:
        if _uses_graph(item.path):
            item.add_marker("graph")


@cache
def _uses_graph(path: Path) -> bool:
    return "from graph import" in path.read_text()


def pytest_runtest_setup(item):
    """Tests marked `gpu` and `browser` run where there is one."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if item.get_closest_marker("browser") and not shutil.which("chromium"):
        pytest.skip("needs Chromium: apt install chromium")


SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded bags; it is not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the recorded data (../shared/data) is not on this machine")
    return SHARED_DATA
