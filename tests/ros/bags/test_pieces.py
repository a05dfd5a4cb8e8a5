"""A bag in pieces: the same bytes as in one go, whatever happens at the boundaries."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from bag_files import files
from hypothesis import given, settings
from hypothesis import strategies as st
from long_bag import PARAMETERS, START_NS, stretch
from scipy.spatial import cKDTree
from xyz_cloud import xyz_cloud

from da3_ros.commands.process import FleetOptions, parse_arguments, process_all
from da3_ros.core.config import from_dict
from da3_ros.ros.bags import tasks
from da3_ros.ros.bags.bag import BagReader, BagWriter, Span
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.bags.fleet import Fleet, Splitting
from da3_ros.ros.bags.made_of import RECORD
from da3_ros.ros.bags.pieces import COLLECT_NS, Phase, Piece, cut, put_together
from da3_ros.ros.bags.pools import OwnProcess
from da3_ros.ros.bags.process_piece import RECORD as PIECE
from da3_ros.ros.bags.process_piece import PieceRecord

FRAMES = 36
TIMES = 5
"""The bag lasts 18 s, two images per second."""


@pytest.fixture(scope="module")
def drive(room, tmp_path_factory):
    return stretch(room, tmp_path_factory.mktemp("bags") / "drive", TIMES)


@pytest.fixture(scope="module")
def whole(drive, tmp_path_factory):
    job = BagJob(drive, tmp_path_factory.mktemp("whole"), PARAMETERS, "npz-mesh_ply")
    (report,) = process_all([job])
    assert report.failure == ""
    return report


def in_pieces(job, seconds=6.0, exactly=True):
    """The report, and the tasks that were done, all in this process."""
    fleet = Fleet([job], Splitting(seconds, exactly))
    done = []

    class Pool(OwnProcess):
        def submit(self, task):
            done.append(task)
            super().submit(task)

    (report,) = fleet.work(Pool(lambda images: None), lambda images: None)
    return report, done


def test_pieces_are_what_one_run_writes(whole, tmp_path):
    report, done = in_pieces(replace(whole.job, out=tmp_path))
    assert report.failure == "" and report.counts == whole.counts
    assert [bool(task.piece) for task in done] == [True, True, True, False]
    assert report.warnings[:-1] == whole.warnings
    assert report.warnings[-1] == "processed in 3 pieces"
    one, other = files(whole.job.result), files(report.job.result)
    mesh = "exports/mesh.ply"
    assert one.keys() == other.keys() and mesh in one
    assert {n: d for n, d in one.items() if n != mesh} == {
        n: d for n, d in other.items() if n != mesh
    }
    assert {path.name for path in tmp_path.iterdir()} == {"drive"}


def test_the_map_of_pieces_is_the_map_of_all(whole, tmp_path):
    report, _ = in_pieces(replace(whole.job, out=tmp_path))
    one, other = (
        trimesh.load(job.result / "exports" / "mesh.ply") for job in (whole.job, report.job)
    )
    away, _ = cKDTree(one.vertices).query(other.vertices)
    assert np.median(away) < 0.02 and len(other.faces) > 0.8 * len(one.faces)


def test_a_boundary_where_the_robot_stands_is_none(room, whole, tmp_path):
    """It has stood for longer than a piece looks back: only a run from before knows the metres."""

    def stand(topic, seconds, msg):
        if topic != "/tf":
            return True
        if seconds > 2:  # the bag then says that it stays where it was
            msg.transforms[0].transform = stand.last
        else:
            stand.last = msg.transforms[0].transform
        return True

    drive = stretch(room, tmp_path / "drive", TIMES, stand)
    jobs = [BagJob(drive, tmp_path / out, PARAMETERS) for out in ("whole", "pieces")]
    (one,) = process_all(jobs[:1])
    other, done = in_pieces(jobs[1])
    assert one.failure == other.failure == ""
    assert files(jobs[0].result) == files(jobs[1].result)
    assert len(done) > 3 and "at 1 boundaries" in other.warnings[-1]


def test_a_jump_in_time_among_the_pieces(drive, tmp_path):
    """The path begins anew there, in whichever piece it is."""

    def jump(topic, seconds, msg):
        for stamped in getattr(msg, "transforms", [msg]):
            stamped.header.stamp.sec += 1000 if seconds < 7 else 0
        return True

    twice = stretch(drive, tmp_path / "drive2", 1, jump)
    jobs = [BagJob(twice, tmp_path / out, PARAMETERS) for out in ("whole", "pieces")]
    (one,), (other, _) = process_all(jobs[:1]), in_pieces(jobs[1])
    assert any("jumped back" in sentence for sentence in one.warnings)
    assert one.counts == other.counts and one.warnings == other.warnings[:-1]
    assert files(jobs[0].result) == files(jobs[1].result)


def test_a_run_that_was_interrupted_goes_on(whole, tmp_path, monkeypatch):
    """Pieces that are done are not done again; nor are those made of something else taken."""
    job = replace(whole.job, out=tmp_path, formats="")
    real, started = tasks.process_piece, []

    def interrupt(job, piece, folder, progress):
        if len(started) == 2:
            raise KeyboardInterrupt
        started.append(piece)
        real(job, piece, folder, progress)

    monkeypatch.setattr(tasks, "process_piece", interrupt)
    with pytest.raises(KeyboardInterrupt):
        in_pieces(job)
    monkeypatch.setattr(tasks, "process_piece", real)
    assert not job.result.exists()
    report, done = in_pieces(job)
    assert report.failure == "" and len(done) == 2  # the third piece, and what joins them
    again, done = in_pieces(job)
    assert again.counts == report.counts and not done
    assert "it was there already, made from the same" in again.warnings
    other = replace(job, parameters={**job.parameters, "output.max_depth": 5.0})
    refused, done = in_pieces(other)
    assert not done and "exists already, made from other parameters;" in refused.failure
    record = json.loads((job.result / RECORD).read_text())
    record["made_of"]["weights"] = "of last year"
    (job.result / RECORD).write_text(json.dumps(record))
    (refused,) = process_all([job])
    assert "exists already, made from other weights;" in refused.failure


LISTS = b"[" * 100_000, b"null", b"[]"
RECORDS = (b"", b"\xff", *LISTS, b"{}", b'{"counts": 1}', b'{"counts": {"received": 1}}')


def test_a_record_that_cannot_be_read_is_of_a_piece_still_to_do(whole, tmp_path):
    """As a crash of the machine leaves it."""
    for k, content in enumerate(RECORDS):
        folder = tmp_path / f"piece{k}"
        folder.mkdir()
        (folder / PIECE).write_bytes(content)
        assert PieceRecord.read(folder) is None
    (tmp_path / "folder" / PIECE).mkdir(parents=True)
    assert PieceRecord.read(tmp_path / "folder") is None
    job = replace(whole.job, out=tmp_path / "out", formats="")
    fleet = Fleet([job], Splitting(6.0, True))
    for task in fleet.tasks:
        task.folder.mkdir(parents=True)
        (task.folder / PIECE).write_text("")
    report, done = in_pieces(job)
    assert report.failure == "" and report.counts == whole.counts
    assert [bool(task.piece) for task in done] == [True, True, True, False]
    assert [path.name for path in job.out.iterdir()] == [job.name]


def test_what_goes_wrong_between_pieces_costs_that_bag_only(drive, tmp_path, monkeypatch, capfd):
    """A disk that loses what was written, and a record of wrong types."""
    jobs = [BagJob(drive, tmp_path / name, PARAMETERS) for name in ("lost", "odd", "sound")]
    real = tasks.process_piece

    def spoil(job, piece, folder, progress):
        real(job, piece, folder, progress)
        record = json.loads((folder / PIECE).read_text())
        record["after"]["depth"] = "deep"
        if job is not jobs[2]:
            (folder / PIECE).write_text("" if job is jobs[0] else json.dumps(record))

    monkeypatch.setattr(tasks, "process_piece", spoil)
    pool = OwnProcess(lambda images: None)
    lost, odd, sound = Fleet(jobs, Splitting(9.0)).work(pool, lambda images: None)
    assert re.search("cannot be read although that piece was processed: the folder", lost.failure)
    assert odd.failure.startswith("internal error, see above: TypeError")
    assert "Traceback" in capfd.readouterr().err
    assert sound.failure == "" and sound.counts.published


def test_without_poses_a_bag_is_not_split(drive, tmp_path):
    job = BagJob(drive, tmp_path, {**PARAMETERS, "pose.source": "none"})
    report, done = in_pieces(job)
    assert not done and report.failure.startswith("--split needs poses: without them each window")


def test_times_that_make_no_sense_make_no_million_pieces(room, tmp_path):
    path = stretch(room, tmp_path / "odd", 1_000_000)
    report, done = in_pieces(BagJob(path, tmp_path / "out", PARAMETERS), 10.0)
    assert not done and "recording times span" in report.failure


@settings(max_examples=50)
@given(st.integers(0, 10**12), st.integers(1, 10**12), st.floats(1.0, 1e4))
def test_pieces_cover_a_bag_once(start, length, seconds):
    if length / 1e9 / seconds > 1000:
        return
    pieces = cut(Span(start, start + length), seconds)
    assert pieces[0].start_ns is None and pieces[-1].stop_ns is None
    assert all(a.stop_ns == b.start_ns for a, b in zip(pieces, pieces[1:]))
    inner = [p.stop_ns - p.start_ns for p in pieces[1:-1]]
    assert all(abs(ns - seconds * 1e9) <= 1 for ns in inner)
    assert len({p.name for p in pieces}) == len(pieces)


@given(st.lists(st.booleans(), max_size=8))
def test_pieces_that_do_not_fit_are_one(misfits):
    pieces = cut(Span(0, (len(misfits) + 1) * 10**10), 10.0)
    together = put_together(pieces, misfits)
    assert len(together) == len(pieces) - sum(misfits)
    assert together[0].start_ns is None and together[-1].stop_ns is None
    assert all(a.stop_ns == b.start_ns for a, b in zip(together, together[1:]))


def test_a_piece_looks_back_in_two_phases():
    config = from_dict({"window.max_age": 7.0})
    piece = Piece(START_NS, None)
    for period_ns, lasts in ((10**8, 12), (10**9, 21)):
        (collect, _), (settle, _), (write, _) = piece.phases(config, period_ns)
        assert (write - settle, settle - collect) == (lasts * 10**9, COLLECT_NS)
        assert write == START_NS
    assert Piece(None, 5).phases(config, 10**8) == [(0, Phase.WRITE)]


def test_a_part_of_a_bag_is_read(drive):
    with BagReader(drive) as bag:
        times = [t for _, t, _ in bag.messages("/camera/image_raw")]
        part = bag.messages("/camera/image_raw", span=Span(times[3], times[7]))
        assert [t for _, t, _ in part] == times[3:7]


def test_command_lines(tmp_path, capsys):
    bag = tmp_path / "a.mcap"
    bag.write_bytes(b"")
    for arguments, sentence in (
        (["--split", "0.5"], "--split is 0.5, must be at least 1 second"),
        (["--split", "1e308"], "--split is 1e+308, must be at least 1 second, at most 1e+09"),
        (["--split", "nan"], "--split is nan"),
        (["--ray", str(bag)], "is not an address: name bags before --ray"),
        (["--ray", "--jobs", "2"], "--jobs is for one machine"),
        (["--ray", "--cpus-per-task", "0"], "--cpus-per-task is 0"),
        (["--ray", "--gpus-per-task", "-1"], "--gpus-per-task is -1"),
        (["--gpus-per-task", "1"], "belong to --ray"),
    ):
        with pytest.raises(SystemExit):
            parse_arguments(["a", "--out", "x", *arguments])
        assert sentence in capsys.readouterr().err
    _, options = parse_arguments(["a", "--out", "x", "--split", "60", "--deterministic"])
    assert options == FleetOptions(1, Splitting(60.0, True), None)
    _, options = parse_arguments(["a", "--out", "x", "--ray", "10.0.0.2:6379"])
    assert (options.ray.address, options.ray.cpus, options.ray.gpus) == ("10.0.0.2:6379", 1, None)


def test_a_rig_with_a_camera_that_ends_and_anchors(room, tmp_path):
    """What waits for other cameras at a boundary, and points from outside."""
    drive = stretch(room, tmp_path / "drive", TIMES)
    with BagReader(drive) as bag, BagWriter(tmp_path / "rig") as out:
        for topic, time_ns, msg in bag.messages(*(c.topic for c in bag.connections)):
            if not topic.startswith("/camera/"):
                out.write(topic, time_ns, msg)
                if topic == "/tf_static":
                    msg.transforms[0].child_frame_id = "left_optical_frame"
                    out.write(topic, time_ns, msg)
                continue
            out.write(topic.replace("/camera/", "/front/"), time_ns, msg)
            msg.header.frame_id = "left_optical_frame"
            msg.header.stamp.nanosec += 10_000_000
            if time_ns < START_NS + 4 * 10**9:
                out.write(topic.replace("/camera/", "/left/"), time_ns + 10_000_000, msg)
            if topic.endswith("image_raw"):
                points = np.random.default_rng(time_ns).normal((0, 0, 3), 0.3, (50, 3))
                out.write("/anchor/points", time_ns + 10_000_000, xyz_cloud(msg.header, points))
    rig = {"input.cameras": ["front", "left"], "input.sync_tolerance": 0.02}
    jobs = [BagJob(tmp_path / "rig", tmp_path / out, PARAMETERS | rig) for out in ("one", "two")]
    (one,), (other, _) = process_all(jobs[:1]), in_pieces(jobs[1])
    assert one.failure == other.failure == "" and one.counts == other.counts
    assert one.counts.received > FRAMES and one.warnings == other.warnings[:-1]
    assert files(jobs[0].result) == files(jobs[1].result)
