"""Finds the camera of a bag or a graph: which topics and frames the node needs to be told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from da3_ros.ros.topics.choose_camera import MOST_NAMED, Camera, choose_camera
from da3_ros.ros.topics.message_source import MessageSource, chosen_topic
from da3_ros.ros.topics.tf_tree import TfTree, is_static

USUAL_WORLDS = ("odom", "map", "world")
MOST_IMAGES, MOST_FRAMES = 300, 3
"""Images that are looked at, and their frames, where TF does not reach that of the first."""

NO_TRANSFORMS = (
    "there are no transforms: without poses the world is the camera's own, and depth is in metres "
    "only where the model itself is metric"
)


@dataclass(frozen=True)
class Choice:
    """Topics and fixed frame that the user has chosen; what is empty is found.

    pose_source: `pose.source` where the user has set it. anchor_...: of points known in metres
    (bags/find_anchors.py).
    """

    image: str = ""
    camera_info: str = ""
    tf: tuple[str, ...] = ()
    odometry: str = ""
    world_frame: str = ""
    pose_source: str = ""
    anchor_points: str = ""
    anchor_depth: str = ""
    anchor_camera_info: str = ""


@dataclass(frozen=True)
class BagTopics:
    """One camera of a bag or a graph.

    tf: topics of transforms, those of static ones last. world_frame: None where no transforms
    lead to the camera, and `gap` says why, or is empty where there are no transforms at all.
    size: (height, width) of the first image in pixels, zeros where it cannot be read. notes: what
    else could have been meant, in sentences.
    """

    image: str
    camera_info: str
    compressed: bool
    frame_id: str
    world_frame: str | None
    tf: tuple[str, ...] = ("/tf", "/tf_static")
    gap: str = ""
    size: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()

    @property
    def remappings(self) -> list[str]:
        """ROS arguments that connect the node's topics to these."""
        image = "image/compressed" if self.compressed else "image"
        pairs = ((image, self.image), ("camera_info", self.camera_info))
        return [word for old, new in pairs for word in ("-r", f"{old}:={new}")]


def find_topics(source: MessageSource, choice: Choice = Choice(), name: str = "") -> BagTopics:
    """The chosen camera, or the first one in color that has a camera info of its own.

    name: of a camera of a rig; image topics without that word are not looked at.
    Raises `TopicError` saying what is missing.
    """
    info = chosen_topic("--camera-info", choice.camera_info, source.topics_of(CameraInfo))
    camera, notes = choose_camera(source, image=choice.image, info=info, name=name)
    tf = _find_tf(source, choice.tf)
    frame_id, world, gap = _reach(source, tf, camera, choice.world_frame)
    if not (world or gap or choice.pose_source == "odometry"):
        notes.append(_no_transforms(source, choice))
    return BagTopics(
        image=camera.topic,
        camera_info=info or camera.info,
        compressed=camera.compressed,
        frame_id=frame_id,
        world_frame=world,
        tf=tf,
        gap=gap,
        size=camera.size,
        notes=tuple(notes),
    )


def _no_transforms(source: MessageSource, choice: Choice) -> str:
    odometries = "" if choice.pose_source else ", ".join(source.topics_of(Odometry)[:MOST_NAMED])
    use = f"; there is odometry, whose poses pose.source: odometry takes: {odometries}"
    return NO_TRANSFORMS + (use if odometries else "")


def _reach(
    source: MessageSource, tf: tuple[str, ...], camera: Camera, wanted: str
) -> tuple[str, str | None, str]:
    """The frame of the camera's images, and a fixed frame above it, or why there is none.

    Some drivers send a few images before they know their parameters: where TF does not reach the
    frame of the first image, it is that of most of the others, if TF reaches that.
    """
    world, gap = _find_world(source, tf, camera.frame_id, wanted)
    if not gap:
        return camera.frame_id, world, gap
    recorded = islice(source.messages(camera.topic), MOST_IMAGES)
    counts = Counter(f for *_, msg in recorded if (f := msg.header.frame_id))
    for frame_id, _ in counts.most_common(MOST_FRAMES):
        other, other_gap = _find_world(source, tf, frame_id, wanted)
        if not other_gap:
            return frame_id, other, other_gap
    return camera.frame_id, world, gap


def _find_tf(source: MessageSource, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Topics of transforms; a chosen .../tf brings its .../tf_static along."""
    there = source.topics_of(TFMessage)
    for topic in chosen:
        chosen_topic("--tf", topic, there)
    wanted = chosen or ("/tf", "/tf_static")
    wanted = dict.fromkeys((*wanted, *(f"{topic}_static" for topic in wanted)))
    return tuple(sorted((t for t in wanted if t in there), key=is_static))


def _find_world(
    source: MessageSource, topics: tuple[str, ...], frame_id: str, wanted: str
) -> tuple[str | None, str]:
    """A fixed frame above the camera: the wanted one, a usual name, or the root of the tree;
    and where there is none, why.
    """
    frame, wanted = frame_id.lstrip("/"), wanted.lstrip("/")
    tree = TfTree()
    for topic, _, msg in source.messages(*topics):
        if tree.add(msg, static=is_static(topic)) and _is_found(tree, frame, wanted):
            break
    if not tree.parents:
        others = [t for t in source.topics_of(TFMessage) if t not in topics]
        listed = f"there are no transforms on /tf, but on {', '.join(others)}: choose with --tf"
        return None, listed if others else ""
    gap = tree.why_not(frame, USUAL_WORLDS, wanted)
    if gap:
        static = "" if any(map(is_static, topics)) else "; was /tf_static recorded?"
        return None, f"TF does not reach the camera: {gap}{static}"
    ancestors = tree.ancestors(frame)
    usual = [name for name in USUAL_WORLDS if name in ancestors]
    return (wanted or (usual or ancestors[-1:])[0]), ""


def _is_found(tree: TfTree, frame: str, wanted: str) -> bool:
    if wanted:
        return wanted in tree.connected(frame)
    return any(name in USUAL_WORLDS for name in tree.ancestors(frame))
