"""Bags that unpack to gigabytes, and disks that are full: one sentence, and the others go on."""

import itertools
import os
import resource
import tempfile

import lz4.frame
import mcap_file
import pytest
from da3_ros.msg import CameraPoses
from geometry_msgs.msg import TransformStamped
from mcap_file import message, record, schema, text
from rosbags.rosbag2 import storage_mcap
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from da3_ros.commands.process import process_all
from da3_ros.ros.bags import mcap_scan, storage
from da3_ros.ros.bags.bag import BagError, BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.bags.mcap_scan import MOST_BYTES, UNPACKERS
from da3_ros.ros.demo.bag import write_demo_bag
from da3_ros.ros.health.process_memory import peak_resident_bytes
from da3_ros.ros.topics.tf_tree import TfTree

FRAME = bytes(64 << 20)


@pytest.fixture(scope="module")
def bombs():
    """By compression: 3 GB of zeros, packed."""
    packed = {"zstd": mcap_file.zstd.compress(FRAME) * 48}
    return packed | {"lz4": lz4.frame.compress(FRAME, content_checksum=False)}


def bomb_bag(path, packed, compression, claimed, *, index=True):
    """An MCAP whose only chunk claims a size of its own; with an index that points to it."""
    head = mcap_file.MAGIC + record(1, text("ros2") + text("test"))
    about = mcap_file.struct.pack("<QQQI", 1, 2, claimed, 0) + text(compression)
    body = record(6, about + mcap_file.struct.pack("<Q", len(packed)) + packed)
    data = head + body + record(15, mcap_file.struct.pack("<I", 0))
    start = len(data) if index else 0
    if index:
        offsets = mcap_file.struct.pack("<IHQ", 10, 1, 0)
        entry = mcap_file.struct.pack("<QQQQ", 1, 2, len(head), len(body)) + offsets
        entry += mcap_file.struct.pack("<Q", 0) + text(compression)
        entry += mcap_file.struct.pack("<QQ", len(packed), claimed)
        data += schema(1, "std_msgs/msg/String") + mcap_file.channel(1, "/a") + record(8, entry)
    data += record(2, mcap_file.struct.pack("<QQI", start, 0, 0)) + mcap_file.MAGIC
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("claimed", [1000, 3 << 30, 12 << 30, 2**63])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("index", [True, False])
def test_a_chunk_unpacks_to_no_more_than_it_says(tmp_path, bombs, compression, claimed, index):
    path = bomb_bag(tmp_path / "a.mcap", bombs[compression], compression, claimed, index=index)
    before = peak_resident_bytes()
    try:
        with BagReader(path) as bag:
            assert list(bag.raw_messages(bag.connections)) == []
    except BagError as error:
        assert "\n" not in str(error)
    assert peak_resident_bytes() - before < 300e6


def test_rosbags_uses_the_same_bounds(bombs):
    for compression, packed in bombs.items():
        assert storage_mcap.DECOMPRESSORS[compression] is UNPACKERS[compression]
        assert len(UNPACKERS[compression](packed, 1000)) <= 1000
        with pytest.raises(ValueError, match="claims 12288 MB"):
            UNPACKERS[compression](packed, 12 << 30)
    assert MOST_BYTES == 1 << 30


def test_sound_chunks_are_whole():
    records = message(1, 5, b"hello" * 1000)
    for compression in UNPACKERS:
        packed = mcap_file.COMPRESS[compression](records)
        assert UNPACKERS[compression](packed, len(records)) == records


def test_a_bag_that_unpacks_to_more_than_the_disk_holds(tmp_path, monkeypatch):
    write_demo_bag(tmp_path / "room", frames=2)
    (source,) = (tmp_path / "room").glob("*.mcap")
    packed = tmp_path / "room.mcap.zstd"
    packed.write_bytes(mcap_file.zstd.compress(source.read_bytes()))
    with BagReader(packed) as bag:
        assert bag.count("/tf") == 10
    monkeypatch.setattr(storage, "LEAST_FREE", 1 << 60)
    with (
        pytest.raises(BagError, match="a copy of it does not fit into .*TMPDIR"),
        BagReader(packed),
    ):
        pass


def test_only_what_has_to_be_copied_needs_a_place_for_it(tmp_path, monkeypatch):
    write_demo_bag(tmp_path / "room", frames=2)
    (source,) = (tmp_path / "room").glob("*.mcap")
    packed = tmp_path / "room.mcap.zstd"
    packed.write_bytes(mcap_file.zstd.compress(source.read_bytes()))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    with BagReader(tmp_path / "room") as bag:
        assert bag.count("/tf") == 10
    with (
        pytest.raises(BagError, match="there is no place to write .*set TMPDIR"),
        BagReader(packed),
    ):
        pass


