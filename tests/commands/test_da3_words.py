"""What the `da3` command says where it takes less than it was given, or cannot go on."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from da3_ros.commands import da3
from da3_ros.core.exit_codes import UNREAD
from da3_ros.core.export.folder import export_root
from da3_ros.core.files.video import write_video
from da3_ros.core.user_input.video import VideoError


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pictures"
    path.mkdir()
    for i in range(2):
        Image.fromarray(np.full((60, 80, 3), 90 * i, np.uint8)).save(path / f"{i}.png")
    return path


def infer(folder, *options):
    options = ["--model", "da3-demo", "--process-res", "56", "--device", "cpu", *options]
    return da3.main(["infer", str(folder), *options])


def test_warnings_are_sentences_of_the_command(folder, tmp_path, capsys):
    """Not lines of its source."""
    Image.new("RGB", (60, 80)).save(folder / "2.png")
    assert infer(folder, "--export-format", "mini_npz", "--export-dir", str(tmp_path / "out")) == 0
    said = capsys.readouterr().err
    assert any(line.startswith("da3: the images have") for line in re.split(r"[\r\n]", said))
    assert "UserWarning" not in said


def test_the_home_of_nobody_is_a_folder_of_that_name(folder, tmp_path, monkeypatch, capsys):
    """As for shells, and for the export itself."""
    monkeypatch.chdir(tmp_path)
    out = "~nobody_of_this_name/out"
    assert infer(folder, "--export-format", "mini_npz", "--export-dir", out) == 0
    assert f"mini_npz written to {tmp_path / out}" in capsys.readouterr().out
    assert (tmp_path / out / "exports/mini_npz/results.npz").is_file()
    assert export_root(out) == Path(out)


def test_given_pictures_in_the_place_of_files_are_named_before_the_model_comes(folder, capsys):
    (folder / "depth_vis").mkdir()
    for name in ("scene.jpg", "depth_vis/0000.jpg"):  # as of an earlier export
        Image.new("RGB", (80, 60)).save(folder / name)
    options = ["--export-format", "glb", "--export-dir", str(folder)]
    assert da3.main(["infer", str(folder), "--model", "nobody/nothing", *options]) == 1
    assert "scene.jpg' has the name of a file to write" in capsys.readouterr().err


@pytest.fixture
def film(tmp_path):
    return str(write_video(tmp_path / "a.mp4", [np.zeros((64, 96, 3), np.uint8)] * 12, fps=4))


def test_the_rest_of_a_film_is_said(film, tmp_path, capsys):
    common = ["--model", "da3-demo", "--process-res", "56", "--device", "cpu", "--fps", "4"]
    common += ["--export-format", "mini_npz", "--export-dir", str(tmp_path / "out")]
    assert da3.main(["video", film, "--max-frames", "3", *common]) == 0
    said = capsys.readouterr().err
    assert "da3: only the first 3 pictures of" in said and "--max-frames takes more" in said
    assert da3.main(["video", film, "--max-frames", "12", *common]) == 0
    assert "only the first" not in capsys.readouterr().err


def test_an_error_behind_the_last_picture_asked_for_costs_none(monkeypatch, tmp_path, capsys):
    """As of a film on a disk that fails there."""

    def fails_later(path, *, fps):
        yield from [np.zeros((64, 96, 3), np.uint8)] * 3
        raise VideoError("Input/output error")

    monkeypatch.setattr(da3, "read_video", fails_later)
    options = ["--model", "da3-demo", "--process-res", "56", "--device", "cpu"]
    options += ["--export-format", "mini_npz", "--export-dir", str(tmp_path)]
    assert da3.main(["video", "a.mp4", "--max-frames", "3", *options]) == 0
    assert "only the first 3 pictures of 'a.mp4'" in capsys.readouterr().err
    assert da3.main(["video", "a.mp4", "--max-frames", "4", *options]) == 1


def test_options_are_checked_before_a_film_is_read(film, capsys):
    assert da3.main(["video", film, "--export-format", "obj"]) == 1
    assert capsys.readouterr().err == "da3: " + said_of_obj()


def said_of_obj():
    return (
        "export format 'obj' is unknown; use mini_npz, npz, glb, ply, colmap, gs_ply, gs_video, "
        "feat_vis, depth_vis, joined with '-'\n"
    )


def test_what_a_folder_holds_besides_is_said(folder, tmp_path, capsys):
    (folder / "b.HEIC").write_bytes(b"")
    assert infer(folder, "--export-format", "glb", "--export-dir", str(folder)) == 0
    assert "left out: 1 file (.HEIC)" in capsys.readouterr().err
    assert infer(folder, "--export-format", "glb", "--export-dir", str(folder)) == 0
    said = capsys.readouterr()
    assert "2 depth maps" in said.out and "scene.jpg" in said.err


@pytest.mark.parametrize("device", ["mps", "xpu", "meta", "vulkan"])
def test_devices_that_are_not_there_are_one_sentence(folder, capsys, device):
    assert da3.main(["infer", str(folder), "--device", device]) == 1
    is_taken = device in ("mps", "xpu")  # where torch has one
    why = f"but torch sees no {device} device here" if is_taken else "must be auto, cpu, cuda or"
    said = capsys.readouterr().err
    assert said.startswith(f"da3: --device is '{device}', {why}") and said.count("\n") == 1


def test_a_home_of_its_own_is_no_folder_called_tilde(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert infer(folder, "--export-format", "mini_npz", "--export-dir=~/out") == 0
    assert (tmp_path / "home/out/exports/mini_npz/results.npz").exists()
    assert str(tmp_path / "home" / "out") in capsys.readouterr().out
    assert not (tmp_path / "~").exists()


@pytest.fixture
def full_disk(request):
    """Files end after so many bytes, as if the disk were full there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.param, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("full_disk", [5000], indirect=True)
