"""MCAP files written record by record, as recorders other than rosbags write them."""

from __future__ import annotations

import struct
import sys
import zlib

import lz4.frame
from rclpy.serialization import serialize_message

from da3_ros.ros.topics.message_types import type_name

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"\x89MCAP0\r\n"
COMPRESS = {"": bytes, "zstd": zstd.compress, "lz4": lz4.frame.compress}


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def schema(number: int, name: str, encoding: str = "ros2msg") -> bytes:
    return record(3, struct.pack("<H", number) + text(name) + text(encoding) + text(""))


def channel(number: int, topic: str, encoding: str = "cdr") -> bytes:
    head = struct.pack("<HH", number, number)
    return record(4, head + text(topic) + text(encoding) + struct.pack("<I", 0))


def message(number: int, time_ns: int, data: bytes) -> bytes:
    return record(5, struct.pack("<HIQQ", number, 0, time_ns, time_ns) + data)


def chunk(records: bytes, compression: str, start_ns: int, end_ns: int) -> bytes:
    packed = COMPRESS[compression](records)
    head = struct.pack("<QQQI", start_ns, end_ns, len(records), zlib.crc32(records))
    return record(6, head + text(compression) + struct.pack("<Q", len(packed)) + packed)


def chunk_index(offset: int, written: bytes, records: bytes, compression: str, times) -> bytes:
    """Without message index: the map of its offsets is empty."""
    packed = len(COMPRESS[compression](records))
    head = struct.pack("<QQQQIQ", times[0], times[1], offset, len(written), 0, 0)
    return record(8, head + text(compression) + struct.pack("<QQ", packed, len(records)))


def write_mcap(
    path, recorded, *, compression="zstd", per_chunk=4, summary=True, json_topic="", chunked=True
):
    """recorded: (topic, time_ns, message). summary: chunk indexes, but no message index."""
    numbers = {}
    data, indexes, pending, times = MAGIC + record(1, text("ros2") + text("test")), b"", b"", []

    def flush():
        nonlocal data, indexes, pending, times
        if not pending:
            return
        ends = min(times), max(times)
        written = chunk(pending, compression, *ends) if chunked else pending
        indexes += chunk_index(len(data), written, pending, compression, ends)
        data, pending, times = data + written, b"", []

    declared = b""
    if json_topic:
        declared += schema(999, "odd.Thing", "jsonschema") + channel(999, json_topic, "json")
        pending += declared + message(999, recorded[0][1], b'{"a": 1}')
        times.append(recorded[0][1])
    for topic, time_ns, msg in recorded:
        if topic not in numbers:
            numbers[topic] = len(numbers) + 1
            new = schema(numbers[topic], type_name(type(msg))) + channel(numbers[topic], topic)
            pending, declared = pending + new, declared + new
        pending += message(numbers[topic], time_ns, serialize_message(msg))
        times.append(time_ns)
        if len(times) >= per_chunk:
            flush()
    flush()
    data += record(15, struct.pack("<I", 0))
    start = len(data) if summary else 0
    body = declared + (indexes if chunked else b"") if summary else b""
    path.write_bytes(data + body + record(2, struct.pack("<QQI", start, 0, 0)) + MAGIC)
    return path
