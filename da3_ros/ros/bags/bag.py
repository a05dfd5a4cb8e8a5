"""rosbag2 folders and files (MCAP, sqlite3), read and written without a ROS installation."""

from __future__ import annotations

import heapq
import re
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
from rclpy.serialization import deserialize_message
from rosbags.interfaces import Connection, QosDurability
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from da3_ros.ros.bags.bag_files import BagError, find_files
from da3_ros.ros.bags.damage import DAMAGE
from da3_ros.ros.bags.storage import Storage, mend, open_storage, unpack_message
from da3_ros.ros.bounds import excess
from da3_ros.ros.topics.message_types import message_class, type_name
from da3_ros.ros.topics.tf_tree import is_static

TYPES = get_typestore(Stores.ROS2_KILTED)
CDR = "cdr"
"""The encoding of ROS messages; other tools put JSON and others beside them."""


@dataclass(frozen=True)
class Span:
    """A part of a bag, in recording time: from `start_ns` on, before `stop_ns`; None: no end."""

    start_ns: int | None = None
    stop_ns: int | None = None


def is_latched(connection: Connection) -> bool:
    """Whether late subscribers are to get the topic's messages, as with /tf_static."""
    recorded = connection.ext.offered_qos_profiles
    return is_static(connection.topic) or any(
        qos.durability == QosDurability.TRANSIENT_LOCAL for qos in recorded
    )


