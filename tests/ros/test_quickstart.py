"""docs/quickstart_pip.md as a newcomer follows it: its programs, its file, its commands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from graph import START, Process

from da3_ros.core.poses import compose
from da3_ros.synthetic.room import CAMERA, demo_path, render_room

DOCUMENT = Path(__file__).parents[2] / "docs" / "quickstart_pip.md"
TEXT = DOCUMENT.read_text()
STEP = 0.02
"""m from picture to picture: 0.2 m/s, as the robot of the document drives."""


def named_blocks() -> dict[str, str]:
    """The blocks that the document tells to save, by file name."""
    return dict(re.findall(r"Save as `(\w+\.\w+)`[^`]*```\w+\n(.*?)```", TEXT, re.DOTALL))


def commands(program: str) -> list[list[str]]:
    """Arguments of every line of the shell blocks that starts the program."""
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [line[line.index(program) + 1 :] for line in lines if program in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Everything that the document tells to save, and a video for the camera."""
    folder = tmp_path_factory.mktemp("quickstart")
    for name, text in named_blocks().items():
        (folder / name).write_text(text)
    write_video(folder / "room.mp4")
    return folder


def write_video(path: Path) -> None:
    """A camera that moves straight on through the demo's room, 10 pictures a second."""
    camera = CAMERA.scaled(width=112, height=84)
    start = demo_path(1)[0]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (112, 84))
    for i in range(30):
        T_world_cam = start @ compose(np.eye(3), (0.0, 0.0, i * STEP))
        video.write(render_room(T_world_cam, camera).image[..., ::-1])
    video.release()


class Terminals:
    """Programs that run side by side in one folder, which is also their home."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._open: list[Process] = []

    def run(self, program: str, *arguments: str) -> Process:
        """A saved program, or a module."""
        path = self._folder / program
        process = Process(
            str(path) if path.exists() else program,
            *[str(self._folder / a) if (self._folder / a).exists() else a for a in arguments],
            environment={"HOME": str(self._folder)},
        )
        self._open.append(process)
        return process

    def show_video(self) -> None:
        """Play it to its end through the document's camera."""
        (source, f), *_ = commands("camera.py")
        camera = self.run("camera.py", "room.mp4", str(float(f) * 112 / 640))
        camera.wait_for("no more pictures from")

    def close(self) -> None:
        for process in self._open:
            process.kill()


@pytest.fixture
def terminals(folder):
    terminals = Terminals(folder)
    yield terminals
    terminals.close()


def show_until(terminals: Terminals, reader: Process, pattern: str) -> str:
    """Play the video, again where a busy machine lost it, until the reader prints."""
    for _ in range(3):
        terminals.show_video()
        if found := reader.matching(pattern):
            return found[-1]
    return reader.wait_for(pattern, 10.0)


def test_the_document_has_all_its_files():
    assert set(named_blocks()) == {
        "camera.py", "my_camera.yaml", "how_far.py", "poses.py", "save_glb.py",
    }  # fmt: skip


def test_the_transport_profile_is_where_the_command_says():
    (line,) = [line for line in TEXT.splitlines() if line.startswith("export FASTRTPS_")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = subprocess.run(
        ["bash", "-c", f"{line} && echo $FASTRTPS_DEFAULT_PROFILES_FILE"],
        env={**os.environ, "PATH": path}, check=True, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert Path(told.stdout.strip()).name == "fastdds_large_messages.xml"
    assert Path(told.stdout.strip()).is_file()


def test_a_camera_without_poses(terminals):
    without_poses, _ = commands("da3_node")
    node = terminals.run("da3_ros.commands.node", *without_poses)
    reader = terminals.run("how_far.py")
    node.wait_for("active: waiting for images")
    line = show_until(terminals, reader, r"^\d+\.\d+ in the middle, \d+% known, \d+\.\d+ s late$")
    assert float(line.split()[0]) > 0 and " 100% known" in line
    assert not node.matching("Traceback|ERROR")


def test_poses_give_metres_and_the_service_a_file(terminals, folder):
    _, with_poses = commands("da3_node")
    node = terminals.run("da3_ros.commands.node", *with_poses)
    reader = terminals.run("how_far.py")
    terminals.run("poses.py")
    node.wait_for("active: waiting for images")
    line = show_until(terminals, reader, r"^\d+\.\d+ in the middle, [1-9]\d*% known")
    assert 0.1 < float(line.split()[0]) < 50
    saved = terminals.run("save_glb.py")
    assert saved.wait(START) == 0, saved.lines
    (path,) = (folder / ".ros" / "da3_ros").rglob("scene.glb")
    assert len(trimesh.load(path).geometry) > 0
    assert not node.matching("Traceback|ERROR")
