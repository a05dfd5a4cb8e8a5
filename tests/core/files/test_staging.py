"""Several files appear together or not at all, and never in the place of another's."""

import os
import signal
import subprocess
import sys

import pytest

from da3_ros.core.files.staging import UNFINISHED, new_folder, staged


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_files_appear_when_all_are_written(tmp_path):
    folder = tmp_path / "new" / "out"
    with staged(folder) as stage:
        (stage.path / "a.txt").write_text("a")
        (stage.path / "deep" / "er").mkdir(parents=True)
        (stage.path / "deep" / "er" / "b.txt").write_text("b")
        assert [p.name for p in folder.iterdir() if not p.name.startswith(".")] == []
    assert stage.files == [folder / "a.txt", folder / "deep" / "er" / "b.txt"]
    assert tree(tmp_path) == ["new/out/a.txt", "new/out/deep/er/b.txt"] and not stage.replaced
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing_and_harms_nothing(tmp_path, error):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.txt").write_text("old")
    for folder in (tmp_path / "old", tmp_path / "new" / "deep"):
        with pytest.raises(error), staged(folder) as stage:
            (stage.path / "a.txt").write_text("half")
            raise error
    assert tree(tmp_path) == ["old/a.txt"] and (tmp_path / "old" / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


def test_what_is_replaced_and_what_stays_is_known(tmp_path):
    (tmp_path / "vis").mkdir()
    for name in ("0.jpg", "1.jpg", "2.jpg", "notes.txt"):
        (tmp_path / "vis" / name).write_text("old")
    with staged(tmp_path) as stage:
        (stage.path / "vis").mkdir()
        (stage.path / "vis" / "0.jpg").write_text("new")
    assert stage.replaced == [tmp_path / "vis" / "0.jpg"] and stage.left == 2
    assert (tmp_path / "vis" / "0.jpg").read_text() == "new"


def test_links_that_lead_out_are_refused_and_links_in_the_place_of_a_file_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine.txt").write_text("mine")
    (tmp_path / "out" / "deep").symlink_to(tmp_path / "outside")
    (tmp_path / "out" / "a.txt").symlink_to(tmp_path / "outside" / "mine.txt")
    refused = pytest.raises(OSError, match="deep' is a link that leads out of")
    with refused, staged(tmp_path / "out") as stage:
        (stage.path / "a.txt").write_text("new")
        (stage.path / "deep").mkdir()
        (stage.path / "deep" / "mine.txt").write_text("new")
    assert (tmp_path / "out" / "a.txt").is_symlink()
    with staged(tmp_path / "out") as stage:
        (stage.path / "a.txt").write_text("new")
    assert not (tmp_path / "out" / "a.txt").is_symlink()
    assert (tmp_path / "outside" / "mine.txt").read_text() == "mine"


def test_a_folder_in_the_place_of_a_file_is_named_before_anything_moves(tmp_path):
    (tmp_path / "b.txt").mkdir()
    refused = pytest.raises(OSError, match="b.txt' is a folder, where a file has to be")
    with refused, staged(tmp_path) as stage:
        (stage.path / "a.txt").write_text("new")
        (stage.path / "b.txt").write_text("new")
    assert tree(tmp_path) == []


def test_a_new_folder_never_takes_the_place_of_another(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "x-2").symlink_to(outside)
    (tmp_path / "x-3").write_text("a file")
    (tmp_path / "x-4").symlink_to(tmp_path / "nowhere")
    names = []
    for _ in range(2):
        with new_folder(tmp_path / "x") as stage:
            (stage.path / "a.txt").write_text("new")
        names.append(stage.path.name)
        assert stage.files == [stage.path / "a.txt"] and stage.files[0].read_text() == "new"
    assert names == ["x-5", "x-6"] and not list(outside.iterdir())
    with pytest.raises(ValueError), new_folder(tmp_path / "y") as stage:
        (stage.path / "a.txt").write_text("half")
        raise ValueError
    assert sorted(p.name for p in tmp_path.iterdir() if p.name[0] in ".y") == []


KILLED = """
import sys
from pathlib import Path
from da3_ros.core.files.staging import {way}
with {way}(Path(sys.argv[1])) as stage:
    (stage.path / "scene.glb").write_text("whole")
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("way", ["staged", "new_folder"])
def test_a_killed_process_leaves_nothing_that_looks_finished(tmp_path, way):
    command = [sys.executable, "-c", KILLED.format(way=way), str(tmp_path / "out")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    parts = [p.relative_to(tmp_path).parts for p in tmp_path.rglob("*") if p.is_file()]
    assert parts and all(any(n.startswith(UNFINISHED) for n in names) for names in parts)
