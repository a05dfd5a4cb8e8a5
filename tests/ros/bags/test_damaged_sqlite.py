"""sqlite3 files that were cut off or overwritten: what can still be read of them is."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin, Writer

from da3_ros.ros.bags.bag import TYPES, BagError, BagReader, Span

COUNT = 300
PAGE = 4096
TEXT = "std_msgs/msg/String"


def write(folder, nbytes):
    """Texts of so many bytes, numbered, two at each time; returns the file."""
    with Writer(folder, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/text", TEXT, typestore=TYPES)
        for k in range(COUNT):
            text = TYPES.types[TEXT](f"{k:03}" + "x" * nbytes)
            writer.write(connection, 1000 + k // 2, TYPES.serialize_cdr(text, TEXT))
    (file,) = folder.glob("*.db3")
    return file


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Several messages to a page."""
    return write(tmp_path_factory.mktemp("small") / "run", 500).read_bytes()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Several pages to a message."""
    return write(tmp_path_factory.mktemp("large") / "run", 20_000).read_bytes()


def read(data, folder, span=Span()):
    """Numbers of the messages in such a file, how many there are said to be, and the notes."""
    path = folder / "run.db3"
    path.write_bytes(data)
    with BagReader(path) as bag:
        found = [(t, int(m.data[:3])) for _, t, m in bag.messages("/text", span=span)]
        assert all(t == 1000 + k // 2 for t, k in found)
        return [k for _, k in found], bag.count("/text"), bag.notes


def without(data, page, filling=0xFF):
    """The same file with one page overwritten."""
    at = page * PAGE
    return data[:at] + bytes([filling]) * PAGE + data[at + PAGE :]


def pages_of(data, what):
    """Pages that hold a text."""
    return [k for k in range(len(data) // PAGE) if what in data[k * PAGE : (k + 1) * PAGE]]


@settings(max_examples=30)
@given(share=st.floats(0.3, 0.99), is_filled_up=st.booleans())
@pytest.mark.parametrize("which", ["small", "large"])
def test_a_file_that_was_cut_off_is_read_up_to_there(
    request, tmp_path_factory, which, share, is_filled_up
):
    """Between pages, which are written whole; also where the file system filled it up."""
    data = request.getfixturevalue(which)
    left = data[: int(share * len(data)) // PAGE * PAGE]
    left += bytes(len(data) - len(left)) * is_filled_up
    found, count, (note,) = read(left, tmp_path_factory.mktemp("cut"))
    assert found == sorted({*found}) and count == len(found)
    assert (share - 0.2) * COUNT < count < COUNT
    lost = found[-1] + 1 - count  # pages are not quite in the order of their messages
    assert f"{count} messages of it are read, {lost or 'none'} between them" in note
    assert ".recover" in note


@pytest.mark.parametrize("filling", [0, 0xFF])
def test_a_page_in_the_middle_costs_its_own_messages(small, tmp_path, filling):
    page = pages_of(small, b"150xxx")[0]
    found, count, (note,) = read(without(small, page, filling), tmp_path)
    lost = sorted({*range(COUNT)} - {*found})
    assert found == sorted(found) and 150 in lost and len(lost) < 12
    assert lost == list(range(lost[0], lost[-1] + 1)) and count == len(found)
    assert f"{len(lost)} between them and what came after are lost" in note


def test_damage_inside_a_message_is_met_while_the_others_are_read(large, tmp_path):
    """rosbags opens such a file, and stops there; each of the others comes once, in order."""
    page = pages_of(large, b"150xxx")[0] - 2  # the rest of a message comes before its beginning
    found, _, (note,) = read(without(large, page), tmp_path)
    assert found == [k for k in range(COUNT) if k != 150]
    assert "1 between them and what came after are lost" in note
    found, _, _ = read(without(large, page), tmp_path, Span(1070, 1080))
    assert found == [k for k in range(140, 160) if k != 150]


def test_an_index_of_nonsense_costs_no_message(small, tmp_path):
    path = tmp_path / "whole.db3"
    path.write_bytes(small)
    with sqlite3.connect(path) as database:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'timestamp_idx'"
        ((root,),) = database.execute(query)
    found, count, (note,) = read(without(small, root - 1), tmp_path)
    assert found == list(range(COUNT)) and count == COUNT
    assert "none between them" in note


def test_damage_everywhere_is_refused_in_one_sentence(small, tmp_path):
    for data in (small[:5000], small[:PAGE] + b"\xff" * (len(small) - PAGE)):
        with pytest.raises(BagError, match=r"cannot open bag .*\.recover"):
            read(data, tmp_path)


def test_rows_without_end_are_no_bag(tmp_path):
    """A view may count for ever; rosbags refuses it, and so does the search for what is left."""
    with sqlite3.connect(tmp_path / "run.db3") as database:
        database.execute("CREATE TABLE topics(id, name, type, serialization_format)")
        database.execute("INSERT INTO topics VALUES (1, '/text', 'std_msgs/msg/String', 'cdr')")
        database.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 "
            "FROM n) SELECT id, 1 AS topic_id, id AS timestamp, x'00' AS data FROM n"
        )
    with pytest.raises(BagError, match="missing tables"):
        read((tmp_path / "run.db3").read_bytes(), tmp_path)
