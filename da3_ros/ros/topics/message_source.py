"""What topics are looked for in, and topics that the user names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from da3_ros.ros.topics.topic_error import TopicError

FIRST = 3
"""Messages of a topic that are looked at, to tell what it holds."""


class MessageSource(Protocol):
    """What a camera is looked for in: a bag, or what was heard on a graph.

    what: itself in words, `the bag`.
    """

    what: str

    def topics_of(self, cls: type) -> list[str]:
        """Names of the topics of a message class, in order."""

    def messages(self, *topics: str) -> Iterator[tuple[str, int, object]]:
        """Topic, time in ns and message of the topics named, in order of time."""


def first_messages(source: MessageSource, topic: str) -> list:
    """Those of one topic."""
    return [msg for _, _, msg in islice(source.messages(topic), FIRST)]


def chosen_topic(option: str, topic: str, topics: list[str]) -> str:
    """The topic that an option names. Raises `TopicError` when it is not among those there."""
    if topic and topic not in topics:
        raise TopicError(f"{option} {topic}: there are {', '.join(topics) or 'none of this kind'}")
    return topic
