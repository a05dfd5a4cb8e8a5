"""The launch files under ROS's own launch: what is started, with which parameters, and how it ends.

A program of ours stands in the place of each mapping stack.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml
from graph import START, Process

pytest.importorskip("launch_ros", reason="needs ROS's launch, which has no wheel")

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
STACKS = {
    "nvblox": ("nvblox_ros", "nvblox_node", "isaac-ros-nvblox"),
    "rtabmap": ("rtabmap_slam", "rtabmap", "rtabmap-ros"),
    "octomap": ("octomap_server", "octomap_server_node", "octomap-server"),
}
"""Launch file -> package, program, what to install."""

OURS = {"model.name": "da3-demo", "model.device": "cpu", "window.size": 2}


class Prefix:
    """An installation of ROS packages: an index, and programs."""

    def __init__(self, path: Path):
        self.path = path
        self.install("da3_ros", "da3_node", "-m da3_ros.commands.node")

    def install(self, package: str, program: str, run: str) -> None:
        index = self.path / "share" / "ament_index" / "resource_index" / "packages" / package
        file = self.path / "lib" / package / program
        for p in (index, file):
            p.parent.mkdir(parents=True, exist_ok=True)
        index.touch()
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -u {run} "$@"\n')
        file.chmod(0o755)

    def launch(self, name: str, *arguments: str) -> Process:
        paths = [str(self.path), *filter(None, [os.environ.get("AMENT_PREFIX_PATH")])]
        environment = {"AMENT_PREFIX_PATH": os.pathsep.join(paths)}
        file = str(ROOT / "launch" / f"{name}.launch.py")
        return Process(str(FOLDER / "launch_program.py"), file, *arguments, environment=environment)


@pytest.fixture
def prefix(tmp_path):
    return Prefix(tmp_path / "prefix")


@pytest.fixture
def started():
    processes = []
    yield processes
    for process in processes:
        interrupt(process)
        assert process.wait(20) == 0


def interrupt(process: Process) -> None:
    """As Ctrl-C does: every process of the launch hears it."""
    os.killpg(process.pid, signal.SIGINT)


def parameter_file(folder: Path, **blocks: dict) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({f"/**/{n}": {"ros__parameters": v} for n, v in blocks.items()}))
    return f"params:={path}"


@pytest.mark.parametrize("name", STACKS)
def test_a_missing_stack_is_named_and_nothing_stays_behind(name, prefix):
    package, program, install = STACKS[name]
    process = prefix.launch(name, "image:=/camera/image_raw", "model:=da3-demo")
    assert process.wait(START) == 1
    (said,) = process.matching(rf"{program} of the package {package} is not installed here")
    assert install in said and "Nothing was started" in said
    assert not process.matching("process started")


def test_file_and_arguments_win_over_defaults(prefix, started, tmp_path):
    prefix.install(
        "octomap_server", "octomap_server_node", f"{FOLDER / 'stack_program.py'} cloud_in"
    )
    ours = OURS | {"pose.world_frame": "map", "use_sim_time": True}
    theirs = {"frame_id": "field", "use_sim_time": True}
    file = parameter_file(tmp_path, da3=ours, octomap_server=theirs)
    process = prefix.launch("octomap", file, "namespace:=robot1", "tf:=tf")
    started.append(process)
    process.wait_for("topic /tf_static /robot1/tf_static")
    assert process.matching("name /robot1/octomap_server$")
    assert process.matching("parameter frame_id field$")
    assert process.matching("parameter use_sim_time True$")
    assert process.matching("topic cloud_in /robot1/da3/points$")
    process.wait_for("use_sim_time is true, but no /clock message")


def test_an_argument_wins_over_every_block_of_the_file(prefix, started, tmp_path):
    prefix.install("octomap_server", "octomap_server_node", f"{FOLDER / 'stack_program.py'}")
    path = tmp_path / "mine.yaml"
    everyone = {"ros__parameters": {"use_sim_time": False}}
    blocks = {"/**": everyone, "/**/octomap_server": {"ros__parameters": {"frame_id": "field"}}}
    path.write_text(yaml.safe_dump(blocks | {"/**/da3": {"ros__parameters": OURS}}))
    arguments = (f"params_file:={path}", "world_frame:=map", "name:=front")
    process = prefix.launch("octomap", *arguments)
    started.append(process)
    process.wait_for("ready")
    assert process.matching("parameter frame_id map$")
    process.wait_for(r"\[front\]: active: waiting for images")
    assert process.matching(r"model da3-demo is ready")


def test_blocks_of_the_usual_names_hold_in_a_namespace_for_both_nodes(prefix, started, tmp_path):
    prefix.install("octomap_server", "octomap_server_node", f"{FOLDER / 'stack_program.py'}")
    path = tmp_path / "mine.yaml"
    ours = OURS | {"pose.world_frame": "map", "window.size": 3}
    theirs = {"resolution": 0.5}
    blocks = {"da3": {"ros__parameters": ours}, "octomap_server": {"ros__parameters": theirs}}
    path.write_text(yaml.safe_dump(blocks))
    process = prefix.launch("octomap", f"params_file:={path}", "namespace:=robot1")
    started.append(process)
    process.wait_for("ready")
    assert process.matching("parameter frame_id map$")
    process.wait_for("warming up with a window of 3 views")
    assert not process.matching("has no block for")


def test_two_interrupts_end_it_in_order(prefix):
    """`timeout -s INT` sends the signal to its child and to the whole group."""
    process = prefix.launch("da3", "model:=da3-demo")
    process.wait_for("active: waiting for images")
    interrupt(process)
    time.sleep(0.05)
    interrupt(process)
    assert process.wait(START) == 0
    assert process.matching("process has finished cleanly")
    assert not process.matching("process has died|exit code")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["params:=/no/such.yaml"], "/no/such.yaml .* is not a file"),
        (["image_transport:=raw", "compressed:=true"], "contradict each other"),
    ],
)
def test_wrong_arguments_start_nothing(prefix, arguments, sentence):
    process = prefix.launch("da3", *arguments)
    assert process.wait(START) == 1
    assert process.matching(sentence) and not process.matching("process started")
