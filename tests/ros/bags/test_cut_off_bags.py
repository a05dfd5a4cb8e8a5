"""Recordings that were cut off, incomplete folders, files that other tools wrote."""

import shutil
import sqlite3
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap_file import write_mcap
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from std_msgs.msg import String

from da3_ros.ros.bags.bag import TYPES, BagError, BagReader, BagWriter
from da3_ros.ros.bags.bag_files import find_files
from da3_ros.ros.bags.mcap_scan import McapScan

START_NS = 1_700_000_000_000_000_000
STEP_NS = 10_000_000
COUNT = 40


def recorded(count=COUNT, first=0):
    return [("/text", START_NS + k * STEP_NS, String(data=f"{k:03} " + "x" * 500))
            for k in range(first, first + count)]  # fmt: skip


def numbers(path):
    """Numbers of the messages that are read, and the notes."""
    with BagReader(path) as bag:
        found = [(time_ns, msg.data) for _, time_ns, msg in bag.messages("/text")]
        assert bag.count("/text") == len(found)
        assert [time_ns for time_ns, _ in found] == [
            START_NS + int(data[:3]) * STEP_NS for _, data in found
        ]
        return [int(data[:3]) for _, data in found], bag.notes


def write_bag(path, *, storage=StoragePlugin.MCAP, compression=None, count=COUNT, first=0):
    writer = Writer(path, version=9, storage_plugin=storage)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/text", "std_msgs/msg/String", typestore=TYPES)
        for _, time_ns, msg in recorded(count, first):
            raw = TYPES.serialize_cdr(
                TYPES.types["std_msgs/msg/String"](msg.data), connection.msgtype
            )
            writer.write(connection, time_ns, raw)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Four messages per chunk."""
    return write_mcap(tmp_path_factory.mktemp("mcap") / "run.mcap", recorded())


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
@pytest.mark.parametrize("summary", [True, False])
def test_chunks_without_a_message_index(tmp_path, compression, summary):
    path = write_mcap(tmp_path / "run.mcap", recorded(), compression=compression, summary=summary)
    assert numbers(path) == (list(range(COUNT)), [])


def test_messages_without_chunks_need_not_be_in_order(tmp_path):
    mixed = recorded()
    mixed[7], mixed[9] = mixed[9], mixed[7]
    path = write_mcap(tmp_path / "run.mcap", mixed, chunked=False)
    assert numbers(path)[0] == list(range(COUNT))


def test_a_channel_of_json_does_not_matter(tmp_path):
    path = write_mcap(tmp_path / "run.mcap", recorded(), json_topic="/state")
    found, notes = numbers(path)
    assert found == list(range(COUNT))
    assert notes == ["/state is not read: it holds json, not ROS messages"]


@settings(max_examples=40)
@given(share=st.floats(0.0, 1.0), tail=st.sampled_from(["", "zeros", "ones"]))
def test_a_file_cut_anywhere_is_read_up_to_there(whole, tmp_path_factory, share, tail):
    """Also where the file system filled it up with zeros."""
    data = whole.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "run.mcap"
    end = data.index(b"\x0f\x04\0\0\0\0\0\0\0", 100)  # of the messages
    at = int(share * end)
    path.write_bytes(data[:at] + {"": b"", "zeros": b"\0" * 5000, "ones": b"\xff" * 50}[tail])
    chunks_before = max(0, whole_chunks(data, at))
    if not chunks_before:
        try:
            numbers(path)
        except BagError:
            return
    found, notes = numbers(path)
    assert found == list(range(len(found))) and 4 * chunks_before <= len(found) <= COUNT
    assert len(notes) == 1 and "is cut off or damaged at byte" in notes[0]
    assert "mcap recover" in notes[0]


def whole_chunks(data, at):
    """Chunks that end before an offset."""
    position, count = 8, 0
    while position + 9 <= at:
        kind, length = data[position], int.from_bytes(data[position + 1 : position + 9], "little")
        position += 9 + length
        count += kind == 6 and position <= at
    return count


def test_most_of_a_chunk_that_is_cut_is_read_where_it_is_not_compressed(tmp_path):
    path = write_mcap(tmp_path / "run.mcap", recorded(), compression="", per_chunk=COUNT)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found, _ = numbers(path)
    assert COUNT // 2 - 3 <= len(found) <= COUNT // 2


def test_a_chunk_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = write_mcap(tmp_path / "run.mcap", recorded(), summary=False)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x06", 30) + 9 + 16
    data[at : at + 8] = (50 << 30).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(BagError, match="a chunk of it claims 51200 MB"):
        numbers(path)


def test_the_scan_reads_what_rosbags_reads(tmp_path):
    """With topics, times and bytes alike."""
    write_bag(tmp_path / "run")
    file = tmp_path / "run" / "run.mcap"
    with BagReader(file) as bag:
        expected = [(c.topic, t, bytes(raw)) for c, t, raw in bag.raw_messages(bag.connections)]
        times = bag.start_ns, bag.end_ns
    scan = McapScan(file)
    assert [(c.topic, t, raw) for c, t, raw in scan.messages(scan.connections)] == expected
    assert (scan.start_time, scan.end_time, scan.cut_at) == (*times, None)
    scan.close()


def test_a_killed_sqlite_recording_is_read_to_the_end(tmp_path, monkeypatch):
    """The rest of the messages is in the -wal file; the folder may be read-only."""
    write_bag(tmp_path / "run", storage=StoragePlugin.SQLITE3)
    database = sqlite3.connect(tmp_path / "run" / "run.db3")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    more = recorded(5, COUNT)
    raw = TYPES.serialize_cdr(TYPES.types["std_msgs/msg/String"]("040 late"), "std_msgs/msg/String")
    for k, (_, time_ns, _) in enumerate(more):
        database.execute(
            "INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)",
            (time_ns, bytes(raw).replace(b"040", b"%03d" % (COUNT + k))),
        )
    database.commit()
    left = tmp_path / "left"
    shutil.copytree(tmp_path / "run", left)  # as the disk is when the recorder dies now
    database.close()
    before = {p.name: p.read_bytes() for p in left.iterdir()}
    assert (left / "run.db3-wal").stat().st_size > 0
    found, notes = numbers(left / "run.db3")
    assert found == list(range(COUNT + 5))
    assert len(notes) == 1 and "run.db3-wal are read too" in notes[0]
    assert {p.name: p.read_bytes() for p in left.iterdir()} == before
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    with pytest.raises(BagError, match="there is no place to write .*set TMPDIR"):
        numbers(left / "run.db3")


def test_a_damaged_database_says_what_may_mend_it(tmp_path):
    write_bag(tmp_path / "run", storage=StoragePlugin.SQLITE3)
    file = tmp_path / "run" / "run.db3"
    data = bytearray(file.read_bytes())
    data[100:6000] = b"\xff" * 5900
    file.write_bytes(data)
    with pytest.raises(BagError, match=r"cannot open bag .*run\.db3: .*\.recover"):
        numbers(file)


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_metadata_that_is_missing_or_incomplete(tmp_path, storage):
    metadata = write_bag(tmp_path / "run", storage=storage) / "metadata.yaml"
    text = metadata.read_text()
    metadata.write_text(text.replace(f"storage_identifier: {storage.name.lower()}", "nothing: 1"))
    assert numbers(tmp_path / "run") == (list(range(COUNT)), [])
    metadata.write_text(text.replace("version: 9", "version: 12"))
    assert numbers(tmp_path / "run") == (list(range(COUNT)), [])
    for broken in (text[: len(text) // 4], "", "\t: {", None):
        metadata.unlink() if broken is None else metadata.write_text(broken)
        found, (note,) = numbers(tmp_path / "run")
        assert found == list(range(COUNT)) and "ros2 bag reindex" in note
    metadata.mkdir()
    assert numbers(tmp_path / "run")[0] == list(range(COUNT))


def test_digits_of_every_kind_in_the_names_of_files(tmp_path):
    for k, name in enumerate(("²2", "²10", "²")):
        part = write_bag(tmp_path / f"part{k}", count=3, first=3 * k) / f"part{k}.mcap"
        (tmp_path / "run").mkdir(exist_ok=True)
        part.rename(tmp_path / "run" / f"{name}.mcap")
    files = find_files(tmp_path / "run").paths
    assert [file.stem for file in files if file.stem != "²"] == ["²2", "²10"]
    assert numbers(tmp_path / "run")[0] == list(range(9))


def test_split_bags(tmp_path):
    """Eleven files, read in the order of time; one that is missing or broken costs its part."""
    folder = tmp_path / "run"
    folder.mkdir()
    for k in range(11):
        part = write_bag(tmp_path / f"part{k}", count=3, first=3 * k) / f"part{k}.mcap"
        part.rename(folder / f"run_{k}.mcap")
    found, (note,) = numbers(folder)
    assert found == list(range(33)) and "the 11 files in it are read as one bag" in note
    (folder / "run_2.mcap").unlink()
    (folder / "run_5.mcap").write_bytes(b"\x89MCAP0\r\nnothing more")
    listed = "\n".join(f"    - old_place/run_{k}.mcap" for k in range(10))
    (folder / "metadata.yaml").write_text(
        f"rosbag2_bagfile_information:\n  relative_file_paths:\n{listed}\n"
    )
    found, notes = numbers(folder)
    assert found == [k for k in range(30) if k // 3 not in (2, 5)]
    assert [word in " ".join(notes) for word in ("run_2.mcap", "run_5.mcap", "run_10.mcap")]
    assert len(notes) == 3


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("mode", [CompressionMode.MESSAGE, CompressionMode.FILE])
def test_compressed_bags_and_one_file_of_them(tmp_path, storage, mode):
    write_bag(tmp_path / "run", storage=storage, compression=mode)
    (file,) = [p for p in (tmp_path / "run").iterdir() if p.name != "metadata.yaml"]
    for path in (tmp_path / "run", file):
        assert numbers(path) == (list(range(COUNT)), [])
    (tmp_path / "run" / "metadata.yaml").unlink()
    assert numbers(tmp_path / "run")[0] == list(range(COUNT))


def test_what_is_no_bag_at_all(tmp_path):
    for name, sentence in (
        ("none", "it does not exist"),
        ("picture.png", "a bag is a folder, a .mcap or a .db3 file"),
        ("empty.mcap", "does not begin as an MCAP file"),
        ("folder", "holds no .mcap or .db3 file"),
    ):
        if name == "folder":
            (tmp_path / name).mkdir()
        elif name != "none":
            (tmp_path / name).write_bytes(b"")
        with pytest.raises(BagError, match=sentence):
            numbers(tmp_path / name)


def test_the_bytes_that_are_written_are_what_another_library_reads(tmp_path):
    """Arrays without entries included, on which rclpy appends bytes that mean nothing."""
    from da3_ros.msg import CameraPoses

    written = CameraPoses(frame_ids=["a", "bc"], scale=2.5, reference=3)
    with BagWriter(tmp_path / "run") as bag:
        bag.write("/poses", 1, written)
    with BagReader(tmp_path / "run") as bag:
        ((connection, _, raw),) = bag.raw_messages(bag.connections)
        assert deserialize_message(raw, CameraPoses) == written
        decoded = TYPES.deserialize_cdr(raw, connection.msgtype)
    assert (decoded.frame_ids, decoded.scale, decoded.reference) == (["a", "bc"], 2.5, 3)
    assert len(decoded.translation_residuals) == len(decoded.poses) == 0
