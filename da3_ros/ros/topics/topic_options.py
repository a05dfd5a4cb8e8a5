"""Command line options that choose the topics of a bag, or of a graph."""

from __future__ import annotations

import argparse

from da3_ros.ros.topics.find_camera import Choice


def add_topic_options(parser: argparse.ArgumentParser) -> None:
    """Add --image, --camera-info, --tf and --odometry."""
    add = parser.add_argument
    of_rig = {"action": "append", "default": [], "metavar": "TOPIC"}
    add(
        "--image",
        **of_rig,
        help="default: the first color camera; for a rig once for each: NAME=TOPIC",
    )
    add("--camera-info", **of_rig, help="default: the one named most alike; for a rig: NAME=TOPIC")
    add("--tf", nargs="+", default=[], metavar="TOPIC", help="transforms; default: /tf, /tf_static")
    add("--odometry", default="", metavar="TOPIC", help="for pose.source odometry")


def add_anchor_options(parser: argparse.ArgumentParser) -> None:
    """Add --anchor-points, --anchor-depth and --anchor-camera-info."""
    add = parser.add_argument
    what = "points known in metres; default: .../anchor/"
    add("--anchor-points", default="", metavar="TOPIC", help=f"{what}points")
    add("--anchor-depth", default="", metavar="TOPIC", help=f"{what}depth")
    add("--anchor-camera-info", default="", metavar="TOPIC", help="of --anchor-depth")


def chosen_topics(options: argparse.Namespace, world_frame: str = "") -> Choice:
    """What was read. world_frame: pose.world_frame where the user has set it."""
    return Choice(
        image=" ".join(options.image),
        camera_info=" ".join(options.camera_info),
        tf=tuple(options.tf),
        odometry=options.odometry,
        world_frame=world_frame,
        **{name: value for name, value in vars(options).items() if name.startswith("anchor_")},
    )
