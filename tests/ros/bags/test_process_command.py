"""The command da3_process: many bags, bad ones among them, what it says and how it ends."""

import shutil
import signal
import sys

import numpy as np
import pytest
from bag_files import SMALL, copy, read, write_parameters
from graph import Process
from processes import children, is_running, wait_until

from da3_ros.commands import process
from da3_ros.commands.process import main, parse_arguments, process_all
from da3_ros.ros.bags import tasks
from da3_ros.ros.bags.bag import BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob, Report
from da3_ros.ros.bags.survey import survey
from da3_ros.ros.topics.topic_error import TopicError

FRAMES = 6
MESSAGES = 49
"""Of all topics of a demo bag with so many frames."""


def test_corrupt_bags_among_good_ones(room, tmp_path):
    """What is not a bag any more is listed; one that was cut off is processed up to there."""
    for name in ("first", "last"):
        copy(room, tmp_path / name)
    for name, keep in (("cut", 0.6), ("broken", 0.0)):
        shutil.copytree(tmp_path / "first", tmp_path / name)
        (file,) = (tmp_path / name).glob("*.mcap")
        file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)] + bytes(300))
    params = write_parameters(tmp_path / "params.yaml", SMALL)
    bags = [str(tmp_path / name) for name in ("first", "cut", "broken", "last")]
    out = tmp_path / "out"
    arguments = ("--out", str(out), "--params", str(params), "--jobs", "2")
    run = Process("da3_ros.commands.process", *bags, *arguments)
    assert run.wait(200) == 1
    assert run.matching(r"^first +6 +5 +5 +1 ") and run.matching(r"^last +6 +5 +5 +1 ")
    assert run.matching(r"^broken .*FAILED: cannot open bag")
    assert run.matching(r"^cut +[345] .*/cut$") and run.matching("is cut off or damaged at byte")
    assert len(read(out / "first")["/da3/depth/image"]) == 5
    assert 2 <= len(read(out / "cut")["/da3/depth/image"]) < 5
    assert {path.name for path in out.iterdir()} == {"first", "last", "cut"}


def test_modules_beside_the_bags_are_not_run(room, tmp_path, monkeypatch):
    """Nor by the process that loads torch for all others; paths mean what they meant."""
    copy(room, tmp_path / "bag")
    for name in ("safetensors", "multiprocessing", "signal", "torch"):
        (tmp_path / f"{name}.py").write_text("open('run', 'w')")
    write_parameters(tmp_path / "params.yaml", SMALL)
    monkeypatch.chdir(tmp_path)
    how = ("--out", "out", "--params", "params.yaml", "--split", "1", "--jobs", "2")
    run = Process("da3_ros.commands.process", "bag", *how)
    assert run.wait(200) == 0
    assert (tmp_path / "out" / "bag").is_dir() and not (tmp_path / "run").exists()


def test_the_processes_of_bags_end_with_a_command_that_is_killed(room, tmp_path):
    bags = [str(shutil.copytree(room, tmp_path / name)) for name in ("a", "b")]
    how = ("--out", str(tmp_path / "out"), "--model", "da3-demo", "--jobs", "2")
    run = Process("da3_ros.commands.process", *bags, *how)
    wait_until(lambda: workers_of(run.pid), "workers", 100)
    workers = workers_of(run.pid)
    run.send(signal.SIGKILL)
    run.wait(20)
    wait_until(lambda: not any(map(is_running, workers)), "the workers end")


def workers_of(pid: int) -> list[int]:
    """Each bag's process is forked from a child of the command that has torch already."""
    return [worker for server in children(pid) for worker in children(server)]


