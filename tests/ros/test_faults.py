"""Processes die, the disk is full, the model is gone: the node says so and works again after."""

import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import trimesh
from da3_ros.srv import Export
from graph import Process, Robot, start_node
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import Image

from da3_ros.net.model_folder import MODELS_FOLDER
from da3_ros.ros.transport import profile_variable

PARTS = ("camera", "poses", "listener")
MISSING = {
    "camera": "no image on /image for 5 s: (nobody publishes it|it has a publisher)",
    "poses": r"no pose: transform odom -> \w+ is known only up to",
    "listener": "nobody subscribes to any output: images are not processed until",
}
"""What the node says without them."""

FOLDER = Path(__file__).parent
SHORT_LEASE = {profile_variable(): str(FOLDER / "short_lease.xml")}
LEASE = 40.0
"""Seconds in which the graph takes a killed process for gone, in any DDS."""


class Parts(dict):
    """The parts of a robot, each a process."""

    def __init__(self):
        self._left_behind: list[Path] = []
        for name in PARTS:
            self.start(name)

    def crash(self, name: str) -> None:
        """SIGKILL for one of them."""
        self._left_behind += self[name].crash()

    def close(self) -> None:
        """End all."""
        for process in self.values():
            process.kill()
        for segment in self._left_behind:
            segment.unlink(missing_ok=True)

    def start(self, name: str) -> int:
        """Start one (again); returns the time."""
        self[name] = Process(str(FOLDER / "robot_part.py"), name, environment=SHORT_LEASE)
        return time.time_ns()

    def wait_for_depth(self, since_ns: int) -> None:
        """Until the listener has depth of an image taken after `since_ns`."""
        deadline = time.monotonic() + 30
        while not any(
            int(line.split()[1]) > since_ns for line in self["listener"].matching("depth")
        ):
            assert time.monotonic() < deadline, "no depth"
            time.sleep(0.05)


@pytest.fixture
def parts():
    parts = Parts()
    yield parts
    parts.close()


def test_parts_of_the_robot_are_killed_and_started_again(parts, tmp_path):
    node = start_node(tmp_path, "--log-level", "da3:=debug")
    node.wait_for("active: waiting for images")
    for name, missing in MISSING.items():
        parts.wait_for_depth(time.time_ns())
        first = len(node.lines)
        parts.crash(name)
        node.wait_for(missing, LEASE, first)
        parts.wait_for_depth(parts.start(name))
    assert node.stop() == 0
    assert not node.matching("Traceback")


@pytest.fixture(scope="module")
def robot():
    robot = Robot()
    robot.listen(Image, "/da3/depth/image")
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of the exports, the model and the node's parameters."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "exports").mkdir()
    shutil.copytree(MODELS_FOLDER / "da3-demo", folder / "model")
    return folder


@pytest.fixture(scope="module")
def node(robot, folder):
    """One node for the tests below."""
    settings = {"export.directory": str(folder / "exports"), "model.name": str(folder / "model")}
    process = start_node(folder, autostart=False, **settings)
    yield process
    process.kill()


def test_the_checkpoint_is_removed_before_configure_and_after_cleanup(robot, node, folder):
    model, away = folder / "model", folder / "away"
    for _ in range(2):
        first = len(node.lines)
        model.rename(away)
        assert not robot.change_state(Transition.TRANSITION_CONFIGURE)
        assert robot.state() == "unconfigured"
        node.wait_for(rf"model.name is '{model}': there is no such folder$", 5, first)
        away.rename(model)
        assert robot.change_state(Transition.TRANSITION_CONFIGURE)
        assert robot.change_state(Transition.TRANSITION_ACTIVATE)
        robot.wait_for_node()
        robot.send_until_published()
        assert robot.change_state(Transition.TRANSITION_DEACTIVATE)
        assert robot.change_state(Transition.TRANSITION_CLEANUP)
    assert not node.matching("Traceback")


@pytest.fixture(scope="module")
def active_node(robot, node):
    assert robot.change_state(Transition.TRANSITION_CONFIGURE)
    assert robot.change_state(Transition.TRANSITION_ACTIVATE)
    robot.wait_for_node()
    return node


class SmallDisk:
    """A file system of 1 MB; only root may mount one."""

    why = "No space left on device"

    def __init__(self, node, folder):
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, timeout=600).returncode:
            pytest.skip("only root may mount a small disk; the limit of file sizes is tested")
        self._folder = folder

    def fill(self):
        (self._folder / ".filler").write_bytes(bytes(1 << 20))

    def make_room(self):
        (self._folder / ".filler").unlink()

    def close(self):
        subprocess.run(["umount", "--lazy", str(self._folder)], check=True, timeout=600)


class SmallFiles:
    """No file of the node may grow beyond 64 bytes."""

    why = "File too large"

    def __init__(self, node, folder):
        self._pid = node.pid
        self._limits = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)

    def fill(self):
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (64, self._limits[1]))

    def make_room(self):
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, self._limits)

    def close(self):
        self.make_room()


@pytest.fixture(params=[SmallFiles, SmallDisk])
def disk(request, active_node, folder):
    disk = request.param(active_node, folder / "exports")
    yield disk
    disk.close()


def export(robot, formats):
    return robot.call(Export, "/da3/export", Export.Request(formats=formats, name=formats))


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".filler"]


def test_the_disk_is_full_during_an_export(robot, active_node, disk, folder):
    robot.send_until_published()
    disk.fill()
    sentence = f"the files do not fit ({disk.why}): make room below export.directory"
    for formats in ("glb", "npz", "depth_vis", "ply", "colmap"):
        answer = export(robot, formats)
        assert not answer.success and answer.message == sentence
        assert files(folder / "exports") == []
        robot.send_until_published()
    disk.make_room()
    assert export(robot, "glb").success
    (path,) = files(folder / "exports")
    assert path.name == "scene.glb" and trimesh.load(path).geometry
    path.unlink()
    assert not active_node.matching("Traceback")