class BagReader:
    """An open bag, as a context manager. `path`: the folder or one .mcap or .db3 file of it.

    notes: what was odd about its files, in sentences; more may come while they are read. Raises
    `BagError` in one sentence.
    """

    what = "the bag"

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self.notes: list[str] = []
        self._storages: list[Storage] = []
        self._connections: dict[tuple[str, str], Connection] = {}

    def __enter__(self) -> BagReader:
        files = find_files(self._path)
        self.notes += files.notes
        with ExitStack() as stack:
            for path in files.paths:
                self._add(path, stack, is_only=len(files.paths) == 1)
            self._stack = stack.pop_all()
        if not self._storages:
            self._stack.close()
            raise BagError(f"cannot open bag {self._path}: none of its files can be read")
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    @property
    def connections(self) -> list[Connection]:
        """Topics with their types and counts, in order of name."""
        return sorted(self._connections.values(), key=lambda c: c.id)

    @property
    def start_ns(self) -> int:
        """Time of the first message."""
        return min(storage.start_time for storage in self._storages)

    @property
    def end_ns(self) -> int:
        """Time of the last message, plus 1."""
        return max(storage.end_time for storage in self._storages)

    def topics_of(self, cls: type) -> list[str]:
        """Names of the topics of a message class, in order."""
        name = type_name(cls)
        return sorted({c.topic for c in self.connections if c.msgtype == name and c.msgcount})

    def count(self, topic: str) -> int:
        """Messages on a topic."""
        return sum(c.msgcount for c in self.connections if c.topic == topic)

    def raw_messages(
        self, connections: list[Connection], span: Span = Span()
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time in ns and serialized message, in order of time.

        What lies in a damaged part of an MCAP file is left out, and `notes` says so. Raises
        `BagError` where nothing behind the damage can be read.
        """
        wanted = {(c.topic, c.msgtype): c for c in connections}
        files = [self._messages_of(storage, wanted, span) for storage in self._storages]
        try:
            for time_ns, connection, raw in heapq.merge(*files, key=itemgetter(0)):
                if connection:
                    yield connection, time_ns, unpack_message(raw)
        except BagError:
            raise
        except DAMAGE as error:
            raise BagError(f"bag {self._path} is damaged: {error}{mend(self._path)}") from error

    def messages(self, *topics: str, span: Span = Span()) -> Iterator[tuple[str, int, object]]:
        """Topic, time in ns and message of the topics named."""
        connections = [c for c in self.connections if c.topic in topics]
        classes = {c.id: message_class(c.msgtype) for c in connections}
        connections = [c for c in connections if classes[c.id]]
        for connection, time_ns, raw in self.raw_messages(connections, span):
            if found := excess(classes[connection.id], raw):
                self._note(f"bag {self._path}: {connection.topic} holds {found}; they are left out")
                continue
            try:
                msg = deserialize_message(raw, classes[connection.id])
            except RuntimeError:  # RMWError
                self._note(
                    f"bag {self._path} is damaged: {connection.topic} holds bytes that are "
                    "not messages; they are left out"
                )
                continue
            yield connection.topic, time_ns, msg

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _add(self, path: Path, stack: ExitStack, *, is_only: bool) -> None:
        """Open one file. Where there are several, one that cannot be read is left out."""
        try:
            storage = stack.enter_context(open_storage(path, self.notes))
        except BagError as error:
            if is_only:
                raise
            self.notes.append(f"{error}; the other files of the bag are read")
            return
        self._storages.append(storage)
        for c in storage.connections:
            if c.ext.serialization_format == CDR:
                key = c.topic, c.msgtype
                known = self._connections.get(
                    key, c._replace(id=len(self._connections), msgcount=0)
                )
                self._connections[key] = known._replace(msgcount=known.msgcount + c.msgcount)
            else:
                encoding = c.ext.serialization_format or "no encoding"
                self.notes.append(f"{c.topic} is not read: it holds {encoding}, not ROS messages")

    def _messages_of(
        self, storage: Storage, wanted: dict[tuple[str, str], Connection], span: Span
    ) -> Iterator[tuple[int, Connection | None, bytes]]:
        yield storage.start_time, None, b""  # so that a file is not read before its time
        own = [c for c in storage.connections if (c.topic, c.msgtype) in wanted]
        own = [c for c in own if c.ext.serialization_format == CDR]
        if own:
            for connection, time_ns, raw in storage.messages(own, span.start_ns, span.stop_ns):
                yield time_ns, wanted[connection.topic, connection.msgtype], raw


METADATA_VERSION = 8
"""Of metadata.yaml: the newest that Humble reads; from 9 on QoS is not text any more."""


class BagWriter:
    """A new MCAP bag, as a context manager. Raises `BagError` when the folder exists.

    zstd: chunks are compressed, which every reader of MCAP undoes.
    """

    def __init__(self, path: str | Path, *, zstd: bool = False):
        self._path, self._zstd = Path(path), zstd
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> BagWriter:
        if self._path.exists():
            raise BagError(f"{self._path} exists already; remove it or choose another folder")
        self._writer = Writer(
            self._path, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP
        )
        if self._zstd:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        return self

    def __exit__(self, *_) -> None:
        self._writer.close()

    def write_raw(self, topic: str, time_ns: int, cls: type, raw: bytes) -> None:
        """Append one serialized message, as a `BagWriter` has written it before."""
        connection = self._connections.get(topic) or self._add(topic, cls)
        self._writer.write(connection, time_ns, raw)

    def write(self, topic: str, time_ns: int, msg) -> None:
        """Append one message."""
        connection = self._connections.get(topic) or self._add(topic, type(msg))
        # Not rclpy's bytes: it leaves those between fields, and some at the end, as they were.
        raw = TYPES.serialize_cdr(_to_rosbags(msg), connection.msgtype)
        self._writer.write(connection, time_ns, raw)

    def _add(self, topic: str, cls: type) -> Connection:
        name = type_name(cls)
        if name not in TYPES.fielddefs:
            TYPES.register(get_types_from_msg(definition(cls), name))
        connection = self._writer.add_connection(topic, name, typestore=TYPES)
        return self._connections.setdefault(topic, connection)


def _to_rosbags(value):
    """A message, or a value in it, as rosbags writes it."""
    if hasattr(value, "get_fields_and_field_types"):
        fields = value.get_fields_and_field_types()
        cls = TYPES.types[type_name(type(value))]
        return cls(*(_to_rosbags(getattr(value, f)) for f in fields))
    if isinstance(value, list):
        return [_to_rosbags(item) for item in value]
    return np.asarray(value) if isinstance(value, (array, np.ndarray)) else value


def definition(cls: type) -> str:
    """The lines of a .msg file, from the fields of a message class without constants."""
    fields = cls.get_fields_and_field_types().items()
    return "\n".join(f"{_field_type(kind)} {name}" for name, kind in fields)


def _field_type(kind: str) -> str:
    """`float64[]` of `sequence<double>`."""
    if sequence := re.fullmatch(r"sequence<(.*)>", kind):
        return f"{_field_type(sequence[1])}[]"
    return {"double": "float64", "float": "float32", "boolean": "bool"}.get(kind, kind)