def test_bytes_gone_bad_are_never_more_than_a_bag_error(room, tmp_path):
    """Cut off, and overwritten in the head, the messages and the index."""
    (source,) = room.glob("*.mcap")
    whole, random = source.read_bytes(), np.random.default_rng(0)
    file, refused, said = tmp_path / "bad.mcap", 0, 0
    for start, end in ((0, 4000), (0, len(whole)), (len(whole) - 3000, len(whole))) * 25:
        data, at = bytearray(whole), int(random.integers(start, end))
        data[at : at + 30] = random.bytes(min(30, len(data) - at))
        is_cut = random.random() >= 0.7
        file.write_bytes(data[:at] if is_cut else data)
        try:
            survey(BagJob(file, tmp_path / "out"))
            with BagReader(file) as bag:
                count = len(list(bag.messages(*(c.topic for c in bag.connections))))
                said += bool(bag.notes)
                assert count == MESSAGES or bag.notes or not is_cut
        except TopicError:
            refused += 1
    assert 10 < refused < 60 and said > 5


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["nowhere"], "cannot open bag nowhere"),
        (["{room}", "--model", "no/such.pt"], "model.name is 'no/such.pt'"),
    ],
)
def test_a_bag_that_fails_says_why(room, tmp_path, capsys, monkeypatch, arguments, sentence):
    given = [argument.format(room=room) for argument in arguments]
    monkeypatch.setattr(sys, "argv", ["da3_process", *given, "--out", str(tmp_path / "out")])
    assert main() == 1
    assert sentence in capsys.readouterr().out
    assert not list((tmp_path / "out").rglob("*"))


def test_one_failing_bag_gets_the_table_whatever_fails(room, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(tasks, "process_bag", fail)
    arguments = [str(room), "--out", str(tmp_path / "out"), "--model", "da3-demo"]
    monkeypatch.setattr(sys, "argv", ["da3_process", *arguments])
    assert main() == 1
    said = capsys.readouterr()
    assert (
        "room " in said.out and "FAILED: internal error, see above: ZeroDivisionError" in said.out
    )
    assert "Traceback" in said.err


def test_a_large_result_is_announced(room, tmp_path, monkeypatch, capsys):
    with_points, without = (
        survey(BagJob(room, tmp_path / "out", SMALL, leave_out=out)) for out in ((), ("points",))
    )
    assert with_points.images == without.images == FRAMES
    assert (with_points.size, without.size) == (FRAMES * 320 * 240 * 43, FRAMES * 320 * 240 * 11)
    monkeypatch.setattr(process, "LARGE", 10_000_000)
    monkeypatch.setattr(tasks, "process_bag", lambda job, progress: Report(job))
    process_all([BagJob(room, tmp_path / "out", SMALL)])
    assert "room: up to 0.0 GB for 6 images will be written to" in capsys.readouterr().out


def test_a_robot_with_a_name_and_a_bag_without_poses(room, tmp_path):
    with BagReader(room) as bag, BagWriter(tmp_path / "named") as out:
        for topic, time_ns, msg in bag.messages(*(c.topic for c in bag.connections)):
            out.write(f"/r1{topic}", time_ns, msg)
    blind = copy(
        room,
        tmp_path / "blind",
        change=lambda topic, k, msg: None if topic in ("/tf", "/tf_static") else msg,
    )
    params = write_parameters(tmp_path / "params.yaml", SMALL)
    common = ("--out", str(tmp_path / "out"), "--params", str(params))
    runs = [
        parse_arguments([str(tmp_path / "named"), *common]),
        parse_arguments([str(tmp_path / "named"), *common, "--tf", "/r1/tf"]),
        parse_arguments([str(blind), *common]),
    ]
    refused, named, without = (process_all(jobs)[0] for jobs, _ in runs)
    assert "no transforms on /tf, but on /r1/tf, /r1/tf_static: choose with --tf" in refused.failure
    assert named.failure == "" and named.counts.published == 5
    assert {m.header.frame_id for _, m in read(named.job.result)["/da3/camera_pose"]} == {"odom"}
    assert without.failure == "" and any("no transforms" in text for text in without.warnings)
    assert any("in an unknown unit, not in metres" in text for text in without.warnings)
    with BagReader(without.job.result) as bag:
        assert [len(m.poses) for _, _, m in bag.messages("/da3/camera_poses")]


def test_command_lines_that_make_no_sense(tmp_path, capsys):
    for arguments, sentence in (
        (["a/run", "b/run", "--out", "x"], "two bags are named run"),
        (["a", "--out", "x", "--jobs", "0"], "--jobs is 0"),
    ):
        with pytest.raises(SystemExit):
            parse_arguments(arguments)
        assert sentence in capsys.readouterr().err
