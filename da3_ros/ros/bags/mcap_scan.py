"""An MCAP file read from its beginning to its end, without its index.

rosbags needs the index at the end of a file, which a recording that was cut off does not have,
and one behind each chunk, which the format does not demand. Here the records themselves say
what is there (https://mcap.dev/spec). What is cut off in mid-record is lost, nothing else.
"""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from zlib import crc32

from lz4.frame import LZ4FrameDecompressor
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)
from rosbags.rosbag2.storage_mcap import get_qos, read_bytes, read_string, zstd

from da3_ros.ros.bags.bag_files import BagError

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F
HEAD = struct.Struct("<BQ")
"""Kind and length of a record."""
CHUNK_HEAD = struct.Struct("<QQQI")
"""First and last time, size when unpacked, checksum."""
MESSAGE_HEAD = struct.Struct("<HIQQ")
"""Channel, sequence number, log time and publish time."""
LATEST_NS = 2**63 - 1
"""No message is later."""

RUN_BYTES = 4 << 20
"""Records outside chunks are taken together up to this size."""
MOST_BYTES = 1 << 30
"""Largest chunk that is unpacked; recorders write a few megabytes."""
MOST_RECORDS = 1 << 20
"""In a chunk: 3 s; recorders write some thousands. 10 kB may unpack to 20 million."""


def _unpack_zstd(data: bytes, size: int) -> bytes:
    return zstd.ZstdDecompressor().decompress(data, _allowed(size))


def _unpack_lz4(data: bytes, size: int) -> bytes:
    return LZ4FrameDecompressor().decompress(data, max_length=_allowed(size))


def _allowed(size: int) -> int:
    if size > MOST_BYTES:
        raise ValueError(f"a chunk of it claims {size >> 20} MB")
    return size


UNPACKERS = {"": lambda data, size: data, "zstd": _unpack_zstd, "lz4": _unpack_lz4}
"""By the names of the format: at most `size` bytes, whatever the packed data itself asks for; of
what was cut off as much as there is."""
NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, "")


@dataclass(frozen=True)
class RecordBlock:
    """Bytes of the file that hold whole records, once unpacked.

    offset, length: where in the file. size, checksum: of the unpacked bytes, 0 where unknown.
    """

    offset: int
    length: int
    compression: str
    size: int
    checksum: int
    start_ns: int = 0
    end_ns: int = 0
    channels: frozenset[int] = frozenset()


