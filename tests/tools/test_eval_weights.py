"""The report on weights: its numbers are those of their definitions, its runs are whole."""

import re

import cv2
import layouts
import numpy as np
import pytest

from da3_ros.core import poses
from da3_ros.net.checkpoint import load_network
from tools.eval_weights import __main__ as command
from tools.eval_weights.jobs import JOBS, pose_noise, ranges, time_offset
from tools.eval_weights.jobs.job import Subject
from tools.eval_weights.measure import (
    CAMERAS,
    POINTS,
    UNPOSED,
    Compared,
    Measured,
    camera_errors,
    compare,
    errors,
    measure,
    summary,
    ways_of,
)
from tools.eval_weights.recording import EXACT, Dataset, PosedRecording
from tools.eval_weights.synthetic import demo_room


@pytest.fixture(scope="module")
def room() -> Dataset:
    return demo_room(layouts.SMALL)


@pytest.fixture(scope="module")
def network():
    return load_network("da3-demo")


def still(count: int) -> PosedRecording:
    T = np.tile(np.eye(4), (count, 1, 1))
    return PosedRecording("still", np.arange(1, count + 1), T, lambda i: i)


def test_errors_are_those_of_their_definitions():
    found = errors(Compared(np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 4.0]), 0.5), metric=True)
    assert found["abs_rel"] == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert found["bias"] == pytest.approx(0)
    assert found["delta1"] == pytest.approx(1 / 3)
    assert found["scale_error"] == 0 and found["aligned"] == found["abs_rel"]
    assert found["coverage"] == 0.5
    twice = errors(Compared(np.array([2.0, 4.0]), np.array([1.0, 2.0]), 1.0), metric=True)
    assert twice["scale_error"] == pytest.approx(np.log(2)) and twice["aligned"] == 0


def test_nothing_is_said_of_what_has_no_unit_or_no_depth():
    relative = errors(Compared(np.array([1.0]), np.array([2.0]), 1.0), metric=False)
    assert np.isnan([relative[k] for k in ("abs_rel", "delta1", "bias", "scale_error")]).all()
    assert relative["aligned"] == 0
    empty = errors(Compared(np.array([]), np.array([]), 0.0), metric=True)
    assert empty.pop("coverage") == 0 and np.isnan(list(empty.values())).all()


def test_only_known_truth_is_compared():
    truth = np.array([[1.0, np.nan], [80.0, 2.0]], np.float32)
    found = compare(np.array([[1.5, 1.0], [1.0, np.nan]], np.float32), truth)
    assert (found.said.tolist(), found.true.tolist(), found.coverage) == ([1.5], [1.0], 0.5)
    assert np.isnan(compare(np.ones((2, 2), np.float32), np.full((2, 2), np.nan)).coverage)


def test_cameras_that_are_right_but_for_world_and_scale_have_no_error():
    rng = np.random.default_rng(1)
    T = np.stack([layouts.way(i) for i in (0, 8, 16)])
    said = layouts.way(100) @ T
    said[:, :3, 3] *= 3.0
    found = camera_errors(T, said, reference=1)
    assert found["rotation_deg"] == pytest.approx(0, abs=1e-5)
    assert found["translation"] == pytest.approx(0, abs=1e-9)
    turned = pose_noise.turned(T, 1.0, rng)
    assert 0.3 < camera_errors(T, turned, reference=1)["rotation_deg"] < 6
    assert np.isnan(camera_errors(T, None, 1)["rotation_deg"])
    assert np.isnan(camera_errors(T[:1], T[:1], 0)["translation"])
    standing = np.tile(T[:1], (3, 1, 1))
    assert np.isnan(camera_errors(standing, T, 0)["translation"])


def test_a_window_without_depth_shows_in_the_coverage_alone():
    good = {"abs_rel": 0.2, "coverage": 1.0}
    bad = {"abs_rel": np.nan, "coverage": 0.0}
    nothing = Compared(np.array([]), np.array([]), 0.0)
    rows = [Measured(good, nothing, "parallax"), Measured(bad, nothing, "none")]
    found = summary(rows)
    assert (found["abs_rel"], found["coverage"], found["windows"]) == (0.2, 0.5, 2)
    assert found["rests_on"] == "1 parallax, 1 none"


def test_takes_are_spread_over_all_recordings():
    dataset = Dataset("two", EXACT, (still(5), still(3)))
    takes = dataset.takes(count=4, views=2, gap=2)
    assert [t.indices for t in takes] == [(0, 2), (1, 3), (2, 4), (0, 2)]
    assert [len(t.recording) for t in takes] == [5, 5, 5, 3]
    assert len(dataset.takes(100, 2)) == 4 + 2
    assert dataset.takes(4, views=6) == []


def test_poses_late_by_a_frame_are_those_of_the_next_one(room):
    (take,) = room.takes(1, 3)
    way = take.recording.T_world_cam
    np.testing.assert_allclose(time_offset.late(0)(take), way[:3], atol=1e-12)
    period = np.diff(take.recording.stamps_ns)[0] / 1e6
    np.testing.assert_allclose(time_offset.late(period)(take), way[1:4], atol=1e-9)
    half = time_offset.late(period / 2)(take)[0]
    np.testing.assert_allclose(half, poses.interpolate(way[0], way[1], 0.5), atol=1e-6)
    # Before the beginning there is no other pose.
    np.testing.assert_array_equal(time_offset.late(-500)(take), np.stack([way[0]] * 3))


