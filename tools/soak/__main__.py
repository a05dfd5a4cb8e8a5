"""A long day in minutes: a real node, a looped bag with jumps in time, laws that must hold.

    python -m tools.soak --minutes 30 [--out out/soak]

Three processes on a ROS graph of their own: node, player (tools/soak/player.py) and this
one, which subscribes. Prints a table; exit code 1 when a law is broken:

    in = published + dropped by reason + pending, in every single status message
    every image sent was counted, every depth counted was received, once
    something is published after every jump in time
    memory, threads, files and shared memory flat after the warm-up
    no traceback; SIGINT ends the node with exit code 0 within 2 s, its shared memory freed

    python -m tools.soak --hostile --minutes 10

The same without jumps in time, and somebody on the graph who means no good (tools/soak/hostile.py):

    in = published + dropped + pending; the status is never silent for more than 2 s
    at least 90 % of the depth images of the calm seconds of each minute
    memory flat; no traceback; the log is short, and no line of it is forged

    --size 1280x720 --cameras front left right back

Larger pictures, and a rig.

    python -m tools.soak --fuzz 10000

Instead, so many random messages, of hypothesis, at each of image, camera info and TF: the node
lives, counts every refusal by its reason and says it in words.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from da3_ros.core.child_process import start_in_background
from da3_ros.ros.demo.bag import write_demo_bag
from da3_ros.ros.transport import keep_to_this_machine, use_large_message_profile
from tools.soak import blocked_node, fuzz
from tools.soak.hostile import FILLED
from tools.soak.hostile_laws import broken_by_hostility, hostile_table
from tools.soak.laws import Run, broken_laws, table
from tools.soak.listener import SoakListener

PERIOD = 10.0
BLOCK = "blocked"
QUEUE = 100
SHARE = 0.8
"""Of the node's queues of images, which is filled once, at the beginning: more would be lost."""
AS_BEFORE = 20
"""Depth images until the node has caught up."""
FRAMES = 150
PARAMETERS = {
    "use_sim_time": "true",
    "model.name": "da3-demo",
    "model.device": "cpu",
    "model.process_res": 56,
    # Nothing may get lost before the node, also when the machine is busy for seconds.
    "input.reliability": "reliable",
    "input.queue_size": QUEUE,
    "pose.source": "tf",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=15.0, help="images per second")
    parser.add_argument("--fuzz", type=int, metavar="N", help="random messages instead of a bag")
    parser.add_argument("--hostile", action="store_true", help="with somebody who means no good")
    parser.add_argument("--size", default="320x240", help="of the pictures")
    parser.add_argument("--cameras", nargs="+", default=[""], help="names of a rig's cameras")
    parser.add_argument("--out", type=Path, default=Path("out/soak"), help="folder of logs")
    options = parser.parse_args()
    use_large_message_profile()
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    keep_to_this_machine()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.fuzz:
        return soak_in_noise(options)
    run = soak(options)
    write_samples(run, options.out / "samples.csv")
    if options.hostile:
        return report(hostile_table(run), broken_by_hostility(run))
    return report(table(run), broken_laws(run))


def report(table: str, broken: list[str]) -> int:
    """Print; the exit code."""
    print(table)
    for sentence in broken:
        print(f"BROKEN: {sentence}")
    return 1 if broken else 0


def soak(options: argparse.Namespace) -> Run:
    """Play, listen and sample, then stop the player and the node, in this order."""
    bag = options.out / f"room_{FRAMES}"
    if not bag.exists():
        write_demo_bag(bag, frames=FRAMES)
    listener = SoakListener(options.cameras)
    node = start_node(options.out / "node.log", node_parameters(options))
    player = start_in_background(
        options.out / "player.log", "tools.soak.player", str(bag), *playing(options)
    )
    processes = [node, player]
    run = Run(node.pid, listener)

    def all_alive() -> None:
        check_alive(processes, options.out)

    try:
        run.wait_for_depth(all_alive)
        with blocked(options.out):
            if options.hostile:
                processes.append(start_hostile(options.out / "hostile.log", all_alive))
            else:
                time.sleep(SHARE * QUEUE / options.rate)
        run.wait_for_depth(all_alive, AS_BEFORE)
        run.watch(60 * options.minutes, PERIOD, all_alive)
        for process in processes[:0:-1]:
            end(process, signal.SIGINT)
        run.note_sent((options.out / "player.log").read_text())
        run.note_end_of_input(listener.wait_until_settled())
        run.note_exit(*end(node, signal.SIGINT), (options.out / "node.log").read_text())
    finally:
        for process in processes:
            process.kill()
            process.wait()
        listener.close()
    run.note_empty_graph()
    return run