class McapScan:
    """One file with the attributes of a `rosbags.rosbag2.Reader`.

    cut_at: byte where the file ends or first makes no sense; None where it is whole.
    Raises `BagError` for a file that is not MCAP.
    """

    def __init__(self, path: Path):
        self._path = path
        self._blocks: list[RecordBlock] = []
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, Connection] = {}
        self._counts: Counter[int] = Counter()
        self.start_time, self.end_time = LATEST_NS, 0
        self._file = path.open("rb")
        try:
            self._size = path.stat().st_size
            self.cut_at = self._scan()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def connections(self) -> list[Connection]:
        """Channels with the number of messages that were found."""
        return [c._replace(msgcount=self._counts[i]) for i, c in self._channels.items()]

    @property
    def message_count(self) -> int:
        """Of all channels."""
        return self._counts.total()

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, log time in ns and serialized message, in order of time.

        start, stop: ns, from the first on and before the second.
        """
        wanted = {c.id: c for c in connections}
        begin, end = start or 0, LATEST_NS if stop is None else stop
        blocks = [
            self._messages_of(block, wanted)
            for block in self._blocks
            if block.channels & wanted.keys() and block.start_ns < end and begin <= block.end_ns
        ]
        for time_ns, connection, data in heapq.merge(*blocks, key=itemgetter(0)):
            if connection and begin <= time_ns < end:
                yield connection, time_ns, data

    def _messages_of(self, block: RecordBlock, wanted: dict[int, Connection]) -> Iterator[tuple]:
        yield block.start_ns, None, b""  # so that a block is not unpacked before its time
        found = []
        for kind, content in records(self._unpack(block) or b""):
            if kind == MESSAGE:
                channel, _, time_ns, _ = MESSAGE_HEAD.unpack_from(content)
                if channel in wanted:
                    found.append((time_ns, wanted[channel], content[MESSAGE_HEAD.size :]))
        yield from sorted(found, key=itemgetter(0))

    def _scan(self) -> int | None:
        """Find all blocks; returns where the file is cut off, if it is."""
        if self._read(0, len(MAGIC)) != MAGIC:
            raise BagError(f"cannot open bag {self._path}: it does not begin as an MCAP file")
        at = run = len(MAGIC)
        damage: list[int] = []
        while at + HEAD.size <= self._size:
            kind, length = HEAD.unpack(self._read(at, HEAD.size))
            end = at + HEAD.size + length
            is_plain = kind in (SCHEMA, CHANNEL, MESSAGE) and end <= self._size
            if not is_plain or end - run > RUN_BYTES:
                self._add_run(run, at)
                run = at if is_plain else end
            if kind in (FOOTER, DATA_END):
                return min(damage, default=None)
            if kind == CHUNK and not self._add(self._chunk(at + HEAD.size, min(end, self._size))):
                damage.append(at)
            if kind == 0 or end > self._size:
                return min([at, *damage])
            at = end
        self._add_run(run, at)
        return min([at, *damage])

    def _add_run(self, start: int, end: int) -> None:
        if end > start:
            self._add(RecordBlock(start, end - start, "", end - start, 0))

    def _chunk(self, start: int, end: int) -> RecordBlock | None:
        """The block of a chunk record between two offsets; None where its head is cut off."""
        head = self._read(start, min(end - start, CHUNK_HEAD.size + 64))
        try:
            _, _, size, checksum = CHUNK_HEAD.unpack_from(head)
            (name_bytes,) = struct.unpack_from("<I", head, CHUNK_HEAD.size)
            records_at = CHUNK_HEAD.size + 4 + name_bytes
            (length,) = struct.unpack_from("<Q", head, records_at)
        except struct.error:
            return None
        compression = head[CHUNK_HEAD.size + 4 : records_at].decode("ascii", "replace")
        offset = start + records_at + 8
        if size > MOST_BYTES and compression:
            raise BagError(f"bag {self._path} is damaged: a chunk of it claims {size >> 20} MB")
        if offset + length > end:
            length, checksum = end - offset, 0
        return RecordBlock(offset, max(length, 0), compression, size, checksum)

    def _add(self, block: RecordBlock | None) -> bool:
        """Take what a block holds; False where that cannot be unpacked."""
        data = self._unpack(block) if block else None
        if data is None:
            return False
        times, channels = [], set()
        for kind, content in records(data):
            if kind == SCHEMA:
                self._schemas[content[0] | content[1] << 8] = read_string(BytesIO(content[2:]))
            elif kind == CHANNEL:
                self._add_channel(content)
            elif kind == MESSAGE:
                channel, _, time_ns, _ = MESSAGE_HEAD.unpack_from(content)
                self._counts[channel] += 1
                channels.add(channel)
                times.append(time_ns)
        if times:
            self.start_time = min(self.start_time, *times)
            self.end_time = max(self.end_time, *(t + 1 for t in times))
            block = replace(
                block, start_ns=min(times), end_ns=max(times), channels=frozenset(channels)
            )
            self._blocks.append(block)
        return True

    def _add_channel(self, content: bytes) -> None:
        number, schema = struct.unpack_from("<HH", content)
        fields = BytesIO(content[4:])
        topic, encoding, metadata = read_string(fields), read_string(fields), read_bytes(fields)
        ext = ConnectionExtRosbag2(encoding, get_qos(metadata))
        kind = self._schemas.get(schema, "")
        self._channels[number] = Connection(number, topic, kind, NO_DEFINITION, "", 0, ext, None)

    def _unpack(self, block: RecordBlock) -> bytes | None:
        """The records of a block; None where they are damaged."""
        data = self._read(block.offset, block.length)
        if block.compression not in UNPACKERS:
            raise BagError(f"bag {self._path} is compressed by '{block.compression}'")
        try:
            data = UNPACKERS[block.compression](data, block.size)
        except (zstd.ZstdError, RuntimeError, EOFError):
            return None
        return None if block.checksum and crc32(data) != block.checksum else data

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each whole record. Raises ValueError for more than recorders write."""
    at = count = 0
    while at + HEAD.size <= len(data):
        if (count := count + 1) > MOST_RECORDS:
            raise ValueError(f"a chunk of it holds more than {MOST_RECORDS:,} records")
        kind, length = HEAD.unpack_from(data, at)
        start, at = at + HEAD.size, at + HEAD.size + length
        if at > len(data):
            return
        yield kind, data[start:at]