def test_the_disk_is_full_while_a_result_is_written(tmp_path):
    write_demo_bag(tmp_path / "room", frames=3)
    size = {"model.name": "da3-demo", "model.device": "cpu", "model.process_res": 56}
    job = BagJob(tmp_path / "room", tmp_path / "out", {**size, "window.size": 2})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        (report,) = process_all([job])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = f"its results do not fit (File too large): make room below {tmp_path / 'out'}"
    assert report.failure == said
    assert list((tmp_path / "out").iterdir()) == []
    (report,) = process_all([job])
    assert report.failure == ""


@pytest.mark.parametrize("kind, content", [(0, b""), (5, bytes(22)), (3, b"")])
def test_a_chunk_of_millions_of_records_is_refused(tmp_path, kind, content):
    """10 kB of them take minutes, and gigabytes as objects."""
    records = record(kind, content) * (3 << 20)
    with pytest.raises(ValueError, match="holds more than 1,048,576 records"):
        list(mcap_scan.records(records))
    assert len(list(mcap_scan.records(records[: 9000 * len(record(kind, content))]))) == 9000


DEEP = "{a: " * 5000 + "1" + "}" * 5000
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name}\n  <<: [{','.join(['*' + before] * 10)}]\n"
    for before, name in itertools.pairwise("abcdefghijkl")
)


@pytest.mark.parametrize(
    "metadata", [DEEP, MERGES, "a: 2020-99-99", "a: " + "9" * 5000, "fifo", "folder", b"\xff"]
)
def test_a_metadata_file_of_another_kind_is_left_out(tmp_path, metadata):
    write_demo_bag(tmp_path / "bag", frames=1)
    path = tmp_path / "bag" / "metadata.yaml"
    path.unlink()
    if metadata == "fifo":
        os.mkfifo(path)
    elif metadata == "folder":
        path.mkdir()
    else:
        path.write_bytes(metadata if isinstance(metadata, bytes) else metadata.encode())
    with BagReader(tmp_path / "bag") as bag:
        assert bag.connections and "has no complete metadata.yaml" in bag.notes[0]


@pytest.mark.parametrize(
    "cls, fill", [(TFMessage, 0), (CameraInfo, 24), (CameraPoses, 16)], ids=str
)
def test_lists_that_claim_millions_are_left_out(tmp_path, cls, fill):
    """16 MB of zeros, 511 bytes in the file, may be 16 million transforms: 3 GB of objects."""
    count = 16_000_000
    lie = b"\0\1\0\0" + bytes(fill) + mcap_file.struct.pack("<I", count) + bytes(count)
    with BagWriter(tmp_path / "bag", zstd=True) as bag:
        bag.write("/a", 1, cls())
        bag.write_raw("/a", 2, cls, lie)
        bag.write_raw("/a", 3, cls, lie)
        bag.write("/a", 4, cls())
    before = peak_resident_bytes()
    with BagReader(tmp_path / "bag") as bag:
        assert [time_ns for _, time_ns, _ in bag.messages("/a")] == [1, 4]
        (note,) = bag.notes
    assert "/a holds messages of more than 256 kB" in note and note.endswith("; they are left out")
    assert peak_resident_bytes() - before < 300e6


def test_what_is_no_file_is_not_opened(tmp_path):
    """A fifo would be waited for, a device has no end."""
    write_demo_bag(tmp_path / "bag", frames=1)
    os.mkfifo(tmp_path / "bag" / "b.mcap")
    with BagReader(tmp_path / "bag") as bag:
        assert bag.connections
    (tmp_path / "zero.mcap").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "c.mcap")
    for name in (tmp_path / "zero.mcap", tmp_path / "c.mcap", "/" + "a" * 5000, "a\0b"):
        with pytest.raises(BagError, match="cannot open bag"), BagReader(name):
            pass


def test_a_chain_of_thousands_of_frames_is_walked_once():
    """A list of them would be searched for each: half a minute for 20,000."""
    tree = TfTree()
    links = [
        TransformStamped(header=Header(frame_id=f"f{i}"), child_frame_id=f"f{i + 1}")
        for i in range(20_000)
    ]
    tree.add(TFMessage(transforms=links), static=False)
    ancestors = tree.ancestors("f20000")
    assert (len(ancestors), ancestors[0], ancestors[-1]) == (20_000, "f19999", "f0")
