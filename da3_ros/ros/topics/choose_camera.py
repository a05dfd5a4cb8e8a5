"""Which image topic is the camera, where several hold pictures.

Color counts for less than a camera info of its own: detectors, trackers and segmentations
publish pictures too, and those may be cut, scaled, or labels.
"""

from __future__ import annotations

from dataclasses import dataclass

from sensor_msgs.msg import CompressedImage, Image

from da3_ros.ros.images import ImageError, NoPictureError, decode
from da3_ros.ros.topics.camera_infos import Belongs, CameraInfos, folder, frames_of
from da3_ros.ros.topics.message_source import MessageSource, chosen_topic, first_messages
from da3_ros.ros.topics.topic_error import TopicError

COLOR, GREY, DEEP_GREY, UNREADABLE = range(4)
"""Kinds of camera pictures, the preferred first; 16-bit grey is thermal or depth, mostly."""
ONE_CHANNEL = ("mono8", "8UC1")
"""How the encodings of grey pictures begin."""
USUAL_WORDS = {"camera", "color", "gray", "grey", "image", "mono", "raw", "rect", "rgb"}
"""Of these the topics of drivers are named: image_raw, image_rect_color."""
MOST_NAMED = 6
"""Topics listed in a sentence."""


@dataclass(frozen=True)
class Camera:
    """An image topic. frame_id: of the first image that has one. size: (height, width) in px,
    zeros where it cannot be read. info: topic of the camera info that suits it best, if any.
    """

    topic: str
    kind: int
    frame_id: str
    compressed: bool
    size: tuple[int, int]
    info: str | None
    belongs: Belongs


def choose_camera(
    source: MessageSource, *, image: str = "", info: str = "", name: str = ""
) -> tuple[Camera, list[str]]:
    """The camera, and what else could have been meant, in sentences.

    image, info: topics that the user has chosen. name: one or several whole words of the image
    topics that are looked at. Raises `TopicError` saying what is missing.
    """
    topics = [*source.topics_of(Image), *source.topics_of(CompressedImage)]
    wanted = [topic for topic in topics if f"/{name.strip('/')}/" in topic] if name else topics
    if image and image not in wanted and f"{image}/compressed" in wanted:
        image = f"{image}/compressed"
    if image:
        wanted = [chosen_topic("--image", image, wanted)]
    infos = CameraInfos(source, topics)
    cameras, no_pictures = [], []
    for topic in wanted:
        try:
            cameras.append(_look_at(source, topic, infos))
        except (NoPictureError, TopicError) as error:
            no_pictures.append(f"{topic}: {error}")
    if not cameras:
        why = f"; {'; '.join(no_pictures)}" if no_pictures else ""
        missing = "no color images" if not image else "no camera pictures there"
        raise TopicError(f"{source.what} has {missing} (sensor_msgs/Image or CompressedImage){why}")
    camera, *others = sorted(cameras, key=lambda c: _rank(c, has_info=bool(info)))
    if not info:
        _check_info(source, camera)
    return camera, _notes(camera, others, is_free=not (image or name))


def _look_at(source: MessageSource, topic: str, infos: CameraInfos) -> Camera:
    """The camera of an image topic. Raises `NoPictureError` when it says that it is not one."""
    messages = first_messages(source, topic)
    if not messages:
        raise TopicError("no message of it can be read")
    kind, size = min(map(_kind, messages), key=lambda k: k[0])
    frame_id = next((f for msg in messages if (f := msg.header.frame_id)), "")
    info, belongs = infos.best(topic, frames_of(messages), size)
    return Camera(topic, kind, frame_id, _is_compressed(messages[0]), size, info, belongs)


def _kind(msg: Image | CompressedImage) -> tuple[int, tuple[int, int]]:
    """Kind and (height, width). Raises `NoPictureError` for what is not a camera picture."""
    name = msg.format if _is_compressed(msg) else msg.encoding
    try:
        rgb = decode(msg)
    except NoPictureError:
        raise
    except ImageError:
        return UNREADABLE, (0, 0)
    is_unnamed = _is_compressed(msg) and ";" not in name
    is_grey = name.startswith(ONE_CHANNEL) or is_unnamed and (rgb == rgb[..., :1]).all()
    kind = DEEP_GREY if name.startswith("mono16") else GREY if is_grey else COLOR
    return kind, rgb.shape[:2]


def _is_compressed(msg: Image | CompressedImage) -> bool:
    return isinstance(msg, CompressedImage)


def _rank(camera: Camera, *, has_info: bool) -> tuple:
    """The smallest is taken. has_info: the user has chosen the camera info."""
    name = camera.topic.removesuffix("/compressed").rpartition("/")[2]
    is_usual = USUAL_WORDS.issuperset(name.split("_"))
    is_beside = camera.info is not None and folder(camera.topic) == folder(camera.info)
    belongs = Belongs.OWN if has_info else camera.belongs
    order = camera.kind, not is_beside, not is_usual, camera.compressed, camera.topic
    return camera.kind == UNREADABLE, belongs, *order


def _check_info(source: MessageSource, camera: Camera) -> None:
    if camera.info is None:
        raise TopicError(
            f"{source.what} has images on {camera.topic} but no sensor_msgs/CameraInfo"
        )
    if camera.belongs is Belongs.FOREIGN:
        raise TopicError(
            f"{camera.topic} has no camera_info of its own: {camera.info} has another frame_id and "
            f"belongs to the images beside it; --camera-info {camera.info} takes it nevertheless"
        )


def _notes(taken: Camera, others: list[Camera], *, is_free: bool) -> list[str]:
    """is_free: the user has not said which camera is meant."""
    notes = []
    others = [c for c in others if c.kind != UNREADABLE and _picture(c) != _picture(taken)]
    if is_free and taken.kind in (GREY, DEEP_GREY):
        note = f"no camera is in color: the grey images of {taken.topic} are taken"
        if any(c.kind == COLOR for c in others):
            note = (
                "no camera in color has its own camera_info: the grey images of "
                f"{taken.topic} are taken"
            )
        notes.append(note)
    if rivals := [c.topic for c in others]:
        more = f" and {len(rivals) - MOST_NAMED} more" if len(rivals) > MOST_NAMED else ""
        listed = ", ".join(rivals[:MOST_NAMED])
        notes.append(f"takes {taken.topic}; other pictures, for --image: {listed}{more}")
    return notes


def _picture(camera: Camera) -> str:
    """One for both transports of the same."""
    return camera.topic.removesuffix("/compressed")