def playing(options: argparse.Namespace) -> list[str]:
    """Arguments of the player."""
    chosen = ["--rate", str(options.rate), "--size", options.size, "--cameras", *options.cameras]
    return [*chosen, "--live"] if options.hostile else chosen


def node_parameters(options: argparse.Namespace) -> dict:
    """Of the node: of the kind of soak."""
    parameters = {**PARAMETERS, "input.cameras": json.dumps(options.cameras)}
    if options.hostile:  # exports and meshes are asked for, too
        folder = str((options.out / "exports").resolve())
        parameters |= {"use_sim_time": "false", "export.directory": folder}
    return parameters


def soak_in_noise(options: argparse.Namespace) -> int:
    """Random messages; returns the exit code."""
    parameters = {**PARAMETERS, **fuzz.PARAMETERS, "use_sim_time": "false"}
    log = options.out / "fuzz.log"
    listener = SoakListener()
    node = start_node(log, parameters)
    try:
        sender = fuzz.fuzz(listener, options.fuzz)
        status = listener.wait_until_settled()
        code, seconds = end(node, signal.SIGINT)
        broken = fuzz.broken_laws(sender, status, listener, log.read_text())
    finally:
        node.kill()
        node.wait()
        listener.close()
    if code != 0:
        broken.append(f"the node ended with exit code {code} after {seconds:.1f} s")
    return report(fuzz.table(sender, status), broken)


def start_node(log: Path, parameters: dict) -> subprocess.Popen:
    """The node with these parameters; its callbacks wait while there is a file `BLOCK`."""
    block = log.parent / BLOCK
    block.unlink(missing_ok=True)  # of a soak that was killed
    os.environ[blocked_node.VARIABLE] = str(block)
    pairs = [word for name, v in parameters.items() for word in ("-p", f"{name}:={v}")]
    return start_in_background(log, blocked_node.__name__, "--ros-args", *pairs)


@contextmanager
def blocked(out: Path) -> Iterator[None]:
    """The node's callbacks wait, and find in their queues what came meanwhile.

    A place in a queue of DDS keeps a buffer as large as the largest message that was ever there:
    what the queues can hold is held from now on, and growth is something else.
    """
    file = out / BLOCK
    file.touch()
    try:
        yield
    finally:
        file.unlink()


def start_hostile(log: Path, all_alive: Callable[[], None]) -> subprocess.Popen:
    """Somebody who means no good, once it has filled the queues of the node."""
    somebody = start_in_background(log, "tools.soak.hostile", "--fill", str(2 * QUEUE))
    while FILLED not in log.read_text():
        all_alive()
        if somebody.poll() is not None:
            sys.exit(f"the hostile program ended:\n{log.read_text()}")
        time.sleep(0.2)
    return somebody


def check_alive(processes: list[subprocess.Popen], out: Path) -> None:
    """Ends the soak with the last lines of the log of a process that is gone."""
    for name, process in zip(("node", "player", "hostile"), processes):
        if process.poll() is not None:
            lines = (out / f"{name}.log").read_text().splitlines()
            sys.exit("\n".join([*lines[-20:], f"the {name} ended with {process.returncode}"]))


def end(process: subprocess.Popen, number: int) -> tuple[int, float]:
    """Send a signal; exit code and seconds it took."""
    begin = time.monotonic()
    process.send_signal(number)
    return process.wait(30), time.monotonic() - begin


def write_samples(run: Run, path: Path) -> None:
    """All samples as CSV."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in dataclasses.fields(run.samples[0])])
        writer.writerows(dataclasses.astuple(sample) for sample in run.samples)


if __name__ == "__main__":
    sys.exit(main())
