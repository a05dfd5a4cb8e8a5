"""da3_demo: a bag is replayed into a real node, and what comes out is shown.

Three processes on a ROS graph of their own: the node, the player, and this one, which
subscribes to the results and writes pictures, a video and the map.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import Popen

import numpy as np

from da3_ros.core.child_process import end_with
from da3_ros.core.exit_codes import INTERRUPTED
from da3_ros.net.model_folder import MODELS_FOLDER, WEIGHTS
from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.demo.listener import Listener
from da3_ros.ros.demo.processes import DemoError, last_line, running, wait_for
from da3_ros.ros.demo.results import write_results
from da3_ros.ros.health.process_memory import peak_resident_bytes
from da3_ros.ros.topics.find_camera import BagTopics, find_topics
from da3_ros.ros.topics.topic_error import TopicError
from da3_ros.ros.transport import keep_to_this_machine, use_large_message_profile

QUIET = 3.0
"""Seconds without a new result, after the bag and two more windows' time, mean the end."""

REPORT_PERIOD = 10.0
"""Seconds from line to line where there is no terminal whose line could be written again."""


def main() -> int:
    """Entry point of da3_demo. Returns the exit code: 0 when something was published."""
    options = parse_arguments(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end_with(os.getppid())
    use_large_message_profile()
    # A graph of its own: a robot on the same network must not hear the replay.
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    keep_to_this_machine()
    try:
        run(options)
    except (TopicError, DemoError) as error:
        print(f"da3_demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return INTERRUPTED
    return 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of da3_demo."""
    trained = (MODELS_FOLDER / "da3-demo" / WEIGHTS).is_file()
    parser = argparse.ArgumentParser("da3_demo", description=__doc__.splitlines()[0])
    parser.add_argument("bag", nargs="?", help="rosbag2 to replay; default: a synthetic room")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--model", default="da3-demo" if trained else "da3-small")
    parser.add_argument(
        "--process-res",
        type=int,
        help="parameter model.process_res; default: 252, da3-demo its own",
    )
    parser.add_argument(
        "--rate",
        type=float,
        help="times faster than recorded; default: 0.15, with da3-demo 0.5",
    )
    parser.add_argument("--frames", type=int, default=60, help="images of the synthetic room")
    parser.add_argument("--view", action="store_true", help="show it live in the browser, too")
    options = parser.parse_args(arguments)
    # For processors; the built-in model is small by itself.
    is_small = options.model == "da3-demo"
    if options.process_res is None:
        options.process_res = 0 if is_small else 252
    if options.rate is None:
        options.rate = 0.5 if is_small else 0.15
    return options


def run(options: argparse.Namespace) -> None:
    """Replay, listen, show. Raises `TopicError`, and `DemoError` when nothing was published."""
    options.out.mkdir(parents=True, exist_ok=True)
    path = Path(options.bag) if options.bag else default_bag(options.out, options.frames)
    with BagReader(path) as bag:
        topics = find_topics(bag)
    poses = f"poses in {topics.world_frame}" if topics.world_frame else "no poses: not in metres"
    say("bag", f"{path}: {topics.image}, {poses}")
    fetch_model(options.model)
    with ExitStack() as stack:
        listener = stack.enter_context(closing(Listener()))
        node = start_node(stack, topics, options)
        page = start_page(stack, topics, options) if options.view else None
        replay(stack, path, options, listener)
        say("node", "works off its last windows")
        wait_until_quiet(listener)
        show(listener, options.out, peak_resident_bytes(node.pid))
        if page:
            say("page", "stays open, its buttons work; Ctrl-C ends")
            page.wait()


def default_bag(out: Path, frames: int) -> Path:
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


def fetch_model(name: str) -> None:
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


def start_node(stack: ExitStack, topics: BagTopics, options: argparse.Namespace) -> Popen:
    """The node, active: its model is loaded, it subscribes."""
    log = options.out / "node.log"
    say("node", f"loads {options.model}; what it says is in {log}")
    node = stack.enter_context(running(log, "node", *node_arguments(topics, options)))
    seconds = wait_for(node, log, "active: waiting", "the node")
    say("node", f"waits for pictures, after {seconds:.0f} s")
    return node


def node_arguments(topics: BagTopics, options: argparse.Namespace) -> list[str]:
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


def start_page(stack: ExitStack, topics: BagTopics, options: argparse.Namespace) -> Popen:
    """da3_view beside the node; its address is printed."""
    log = options.out / "view.log"
    world = ("--world-frame", topics.world_frame or "odom")
    page = stack.enter_context(running(log, "view", *world))
    wait_for(page, log, "open http", "the page")
    say("page", last_line(log))
    return page


def replay(stack: ExitStack, path: Path, options: argparse.Namespace, listener: Listener) -> None:
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


def wait_until_quiet(listener: Listener) -> None:
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


def show(listener: Listener, out: Path, peak_memory: int) -> None:
    """Table, pictures, video and map. Raises `DemoError` when nothing was published."""
    if listener.status is None:
        raise DemoError(f"nothing was heard of the node; see {out / 'node.log'}")
    print_table(listener, peak_memory)
    if listener.depth is None or listener.rgb is None:
        raise DemoError(f"no depth was published: {listener.status.reason or 'see the table'}")
    for path, what in write_results(listener, out):
        say("writes", f"{path}: {what}")
    if "random weights" in listener.status.model:
        print("\nThe weights are random: nothing was trained, so the depth means nothing yet.")


def print_table(listener: Listener, peak_memory: int) -> None:
    """What became of the frames, and what it cost."""
    status = listener.status
    rows = [
        ("model", status.model),
        ("frames in", status.frames_received),
        ("windows", status.windows_processed),
        ("published", status.frames_published),
    ]
    counts = zip(status.dropped_reasons, status.dropped_counts)
    rows += [(f"dropped: {reason}", count) for reason, count in counts if count]
    rows.append(("still in the window", status.frames_pending))
    stages = list(listener.stages.items())  # its thread may add one
    rows += [(f"{stage}, ms", f"{np.median(ms):.0f}") for stage, ms in stages]
    rows.append(("peak memory, MB", peak_memory >> 20))
    print()
    for name, value in rows:
        print(f"{name:<28}{value}")
    print()


def say(who: str, what: str) -> None:
    """One line of what happens now."""
    print(f"{who:<9}{what}", flush=True)


class Progress:
    """One line that the next one overwrites; a line now and then where there is no terminal."""

    def __init__(self):
        self._is_terminal = sys.stdout.isatty()
        self._shown_at = time.monotonic()

    def show(self, who: str, what: str) -> None:
        """May be called as often as one likes."""
        if self._is_terminal:
            print(f"\r{who:<9}{what:<60}", end="", flush=True)
        elif time.monotonic() - self._shown_at >= REPORT_PERIOD:
            self._shown_at = time.monotonic()
            say(who, what)

    def close(self) -> None:
        """The line stays."""
        if self._is_terminal:
            print()


if __name__ == "__main__":
    sys.exit(main())
