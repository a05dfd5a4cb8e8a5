"""Finds the fixed frame that a camera moves in, among the transforms of a bag or a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nav_msgs.msg import Odometry
from tf2_msgs.msg import TFMessage

from da3_ros.ros.topics.tf_tree import TfTree, is_static

if TYPE_CHECKING:
    from da3_ros.ros.topics.find_camera import Choice
    from da3_ros.ros.topics.message_source import MessageSource

USUAL_WORLDS = ("odom", "map", "world")
OWN_FRAMES = ("base_link", "base_footprint")
"""Names of a robot's own frame (REP-105): it is never the world that the robot moves in."""


@dataclass(frozen=True)
class World:
    """The frame that poses are in.

    frame: of TF; None where no transforms lead to the camera, and `gap` says why, or is empty
    where there are no transforms at all. of_odometry: of the poses of nav_msgs/Odometry, the
    wanted one first; empty where there is no such topic, or several. still: a sentence where
    no transform ever moves the camera in `frame`.
    """

    frame: str | None
    gap: str = ""
    of_odometry: str = ""
    still: str = ""


@dataclass(frozen=True)
class _Odometry:
    topic: str
    parent: str
    child: str


def find_world(
    source: MessageSource, topics: tuple[str, ...], frame_id: str, choice: Choice
) -> World:
    """The wanted frame, one of a usual name, or the root of the camera's tree.

    topics: of transforms. A frame that the camera never moves in is one only where nothing says
    that it moves at all: else the mount would stand in for the pose that is missing.
    """
    frame, wanted = frame_id.lstrip("/"), choice.world_frame.lstrip("/")
    odometries = _odometries(source, choice.odometry)
    of_odometry = wanted or (odometries[0].parent if len(odometries) == 1 else "")
    tree = _read(source, topics, frame, wanted)
    if not tree.parents:
        others = [t for t in source.topics_of(TFMessage) if t not in topics]
        listed = f"there are no transforms on /tf, but on {', '.join(others)}: choose with --tf"
        return World(None, listed if others else "", of_odometry)
    if gap := tree.why_not(frame, USUAL_WORLDS, wanted):
        static = "" if any(map(is_static, topics)) else "; was /tf_static recorded?"
        gap = f"TF does not reach the camera: {gap}{static}"
        return World(None, gap + _instead(odometries), of_odometry)
    world = wanted or _choose(tree, frame)
    if tree.moves(frame, world):
        return World(world, "", of_odometry)
    on_way = [o for o in odometries if o.child in (frame, *tree.ancestors(frame))]
    if not wanted and (on_way or _is_own(world)):
        gap = f"TF holds '{frame}' fixed in '{world}', and nothing on it says how that moves"
        return World(None, gap + _instead(on_way), of_odometry)
    return World(world, "", of_odometry, _still(frame, world) + _instead(on_way))


def _odometries(source: MessageSource, chosen: str) -> list[_Odometry]:
    found = []
    for topic in source.topics_of(Odometry):
        first = next(source.messages(topic), None) if chosen in ("", topic) else None
        if first:
            msg = first[2]
            frames = msg.header.frame_id.lstrip("/"), msg.child_frame_id.lstrip("/")
            found.append(_Odometry(topic, *frames))
    return found


def _read(source: MessageSource, topics: tuple[str, ...], frame: str, wanted: str) -> TfTree:
    """The transforms, no more of them than it takes to find the world."""
    tree = TfTree()
    for topic, _, msg in source.messages(*topics):
        if tree.add(msg, static=is_static(topic)) and _is_found(tree, frame, wanted):
            break
    return tree


def _is_found(tree: TfTree, frame: str, wanted: str) -> bool:
    reached = tree.connected(frame) if wanted else tree.ancestors(frame)
    worlds = [name for name in ([wanted] if wanted else USUAL_WORLDS) if name in reached]
    return any(tree.moves(frame, world) for world in worlds)


def _choose(tree: TfTree, frame: str) -> str:
    ancestors, connected = tree.ancestors(frame), tree.connected(frame)
    usual = [name for name in USUAL_WORLDS if name in ancestors]
    # Some programs hang the world below the robot: a frame has one parent only.
    usual += [name for name in USUAL_WORLDS if name in connected and tree.moves(frame, name)]
    return (usual or ancestors[-1:])[0]


def _is_own(frame: str) -> bool:
    return frame.rpartition("/")[2] in OWN_FRAMES


def _instead(odometries: list[_Odometry]) -> str:
    said = [f"{o.topic} says where '{o.child}' is in '{o.parent}'" for o in odometries]
    return f"; {', '.join(said)}: pose.source: odometry uses it" if said else ""


def _still(frame: str, world: str) -> str:
    if frame == world:
        return f"'{world}' is the camera's own frame: as pose.world_frame it says nothing of motion"
    return (
        f"TF never moves the camera, '{frame}', in '{world}': if it did move, choose a frame that "
        "it moves in (pose.world_frame), or pose.source: none"
    )
