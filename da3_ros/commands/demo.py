"""da3_demo: a bag is replayed into a real node, and what comes out is shown.

Three processes on a ROS graph of their own: the node, the player, and this one, which
subscribes to the results and writes depth.png, rgb.png and cloud_from_above.png.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import cv2
import numpy as np

from da3_ros.core.child_process import end_with, start_in_background
from da3_ros.net.model_folder import MODELS_FOLDER, WEIGHTS
from da3_ros.ros.bags.bag import BagError, BagReader
from da3_ros.ros.bags.find_camera import BagTopics, find_topics
from da3_ros.ros.demo.bag import write_demo_bag
from da3_ros.ros.demo.listener import Listener
from da3_ros.ros.demo.pictures import draw_depth, draw_from_above
from da3_ros.ros.health.process_memory import peak_resident_bytes
from da3_ros.ros.transport import keep_to_this_machine, use_large_message_profile

START_TIMEOUT = 180.0
QUIET = 3.0
"""Seconds without a new result, after the bag and two more windows' time, mean the end."""


class DemoError(RuntimeError):
    """The demo cannot go on; one sentence."""


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
        return run(options)
    except (BagError, DemoError) as error:
        print(f"da3_demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130


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
    parser.add_argument("--rate", type=float, default=0.5, help="times faster than recorded")
    parser.add_argument("--frames", type=int, default=60, help="images of the synthetic room")
    parser.add_argument("--view", action="store_true", help="show it live in the browser, too")
    options = parser.parse_args(arguments)
    if options.process_res is None:  # for processors; the built-in model is small by itself
        options.process_res = 0 if options.model == "da3-demo" else 252
    return options


def run(options: argparse.Namespace) -> int:
    """Replay, listen, show. Raises `BagError` and `DemoError`."""
    options.out.mkdir(parents=True, exist_ok=True)
    path = Path(options.bag) if options.bag else default_bag(options.out, options.frames)
    with BagReader(path) as bag:
        topics = find_topics(bag)
    print(f"bag      {path}: {topics.image}")
    log = options.out / "node.log"
    with (
        closing(Listener()) as listener,
        running(log, "node", *node_arguments(topics, options)) as node,
    ):
        wait_until_active(node, log)
        with start_page(topics, options.out) if options.view else nullcontext() as page:
            replay(path, options)
            wait_until_quiet(listener)
            code = show(listener, options.out, peak_resident_bytes(node.pid))
            if page:
                keep_open(page)
    return code


def default_bag(out: Path, frames: int) -> Path:
    """The synthetic room, rendered at the first run."""
    path = out / f"demo_room_{frames}"
    if not path.exists():
        write_demo_bag(
            path, frames=frames, progress=lambda i: report(f"room     frame {i} of {frames}")
        )
        print()
    return path


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
        "scene.enabled": str(options.view).lower(),  # the page's buttons make a mesh of it
    }
    pairs = [word for name, v in parameters.items() for word in ("-p", f"{name}:={v}")]
    return ["--ros-args", *pairs, *topics.remappings]


@contextmanager
def running(log: Path, command: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Another command of this package, which ends with the demo, however that ends."""
    process = start_in_background(log, f"da3_ros.commands.{command}", *arguments)
    try:
        yield process
    finally:
        end(process)


def wait_until_active(node: subprocess.Popen, log: Path) -> None:
    """Until the model is loaded and the node subscribes."""
    begin = time.monotonic()
    while "active: waiting" not in log.read_text():
        if node.poll() is not None:
            raise DemoError(f"the node did not start: {last_line(log)}")
        if time.monotonic() - begin > START_TIMEOUT:
            raise DemoError(f"the node was not active after {START_TIMEOUT:.0f} s; see {log}")
        report(f"node     loading the model, {time.monotonic() - begin:.0f} s")
        time.sleep(0.2)
    report("node     active")
    print()


@contextmanager
def start_page(topics: BagTopics, out: Path) -> Iterator[subprocess.Popen]:
    """da3_view beside the node; its address is printed."""
    log = out / "view.log"
    with running(log, "view", "--world-frame", topics.world_frame or "odom") as page:
        begin = time.monotonic()
        while "open http" not in log.read_text():
            if page.poll() is not None:
                raise DemoError(f"the page did not start: {last_line(log)}")
            if time.monotonic() - begin > START_TIMEOUT:
                raise DemoError(f"the page did not start; see {log}")
            time.sleep(0.1)
        print(f"page     {last_line(log)}")
        yield page


def keep_open(page: subprocess.Popen) -> None:
    """Node and page stay until Ctrl-C."""
    print("\nThe page stays open, its buttons work; Ctrl-C ends.")
    page.wait()


def replay(path: Path, options: argparse.Namespace) -> None:
    """Run da3_play to its end."""
    log = options.out / "play.log"
    arguments = ("--clock", "--wait", "30", "--rate", str(options.rate))
    with running(log, "play", str(path), *arguments) as player:
        begin = time.monotonic()
        while player.poll() is None:
            report(f"player   {time.monotonic() - begin:.0f} s")
            time.sleep(0.2)
        print()
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
    return sum(np.median(times) for times in listener.stages.values()) / 1e3


def end(process: subprocess.Popen) -> None:
    """Terminate, and make sure."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def show(listener: Listener, out: Path, peak_memory: int) -> int:
    """Pictures and table; 0 when something was published."""
    if listener.status is None:
        raise DemoError(f"nothing was heard of the node; see {out / 'node.log'}")
    print_table(listener, peak_memory)
    if listener.depth is None or listener.rgb is None:
        raise DemoError(f"no depth was published: {listener.status.reason or 'see the table'}")
    points, colors = listener.cloud()
    pictures = {
        "depth.png": draw_depth(listener.depth),
        "rgb.png": listener.rgb,
        "cloud_from_above.png": draw_from_above(points, colors, listener.path()),
    }
    for name, rgb in pictures.items():
        cv2.imwrite(str(out / name), rgb[..., ::-1])
    print("pictures", ", ".join(str(out / name) for name in pictures))
    if "random weights" in listener.status.model:
        print("\nThe weights are random: nothing was trained, so the depth means nothing yet.")
    return 0


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
    rows += [(f"{stage}, ms", f"{np.median(ms):.0f}") for stage, ms in listener.stages.items()]
    rows.append(("peak memory, MB", peak_memory >> 20))
    print()
    for name, value in rows:
        print(f"{name:<28}{value}")
    print()


def report(text: str) -> None:
    """One line that the next one overwrites; nothing where there is no terminal."""
    if sys.stdout.isatty():
        print(f"\r{text:<60}", end="", flush=True)


def last_line(path: Path) -> str:
    """Last line of a log, without the ROS prefix."""
    lines = path.read_text().strip().splitlines()
    return lines[-1].split("]: ")[-1] if lines else "it printed nothing"


if __name__ == "__main__":
    sys.exit(main())
