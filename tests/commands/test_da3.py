"""The `da3` command, run as a user runs it."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from da3_ros.commands import da3
from da3_ros.core.export import FORMATS
from da3_ros.core.files.video import write_video
from da3_ros.core.user_input.video import VideoError, read_video
from da3_ros.net.presets import PRESETS

PICTURE = str(Path(__file__).parents[2] / "docs" / "images" / "room_glb.jpg")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "my pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((80, 60)).save(folder / f"{i}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "da3_ros.commands.da3", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
    )


def common(folder, formats="glb-mini_npz"):
    return [
        *("--model", "da3-demo", "--process-res", 56, "--device", "cpu"),
        *("--export-dir", folder, "--export-format", formats),
    ]


def test_infer_writes_what_was_asked_for_and_shows_progress(pictures, tmp_path):
    done = run("infer", pictures, *common(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "3 depth maps of 56x42 px" in done.stdout and "written to" in done.stdout
    assert "100%" in done.stderr
    assert np.load(tmp_path / "out/exports/mini_npz/results.npz")["depth"].shape == (3, 42, 56)
    assert (tmp_path / "out" / "scene.glb").exists()


def test_infer_hands_its_options_on(pictures, tmp_path, capsys):
    images = sorted(map(str, pictures.glob("*.png")))[:2]
    kwargs = '{"glb": {"frame": "world", "export_depth_vis": false}}'
    options = ["--export-feat", "2,5", "--num-max-points", "70", "--export-kwargs", kwargs]
    options += ["--feat-vis-fps", "4", "--ref-view-strategy", "middle", "--no-cameras"]
    formats = common(tmp_path / "out", "glb-ply-feat_vis")
    assert da3.main(["infer", *images, *map(str, formats), *options]) == 0
    assert not (tmp_path / "out" / "scene.jpg").exists()
    assert b"element vertex 70\n" in (tmp_path / "out" / "points.ply").read_bytes()
    with av.open(str(tmp_path / "out/feat_vis/feat_layer_5.mp4")) as film:
        assert film.streams.video[0].average_rate == 4


def test_video_takes_frames_at_the_rate_asked_for(tmp_path, capsys):
    rng = np.random.default_rng(0)
    colors = [np.full((64, 96, 3), c, np.uint8) for c in np.linspace(0, 250, 30)]
    film = write_video(tmp_path / "drive.mp4", colors, fps=10, quality="high")
    frames = list(read_video(film, fps=2))
    assert [round(f.mean() / 250 * 29) for f in frames] == [0, 5, 10, 15, 20, 25]
    assert len(list(read_video(film, fps=100))) == 30
    noise = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(12)]
    film = write_video(tmp_path / "noise.mp4", noise, fps=4)
    arguments = ["video", film, "--fps", 2, "--max-frames", 4, *common(tmp_path / "out", "npz")]
    assert da3.main(list(map(str, arguments))) == 0
    assert np.load(tmp_path / "out/exports/npz/results.npz")["image"].shape == (4, 42, 56, 3)


def test_a_video_that_paused_is_not_caught_up_with(tmp_path):
    """As a screen is recorded, or by a phone: by the pictures' own time stamps."""
    seconds = [0, 0.2, 5, 5.2, 5.4, 5.6, 5.8, 6, 6.2]
    with av.open(str(tmp_path / "screen.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index, second in enumerate(seconds):
            shade = np.full((64, 96, 3), 25 * index, np.uint8)
            picture = av.VideoFrame.from_ndarray(shade, format="rgb24")
            picture.pts, picture.time_base = round(second * 10), Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    frames = read_video(tmp_path / "screen.mp4", fps=1)
    assert [seconds[round(f.mean() / 25)] for f in frames] == [0, 5, 6]


def test_presets_lists_every_network_and_its_license(capsys):
    assert da3.main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    assert all(p.license in line for p, line in zip(PRESETS.values(), lines))


@pytest.mark.parametrize("command", [[], ["infer"], ["video"], ["presets"]])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        da3.main([*command, "--help"])
    said = capsys.readouterr().out
    assert "da3 video drive.mp4" in said and "gs_ply" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["infer", "nowhere.png"], "cannot read 'nowhere.png', there is no such file"),
        (["infer", "."], "holds no pictures"),
        (["infer", "x.png", "--export-format", "obj"], "export format 'obj' is unknown"),
        (["infer", "x.png", "--export-feat", "two"], "--export-feat is 'two', must be like 5,11"),
        (["infer", "x.png", "--infer-gs"], "has no Gaussian head"),
        (["video", "nowhere.mp4"], "cannot read the video 'nowhere.mp4': No such file"),
        (["video", "x.mp4", "--fps", "0"], "--fps must be above 0"),
        (["video", "x.mp4", "--fps", "inf"], "--fps must be above 0, and a number"),
        (["infer", "a\x1b[2J\n\udcff.png"], r"cannot read 'a\x1b[2J\n\udcff.png'"),
        (["infer", "x.png"], "cannot read 'x.png', there is no such file"),
        (["infer", PICTURE, "--model", "da3-huge"], "unknown preset 'da3-huge'"),
        (["infer", PICTURE, "--model", "./no/such"], "no/such"),
        (["infer", __file__, "--model", "a/b"], "it is not a readable image"),
        (["infer", PICTURE, "--model", "a/b", "--device", "tpu"], "--device is 'tpu'"),
    ],
)
def test_complaints_are_one_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    defaults = [] if "--model" in arguments else ["--model", "da3-demo"]
    assert da3.main([*arguments, *defaults]) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("da3: ")]
    assert said in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--process-res", "inf", "process_res is 'inf', must be a whole number from 1 to 8192 px"),
        ("--num-max-points", "-1", "num_max_points is -1, must be at least 0"),
        ("--ref-view-strategy", "best", "ref_view_strategy is 'best', must be one of first"),
        ("--conf-thresh-percentile", "150", "conf_thresh_percentile is 150, must be at least 0 %"),
    ],
)
def test_arguments_are_checked_as_inference_checks_them(flag, value, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        da3.main(["infer", "x.png", flag, value])
    assert said in capsys.readouterr().err


def test_formats_lists_every_option(capsys):
    assert da3.main(["formats"]) == 0
    said = capsys.readouterr().out
    for name, format in FORMATS.items():
        assert name in said.splitlines()
        assert all(f"    {o.name} ({o.default!r}; " in said for o in format.options.declared())


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_bad_json_is_refused(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        da3.main(["infer", "x.png", "--export-kwargs", text])
    assert "JSON" in capsys.readouterr().err


def test_a_file_without_video(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("hello")
    with pytest.raises(VideoError, match="cannot read the video"):
        list(read_video(path, fps=1))


def test_a_video_of_endless_pictures_is_refused_by_its_header(tmp_path, monkeypatch):
    film = write_video(tmp_path / "film.mp4", [np.zeros((64, 96, 3), np.uint8)] * 3, fps=10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 96 // 2 - 1)
    with pytest.raises(VideoError, match="are 96x64, more than 6,142 pixels; if they are meant"):
        list(read_video(film, fps=1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert len(list(read_video(film, fps=10))) == 3


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--image-size", "0x480"), "--image-size is '0x480', must be like 640x480"),
        (("--image-size", "640"), "--image-size is '640', must be like 640x480"),
        (("--views", "0"), "--views is 0, must be 1 to 64"),
        (("--image-size", "99999x3"), "too narrow for patches of 14 px"),
        (("--res", "-5"), "--res is -5, must be 14 to 4032 px, or 0"),
        # Before anything is read, not after the export.
        (("--res", "5000", "--model", "./no/such"), "--res is 5000, must be 14 to 4032 px, or 0"),
    ],
)
def test_sizes_of_engines_that_cannot_be(tmp_path, capsys, words, sentence):
    out = tmp_path / "engine"
    assert da3.main(["export-onnx", "--model", "da3-demo", "--out", str(out), *words]) == 1
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1 and not out.exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "{"], ids=["deep", "long", "open"])
def test_json_that_is_none_is_one_sentence(capsys, text):
    with pytest.raises(SystemExit):
        da3.main(["infer", "x.png", "--export-kwargs", text])
    assert "--export-kwargs: is not JSON: " in capsys.readouterr().err.splitlines()[-1]