def test_a_full_disk_is_named_with_its_place(folder, tmp_path, capsys, full_disk):
    assert infer(folder, "--export-format", "npz", "--export-dir", str(tmp_path / "out")) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"(File too large): make room below '{tmp_path / 'out'}'" in said


@pytest.mark.parametrize("full_disk", [500_000], indirect=True)
def test_engines_name_a_full_disk_with_its_place(tmp_path, capsys, full_disk):
    size = ["--views", "2", "--res", "56"]
    out = tmp_path / "engine"
    assert da3.main(["export-onnx", "--model", "da3-demo", "--out", str(out), *size]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"da3: the files do not fit (File too large): make room below {out}"


def test_engines_go_nowhere_before_the_network_is_there(capsys):
    assert da3.main(["export-onnx", "--model", "a/b", "--out", "/proc/engine"]) == 1
    assert "--out is '/proc/engine', but '/proc' may not be written to" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["formats", "presets"])
def test_a_reader_that_has_read_enough_is_no_error(verb):
    command = [sys.executable, "-m", "da3_ros.commands.da3", verb]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode in (0, UNREAD)  # what is short waits for the end, in a buffer


def test_a_broken_pipe_of_another_kind_is_an_error(monkeypatch, capfd):
    """Nobody may be told nothing while somebody reads."""

    def write_to_nobody(options):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            os.write(writer, b"-")
        finally:
            os.close(writer)

    monkeypatch.setattr(da3, "_formats", write_to_nobody)
    assert da3.main(["formats"]) == 1
    assert capfd.readouterr().err == "da3: [Errno 32] Broken pipe\n"


LITTLE_MEMORY = """
import resource, sys, torch
from da3_ros.commands import da3
torch.zeros(10)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20,) * 2)
sys.exit(da3.main(sys.argv[1:]))
"""
"""A process of its own: one that has worked before has memory left over."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
def test_memory_that_does_not_suffice_is_one_sentence(folder, tmp_path):
    """As where torch itself says it: of the whole address space a little is left."""
    for i in range(60):
        Image.new("RGB", (640, 480)).save(folder / f"{i}.png")
    arguments = ("infer", str(folder), "--model", "da3-demo", "--process-res", "504")
    ended = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, *arguments, "--export-dir", str(tmp_path / "out")],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("da3: out of memory: 60 images of 504x378 px do not fit; lower process_")
