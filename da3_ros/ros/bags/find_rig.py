"""The cameras of a rig in a bag: those whose topics carry the names of `input.cameras`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from da3_ros.ros.bags.bag import BagError
from da3_ros.ros.topics.find_camera import BagTopics, Choice, find_topics
from da3_ros.ros.topics.message_source import MessageSource
from da3_ros.ros.topics.topic_error import TopicError


def find_cameras(
    bag: MessageSource,
    names: Sequence[str],
    choice: Choice = Choice(),
) -> dict[str, BagTopics]:
    """Topics by the name of the camera; a single camera may have any topic.

    choice: of the user; image and camera info of a rig are `front=/topic left=/topic`, and cameras
    that it does not name are found. Raises `TopicError` saying what is missing.
    """
    if len(names) == 1:
        return {names[0]: find_topics(bag, choice)}
    images = _by_name("--image", choice.image, names)
    infos = _by_name("--camera-info", choice.camera_info, names)
    found = {}
    for name in names:
        own = replace(choice, image=images.get(name, ""), camera_info=infos.get(name, ""))
        try:
            found[name] = find_topics(bag, own, "" if own.image else name)
        except TopicError as error:
            raise BagError(f"input.cameras names a rig; camera '{name}': {error}") from error
    _check_infos(found, set(infos))
    return found


def _check_infos(found: dict[str, BagTopics], chosen: set[str]) -> None:
    """Raise `BagError` where two cameras would share a camera info that nobody has chosen."""
    users: dict[str, list[str]] = {}
    for name, topics in found.items():
        users.setdefault(topics.camera_info, []).append(name)
    for topic, names in users.items():
        if len(names) > 1 and not chosen.issuperset(names):
            raise BagError(
                f"input.cameras names a rig; {topic} would be the camera_info of "
                f"{' and '.join(names)}: record one for each, or choose with --camera-info "
                + " ".join(f"{name}=TOPIC" for name in names)
            )


def _by_name(option: str, value: str, names: Sequence[str]) -> dict[str, str]:
    """Topic by the name of the camera. Raises `BagError` where a name is missing or unknown."""
    pairs = [part.partition("=") for part in value.split()]
    if any(not topic or name not in names for name, _, topic in pairs):
        example = " ".join(f"{name}=TOPIC" for name in names)
        raise BagError(f"input.cameras names a rig: {option} {example}, not {option} {value}")
    return {name: topic for name, _, topic in pairs}
