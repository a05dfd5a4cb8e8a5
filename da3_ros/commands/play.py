"""da3_play: replay a rosbag2 into the graph where `ros2 bag play` does not exist."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from da3_ros.net.plain_text import LONGEST_SENTENCE, plain
from da3_ros.ros.bags.bag import BagError, BagReader
from da3_ros.ros.bags.player import Player
from da3_ros.ros.transport import use_large_message_profile

WAIT = 10.0
"""Seconds: without a wait the first images are lost while subscribers and player meet."""

SLOWEST = 0.001
"""Of `--rate`: then a minute takes 17 hours."""


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of da3_play."""
    parser = argparse.ArgumentParser("da3_play", description="Replay a rosbag2 (MCAP, sqlite3).")
    parser.add_argument("bag", help="folder of the bag, or its .mcap or .db3 file")
    parser.add_argument(
        "--rate", type=float, default=1.0, help="times faster than recorded (%(default)s)"
    )
    parser.add_argument("--clock", action="store_true", help="publish /clock")
    parser.add_argument("--loop", action="store_true", help="start over at the end")
    parser.add_argument(
        "--start-delay",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds before the first message",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT,
        metavar="S",
        help="wait so long for a subscriber (%(default)s s; 0: do not)",
    )
    options = parser.parse_args(arguments)
    if not SLOWEST <= options.rate < math.inf:
        parser.error(f"--rate is {options.rate}, must be above 0, at least {SLOWEST}")
    if not 0 <= options.start_delay < math.inf:
        parser.error(f"--start-delay is {options.start_delay}, must be 0 or more, and a number")
    if not options.wait >= 0:
        parser.error(f"--wait is {options.wait}, must be 0 or more")
    return options


def main() -> None:
    """Entry point of da3_play."""
    options = parse_arguments(remove_ros_args(sys.argv)[1:])
    use_large_message_profile()
    # rclpy's own handlers would end the context in the middle of a publish.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    # SIGINT too: Python leaves it ignored in what a script has put into the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with BagReader(options.bag) as bag:
            _run(Player(bag, rate=options.rate, clock=options.clock), options)
    except BagError as error:
        sys.exit(f"da3_play: {plain(str(error), LONGEST_SENTENCE)}")
    except KeyboardInterrupt:
        pass


def _run(player: Player, options: argparse.Namespace) -> None:
    time.sleep(options.start_delay)
    if options.wait and not player.wait_for_subscriber(options.wait):
        player.get_logger().warning("nobody has subscribed; playing all the same")
    while True:
        count = player.play()
        player.get_logger().info(f"played {count} messages")
        player.say_notes()
        if not options.loop or not count:  # of nothing there is no end
            break
    player.flush()


if __name__ == "__main__":
    main()
