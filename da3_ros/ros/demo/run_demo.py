"""A bag is replayed into a real node, and what comes out is shown.

Three processes on a ROS graph of their own: the node, the player, and this one, which
subscribes to the results and writes pictures, a video and the map.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import numpy as np

from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.demo.listener import Listener
from da3_ros.ros.demo.processes import DemoError, last_line, running, wait_for
from da3_ros.ros.demo.progress import Progress, say
from da3_ros.ros.demo.results import show
from da3_ros.ros.health.process_memory import peak_resident_bytes
from da3_ros.ros.topics.find_camera import BagTopics, find_topics

QUIET = 3.0
"""Seconds without a new result, after the bag and two more windows' time, mean the end."""


@dataclass(frozen=True)
class DemoOptions:
    """bag: None: a synthetic room of so many `frames`. out: folder of the results. rate: times
    faster than recorded. view: show it live in the browser, too."""

    bag: Path | None
    out: Path
    model: str
    process_res: int
    rate: float
    frames: int
    view: bool


def run_demo(options: DemoOptions) -> None:
    """Replay, listen, show. Raises `TopicError`, and `DemoError` when nothing was published."""
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.bag or _default_bag(options.out, options.frames)
    with BagReader(path) as bag:
        topics = find_topics(bag)
    poses = f"poses in {topics.world_frame}" if topics.world_frame else "no poses: not in metres"
    say("bag", f"{path}: {topics.image}, {poses}")
    _fetch_model(options.model)
    with ExitStack() as stack:
        listener = stack.enter_context(closing(Listener()))
        node = _start_node(stack, topics, options)
        page = _start_page(stack, topics, options) if options.view else None
        _replay(stack, path, options, listener)
        say("node", "works off its last windows")
        _wait_until_quiet(listener)
        show(listener, options.out, peak_resident_bytes(node.pid))
        if page:
            say("page", "stays open, its buttons work; Ctrl-C ends")
            page.wait()


def _default_bag(out: Path, frames: int) -> Path:
    """The synthetic room, rendered at the first run."""
    path = out / f"demo_room_{frames}"
    if not path.exists():
        from da3_ros.ros.demo.bag import write_demo_bag  # torch takes its time

        say("room", f"renders {frames} pictures of a synthetic room and a robot's way, once")
        progress = Progress()
        write_demo_bag(
            path,
            frames=frames,
            progress=lambda i: progress.show("room", f"picture {i} of {frames}"),
        )
        progress.close()
    return path


def _fetch_model(name: str) -> None:
    """What has to come from the hub comes now, before the eyes of who waits."""
    if "/" not in name or Path(name).expanduser().is_dir():
        return
    from da3_ros.net.checkpoint import CheckpointError, find_folder  # torch takes its time

    if not sys.stderr.isatty():  # the hub's bars are for terminals
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    say("model", f"{name} from the Hugging Face hub, unless it is on this machine already")
    try:
        say("model", f"is in {find_folder(name)}")
    except CheckpointError as error:
        raise DemoError(str(error)) from error


def _start_node(stack: ExitStack, topics: BagTopics, options: DemoOptions) -> Popen:
    """The node, active: its model is loaded, it subscribes."""
    log = options.out / "node.log"
    say("node", f"loads {options.model}; what it says is in {log}")
    node = stack.enter_context(running(log, "node", *_node_arguments(topics, options)))
    seconds = wait_for(node, log, "active: waiting", "the node")
    say("node", f"waits for pictures, after {seconds:.0f} s")
    return node


def _node_arguments(topics: BagTopics, options: DemoOptions) -> list[str]:
    """ROS arguments of the node for this bag."""
    parameters = {
        "use_sim_time": "true",
        "model.name": options.model,
        "model.process_res": options.process_res,
        "input.reliability": "reliable",
        "input.compressed": str(topics.compressed).lower(),
        "pose.source": "tf" if topics.world_frame else "none",
        "pose.world_frame": topics.world_frame or "odom",
        "scene.enabled": "true",
    }
    pairs = [word for name, v in parameters.items() for word in ("-p", f"{name}:={v}")]
    return ["--ros-args", *pairs, *topics.remappings]


def _start_page(stack: ExitStack, topics: BagTopics, options: DemoOptions) -> Popen:
    """da3_view beside the node; its address is printed."""
    log = options.out / "view.log"
    world = ("--world-frame", topics.world_frame or "odom")
    page = stack.enter_context(running(log, "view", *world))
    wait_for(page, log, "open http", "the page")
    say("page", last_line(log))
    return page


def _replay(stack: ExitStack, path: Path, options: DemoOptions, listener: Listener) -> None:
    """Run da3_play to its end."""
    log = options.out / "play.log"
    arguments = ("--clock", "--wait", "30", "--rate", str(options.rate))
    player = stack.enter_context(running(log, "play", str(path), *arguments))
    say("player", f"replays the bag at {options.rate:g} times its speed")
    begin, progress = time.monotonic(), Progress()
    while player.poll() is None:
        seconds = time.monotonic() - begin
        progress.show("player", f"{seconds:.0f} s, {listener.depth_images} depth images so far")
        time.sleep(0.2)
    progress.close()
    if player.returncode != 0:
        raise DemoError(f"the player failed: {last_line(log)}")


def _wait_until_quiet(listener: Listener) -> None:
    """Until the node has worked off what it was given."""
    published, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET + 2 * window_seconds(listener):
        newest = listener.status.frames_published if listener.status else 0
        if newest != published:
            published, since = newest, time.monotonic()
        time.sleep(0.1)


def window_seconds(listener: Listener) -> float:
    """How long the network takes for a window."""
    return sum(np.median(times) for times in list(listener.stages.values())) / 1e3
