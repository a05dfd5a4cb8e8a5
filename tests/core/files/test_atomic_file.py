"""A file is whole or absent, whatever happens while it is written."""

import pytest

from da3_ros.core.files.atomic_file import atomic_path


def test_writes_below_missing_folders_and_keeps_the_suffix(tmp_path):
    path = tmp_path / "a" / "b" / "depth.png"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".png" and temporary.parent == path.parent
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["depth.png"]


def test_failure_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "map.ply"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk on fire")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["map.ply"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x.glb"):
        pass
