"""Damage in the middle of a bag costs what lies there, and that is said."""

import struct
import zlib

import numpy as np
import pytest
from long_bag import PARAMETERS
from mcap_file import write_mcap, zstd
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from std_msgs.msg import String

from da3_ros.commands.process import process_all
from da3_ros.core.config import from_dict
from da3_ros.ros.bags.bag import TYPES, BagReader, BagWriter, Span
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.demo.bag import write_demo_bag
from da3_ros.ros.doctor.whole_bag import check_frames
from da3_ros.ros.topics.find_camera import Choice

COUNT = 400
STEP_NS = 10_000_000


def write(path, compression=None):
    """Texts of 40 kB: of 400, a chunk holds some 25."""
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    if compression:
        writer.set_compression(CompressionMode.STORAGE, compression)
    with writer:
        connection = writer.add_connection("/text", "std_msgs/msg/String", typestore=TYPES)
        rng = np.random.default_rng(0)
        for k in range(COUNT):
            text = f"{k:03d} {rng.bytes(20_000).hex()}"
            raw = TYPES.serialize_cdr(TYPES.types["std_msgs/msg/String"](text), connection.msgtype)
            writer.write(connection, (k + 1) * STEP_NS, raw)
    return next(path.glob("*.mcap"))


def with_checksums(file):
    """The chunks, and the file with their checksums, which rosbag2 writes and rosbags does not."""
    with BagReader(file) as bag:
        chunks = list(bag._storages[0]._reader.storage.chunks)
    data = bytearray(file.read_bytes())
    for chunk in chunks:
        head = chunk.chunk_start_offset + 9
        packed_at = head + 40 + len(chunk.compression)
        packed = bytes(data[packed_at : packed_at + chunk.compressed_size])
        records = zstd.decompress(packed) if chunk.compression else packed
        data[head + 24 : head + 28] = struct.pack("<I", zlib.crc32(records))
    return chunks, data


def numbers(path, span=Span()):
    with BagReader(path) as bag:
        found = [int(msg.data[:3]) for _, _, msg in bag.messages("/text", span=span)]
        return found, bag.notes


@pytest.mark.parametrize("compression", [None, CompressionFormat.ZSTD])
def test_a_damaged_chunk_costs_its_messages(tmp_path, compression):
    file = write(tmp_path / "run", compression)
    chunks, data = with_checksums(file)
    chunk = chunks[3]
    at = chunk.chunk_start_offset + chunk.chunk_length // 2
    data[at : at + 50] = b"\xff" * 50
    file.write_bytes(data)
    found, (note,) = numbers(file)
    lost = sorted(set(range(COUNT)) - set(found))
    assert found == sorted(found) and lost == list(range(lost[0], lost[-1] + 1))
    assert f"is damaged at byte {chunk.chunk_start_offset}" in note
    first, last = lost[0] * STEP_NS / 1e9, lost[-1] * STEP_NS / 1e9
    assert f"from {first:.1f} to {last:.1f} s of it are lost ({len(lost)} of /text)" in note
    before, notes = numbers(file, Span(None, (lost[0] + 1) * STEP_NS))
    assert before == list(range(lost[0])) and notes == []


def test_a_damaged_chunk_among_images_costs_some_of_them(tmp_path):
    write_demo_bag(tmp_path / "room", frames=20)
    (file,) = (tmp_path / "room").glob("*.mcap")
    chunks, data = with_checksums(file)
    chunk = chunks[len(chunks) // 2]
    at = chunk.chunk_start_offset + chunk.chunk_length // 2
    data[at : at + 50] = bytes(255 - b for b in data[at : at + 50])
    file.write_bytes(data)
    (report,) = process_all([BagJob(file, tmp_path / "out", PARAMETERS)])
    assert report.failure == "" and 10 < report.counts.received < 20
    assert sum("of /camera/image_raw" in sentence for sentence in report.warnings) == 1
    assert report.counts.published > 8
    assert "of /camera/image_raw" in str(check_frames(file, Choice(), from_dict({})))


def test_bytes_that_are_no_messages_are_left_out(tmp_path):
    with BagWriter(tmp_path / "run") as out:
        for k in range(5):
            out.write("/text", (k + 1) * STEP_NS, String(data=f"{k:03d}"))
        out.write_raw("/text", 6 * STEP_NS, String, b"\x00\x01\x00\x00\xff\xff\xff\x7f")
        out.write("/text", 7 * STEP_NS, String(data="006"))
    found, (note,) = numbers(tmp_path / "run")
    assert found == [0, 1, 2, 3, 4, 6]
    assert "/text holds bytes that are not messages; they are left out" in note


@pytest.mark.parametrize("summary", [True, False])
def test_a_part_of_a_file_without_index(tmp_path, summary):
    texts = [("/text", (k + 1) * STEP_NS, String(data=f"{k:03d}")) for k in range(40)]
    file = write_mcap(tmp_path / "run.mcap", texts, summary=summary)
    span = Span(10 * STEP_NS, 21 * STEP_NS)
    assert numbers(file, span) == (list(range(9, 20)), [])
