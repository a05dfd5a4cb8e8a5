"""Finds the camera of a bag or a graph: which topics and frames the node needs to be told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from da3_ros.ros.rectifier import baseline
from da3_ros.ros.topics.camera_infos import frames_of
from da3_ros.ros.topics.choose_camera import MOST_NAMED, Camera, choose_camera
from da3_ros.ros.topics.find_world import World, find_world
from da3_ros.ros.topics.message_source import MessageSource, chosen_topic, first_messages
from da3_ros.ros.topics.tf_tree import is_static

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
    odometry_world: the same for pose.source odometry; empty where it is not known. still: what to
    say where TF never moves the camera in `world_frame`.
    size: (height, width) of the first image in pixels, zeros where it cannot be read.
    first_frames: of all cameras there that stand in their frame's origin (`StereoFrames`). notes:
    what else could have been meant, in sentences.
    """

    image: str
    camera_info: str
    compressed: bool
    frame_id: str
    world_frame: str | None
    tf: tuple[str, ...] = ("/tf", "/tf_static")
    gap: str = ""
    odometry_world: str = ""
    still: str = ""
    size: tuple[int, int] = (0, 0)
    first_frames: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def world_of(self, source: str) -> str | None:
        """The frame that poses of a pose.source are in."""
        return self.odometry_world or None if source == "odometry" else self.world_frame

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
    frame_id, world = _reach(source, tf, camera, choice)
    if not (world.frame or world.gap or choice.pose_source == "odometry"):
        notes.append(_no_transforms(source, choice))
    return BagTopics(
        image=camera.topic,
        camera_info=info or camera.info,
        compressed=camera.compressed,
        frame_id=frame_id,
        world_frame=world.frame,
        tf=tf,
        gap=world.gap,
        odometry_world=world.of_odometry,
        still=world.still,
        size=camera.size,
        first_frames=_first_frames(source),
        notes=tuple(notes),
    )


def _first_frames(source: MessageSource) -> frozenset[str]:
    infos = (i for t in source.topics_of(CameraInfo) for i in first_messages(source, t))
    return frames_of([info for info in infos if not baseline(info)])


def _no_transforms(source: MessageSource, choice: Choice) -> str:
    odometries = "" if choice.pose_source else ", ".join(source.topics_of(Odometry)[:MOST_NAMED])
    use = f"; there is odometry, whose poses pose.source: odometry takes: {odometries}"
    return NO_TRANSFORMS + (use if odometries else "")


def _reach(
    source: MessageSource, tf: tuple[str, ...], camera: Camera, choice: Choice
) -> tuple[str, World]:
    """The frame of the camera's images, and the world that it moves in.

    Some drivers send a few images before they know their parameters: where TF does not reach the
    frame of the first image, it is that of most of the others, if TF reaches that.
    """
    world = find_world(source, tf, camera.frame_id, choice)
    if not world.gap:
        return camera.frame_id, world
    recorded = islice(source.messages(camera.topic), MOST_IMAGES)
    frames = (msg.header.frame_id for *_, msg in recorded)
    counts = Counter(f for f in frames if f not in ("", camera.frame_id))
    for frame_id, _ in counts.most_common(MOST_FRAMES):
        other = find_world(source, tf, frame_id, choice)
        if not other.gap:
            return frame_id, other
    return camera.frame_id, world


def _find_tf(source: MessageSource, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Topics of transforms; a chosen .../tf brings its .../tf_static along."""
    there = source.topics_of(TFMessage)
    for topic in chosen:
        chosen_topic("--tf", topic, there)
    wanted = chosen or ("/tf", "/tf_static")
    wanted = dict.fromkeys((*wanted, *(f"{topic}_static" for topic in wanted)))
    return tuple(sorted((t for t in wanted if t in there), key=is_static))