def test_noise_has_the_size_that_is_said():
    T = np.tile(layouts.way(0), (4000, 1, 1))
    rng = np.random.default_rng(0)
    moved = pose_noise.moved(T, 2.0, rng)[:, :3, 3] - T[:, :3, 3]
    np.testing.assert_allclose(moved.std(axis=0), 0.02, rtol=0.05)
    turned = poses.inverse(T) @ pose_noise.turned(T, 1.0, rng)
    angles = poses.rotation_angle(turned[:, :3, :3])
    assert np.sqrt((angles**2).mean() / 3) == pytest.approx(np.radians(1), rel=0.05)


def test_ranges_hold_what_lies_in_them():
    compared = Compared(np.repeat([1.5, 3.0], 30), np.repeat([1.0, 4.0], 30), 1.0)
    windows = [Measured({}, compared, "cameras")]
    near, far = ranges.within(windows, 0, 2), ranges.within(windows, 2, 5)
    assert (near["abs_rel"], near["bias"], near["share"]) == (0.5, 0.5, 0.5)
    assert (far["bias"], far["error_m"]) == (-0.25, 1.0)
    assert ranges.within(windows, 5, 9) == {}


def test_a_trained_network_sees_the_room_and_noise_makes_it_worse(room, network):
    shots = room.takes(1, 4, gap=4)[0].shots()
    small = {"model.process_res": 112}
    posed = measure(network, shots, CAMERAS.having(small))
    unposed = measure(network, shots, UNPOSED.having(small))
    assert posed.numbers["aligned"] < 0.25 and unposed.numbers["aligned"] < 0.25
    assert posed.numbers["coverage"] == 1 and posed.rests_on == "cameras"
    assert np.isnan(unposed.numbers["abs_rel"])
    T = np.stack([shot.frame.T_world_cam for shot in shots])
    wrong = pose_noise.moved(T, 30.0, np.random.default_rng(0))
    noisy = measure(network, shots, CAMERAS.having(small), wrong)
    assert noisy.numbers["translation"] > posed.numbers["translation"]


def test_what_says_nothing_is_left_out_with_a_reason(room, network):
    standing = Dataset("standing", EXACT, (still(9),))
    subject = Subject(network, standing, windows=2, views=4, values={})
    for name in ("reference", "spacing", "pose-noise", "time-offset", "range"):
        assert JOBS[name].missing(subject) == "the camera stands still"
    assert JOBS["stereo"].missing(Subject(network, room, 2, 4, {})) == "no stereo camera"
    short = Dataset("short", EXACT, (PosedRecording("short", np.array([1]), np.eye(4)[None], id),))
    assert "2 pictures" in JOBS["views"].missing(Subject(network, short, 2, 4, {}))
    assert ways_of(network) == (POINTS, CAMERAS, UNPOSED)


@pytest.mark.parametrize("name", ["reference", "spacing", "pose-noise", "time-offset"])
def test_jobs_say_something_in_every_row(room, network, name):
    job = JOBS[name]
    subject = Subject(network, room, windows=1, views=2, values={"model.process_res": 56})
    rows = job.run(subject)
    assert not job.missing(subject) and rows
    assert len({(row.label, row.at) for row in rows}) == len(rows)
    for row in rows:
        assert row.numbers["windows"] == 1
        assert np.isfinite(row.numbers["aligned"]) or row.numbers["coverage"] == 0


def test_the_report_is_whole(tmp_path):
    data = tmp_path / "some_room"
    data.mkdir()
    layouts.write_plain(data, count=6)
    out = tmp_path / "docs" / "report.md"
    jobs = ["views", "range", "stereo"]
    command.main(
        ["--model", "da3-demo", "--data", str(data), "--beside", str(tmp_path / "none"), "--out",
         str(out), "--windows", "1", "--views", "3", "--res", "112", "--threads", "1",
         "--jobs", *jobs]
    )  # fmt: skip
    text = out.read_text()
    assert re.findall(r"^## (.*)$", text, re.M) == [JOBS[name].title for name in jobs]
    assert "7scenes_redkitchen is not beside the project" in text
    assert "1 of 6 pictures left out: their pose is unknown" in text
    assert str(tmp_path) not in text
    for picture in re.findall(r"\]\((images/.*?)\)", text):
        image = cv2.imread(str(out.parent / picture))
        assert image.shape[0] > 200 and image.std() > 5
    assert len(re.findall(r"\]\(images/", text)) == 2  # nobody has a stereo camera
    assert "some_room: not measured, no stereo camera" in text
    for row in re.findall(r"^\| (?:posed|unposed).*$", text, re.M):
        assert re.search(r"\d\.\d{3}", row) and "nan" not in row


def test_random_weights_damaged_pictures_and_wrong_folders_are_said(tmp_path, capsys):
    data = tmp_path / "some_room"
    data.mkdir()
    layouts.write_plain(data, count=3)
    (data / "rgb" / "000001.png").write_bytes(b"nothing")
    out = tmp_path / "r.md"
    arguments = ["--beside", str(tmp_path / "none"), "--windows", "1", "--views", "2",
                 "--res", "56", "--out", str(out), "--jobs", "range", "--threads", "1"]  # fmt: skip
    command.main([*arguments, "--model", "da3-small", "--data", str(data)])
    text = out.read_text()
    assert "random weights, whose numbers mean nothing" in text
    # One damaged file does not cost the other answers.
    assert "000001.png cannot be read as a picture" in text and "| demo room |" in text
    with pytest.raises(SystemExit) as stopped:
        command.main([*arguments, "--data", str(tmp_path)])
    assert "has none of the layouts" in str(stopped.value)
    with pytest.raises(SystemExit):
        command.main(["--views", "1"])
    assert "--views at least 2" in capsys.readouterr().err
