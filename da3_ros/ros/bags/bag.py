"""rosbag2 folders and files (MCAP, sqlite3), read and written without a ROS installation."""

from __future__ import annotations

import importlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from rclpy.serialization import deserialize_message, serialize_message
from rosbags.interfaces import Connection, QosDurability
from rosbags.rosbag2 import Reader, ReaderError, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

TYPES = get_typestore(Stores.ROS2_KILTED)

DAMAGE = (
    *(ReaderError, OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError),
    *(AssertionError, struct.error),
)
"""What rosbags raises while it reads bytes that were never a bag, or are one no more."""


class BagError(RuntimeError):
    """A bag that is missing, broken, or holds nothing of use."""


def message_class(name: str) -> type | None:
    """Class of a message type such as `sensor_msgs/msg/Image`; None when not installed."""
    package, _, kind = name.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind, None)
    except ImportError:
        return None


def type_name(cls: type) -> str:
    """`sensor_msgs/msg/Image` of a message class."""
    return f"{cls.__module__.split('.')[0]}/msg/{cls.__name__}"


def is_latched(connection: Connection) -> bool:
    """Whether late subscribers are to get the topic's messages, as with /tf_static."""
    recorded = connection.ext.offered_qos_profiles
    if connection.topic == "/tf_static":
        return True
    return any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in recorded)


class BagReader:
    """An open bag, as a context manager. `path`: the folder or its .mcap or .db3 file.

    Raises `BagError` in one sentence.
    """

    def __init__(self, path: str | Path):
        self._path = Path(path)

    def __enter__(self) -> BagReader:
        try:
            self._reader = Reader(self._path)
            self._reader.open()
        except DAMAGE as error:
            raise BagError(f"cannot open bag {self._path}: {error}") from error
        return self

    def __exit__(self, *_) -> None:
        self._reader.close()

    @property
    def connections(self) -> list[Connection]:
        """Topics with their types and counts."""
        return self._reader.connections

    @property
    def start_ns(self) -> int:
        """Time of the first message."""
        return self._reader.start_time

    @property
    def end_ns(self) -> int:
        """Time of the last message."""
        return self._reader.end_time

    def topics_of(self, cls: type) -> list[str]:
        """Names of the topics of a message class, in order."""
        name = type_name(cls)
        return sorted({c.topic for c in self.connections if c.msgtype == name and c.msgcount})

    def raw_messages(
        self, connections: list[Connection]
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time in ns and serialized message, in order of time.

        Raises `BagError` where the file is damaged.
        """
        try:
            yield from self._reader.messages(connections)
        except DAMAGE as error:
            raise BagError(f"bag {self._path} is damaged: {error}") from error

    def messages(self, *topics: str) -> Iterator[tuple[str, int, object]]:
        """Topic, time in ns and message of the topics named."""
        connections = [c for c in self.connections if c.topic in topics]
        if not connections:
            return
        for connection, time_ns, raw in self.raw_messages(connections):
            cls = message_class(connection.msgtype)
            try:
                msg = deserialize_message(raw, cls)
            except RuntimeError as error:  # RMWError
                sentence = f"bag {self._path} is damaged: {connection.topic} holds no messages"
                raise BagError(sentence) from error
            yield connection.topic, time_ns, msg


METADATA = 8
"""Version of metadata.yaml: the newest that Humble reads; from 9 on QoS is no text any more."""


class BagWriter:
    """A new MCAP bag, as a context manager. Raises `BagError` when the folder exists."""

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> BagWriter:
        if self._path.exists():
            raise BagError(f"{self._path} exists already; remove it or choose another folder")
        self._writer = Writer(self._path, version=METADATA, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        return self

    def __exit__(self, *_) -> None:
        self._writer.close()

    def write(self, topic: str, time_ns: int, msg) -> None:
        """Append one message."""
        connection = self._connections.get(topic) or self._add(topic, type(msg))
        # rclpy leaves the bytes between fields as they were; a second pass makes them zero.
        decoded = TYPES.deserialize_cdr(serialize_message(msg), connection.msgtype)
        self._writer.write(connection, time_ns, TYPES.serialize_cdr(decoded, connection.msgtype))

    def _add(self, topic: str, cls: type) -> Connection:
        name = type_name(cls)
        if name not in TYPES.fielddefs:
            TYPES.register(get_types_from_msg(definition(cls), name))
        connection = self._writer.add_connection(topic, name, typestore=TYPES)
        return self._connections.setdefault(topic, connection)


def definition(cls: type) -> str:
    """The lines of a .msg file, from the fields of a message class without constants."""
    fields = cls.get_fields_and_field_types().items()
    return "\n".join(f"{_field_type(kind)} {name}" for name, kind in fields)


def _field_type(kind: str) -> str:
    """`float64[]` of `sequence<double>`."""
    if sequence := re.fullmatch(r"sequence<(.*)>", kind):
        return f"{_field_type(sequence[1])}[]"
    return {"double": "float64", "float": "float32"}.get(kind, kind)
