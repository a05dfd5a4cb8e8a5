"""Offline processing: real bags in, bags out that any reader reads, twice the same bytes."""

import hashlib
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from da3_ros.msg import CameraPoses
from graph import Process
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo

from da3_ros.commands import process
from da3_ros.commands.process import main, parse_arguments, process_all
from da3_ros.core.config import ConfigError
from da3_ros.ros.bags import tasks
from da3_ros.ros.bags.bag import BagError, BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob, Report
from da3_ros.ros.bags.survey import survey
from da3_ros.ros.demo.bag import DEMO_CAMERA, write_demo_bag
from da3_ros.ros.parameter_file import read_parameter_file

FRAMES = 6
MESSAGES = 49
"""Of all topics of a demo bag with so many frames."""
PARAMETERS = {
    "model.name": "da3-demo",
    "model.device": "cpu",
    "model.process_res": 56,
    "window.size": 2,
    "scale.max_spread": 10.0,
    "scene.max_range": 100.0,
    "scene.voxel_size": 0.1,
}
TYPES = get_typestore(Stores.ROS2_KILTED)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "room"
    write_demo_bag(path, frames=FRAMES)
    return path


@pytest.fixture(scope="module")
def result(room, tmp_path_factory):
    (report,) = process_all(
        [BagJob(room, tmp_path_factory.mktemp("out"), PARAMETERS, "glb-mesh_ply")]
    )
    assert report.failure == ""
    return report


def copy(source, path, *, until=np.inf, change=lambda topic, k, msg: msg):
    """A bag with the first seconds of another; `change` returns the message, or None."""
    with BagReader(source) as bag, BagWriter(path) as out:
        topics = [c.topic for c in bag.connections]
        for k, (topic, time_ns, msg) in enumerate(bag.messages(*topics)):
            if time_ns < bag.start_ns + until * 1e9 and (msg := change(topic, k, msg)):
                out.write(topic, time_ns, msg)
    return path


def without_tf(topic, k, msg):
    return None if topic in ("/tf", "/tf_static") else msg


def files(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read(folder):
    """Topic -> messages, decoded by rosbags alone where it knows the type."""
    found = {}
    with Reader(folder) as reader:
        for connection, time_ns, raw in reader.messages():
            known = connection.msgtype in TYPES.fielddefs
            msg = TYPES.deserialize_cdr(raw, connection.msgtype) if known else raw
            found.setdefault(connection.topic, []).append((time_ns, msg))
    return found


def test_every_window_and_every_topic(result):
    counts = result.counts
    assert (counts.received, counts.windows, counts.published) == (FRAMES, 5, 5)
    assert counts.dropped["neighbour_only"] == 1 and counts.pending == 0
    found = read(result.job.result)
    per_window = {"depth/image", "depth/camera_info", "confidence/image", "points", "image_rect"}
    per_window |= {"camera_pose", "camera_poses"}
    assert {t: len(m) for t, m in found.items()} == {
        **{f"/da3/{topic}": 5 for topic in per_window},
        "/da3/path": 1,
    }
    assert len(found["/da3/path"][0][1].poses) == 5


def test_messages_fit_together(result, room):
    found = read(result.job.result)
    inputs = [msg.header.stamp for _, msg in read(room)["/camera/image_raw"]]
    topics = ("depth/image", "depth/camera_info", "points", "image_rect")
    rows = zip(*(found[f"/da3/{topic}"] for topic in topics))
    for k, ((_, depth), (_, info), (_, cloud), (_, image)) in enumerate(rows):
        assert depth.header == info.header == cloud.header == image.header
        assert depth.header.stamp == inputs[k + 1]  # the newer one of two
        assert depth.header.frame_id == "camera_optical_frame"
        assert (depth.encoding, depth.width, depth.height) == ("32FC1", 320, 240)
        np.testing.assert_allclose(info.k.reshape(3, 3), DEMO_CAMERA.K)
        z = depth.data.view(np.float32)
        points = cloud.data.view(np.float32).reshape(-1, 8)
        # Those between surfaces are left out of the cloud, never of the depth.
        left_out = np.isfinite(z) & np.isnan(points[:, 2])
        z_or_nan = np.where(np.isinf(z) | left_out, np.nan, z)
        np.testing.assert_array_equal(z_or_nan, points[:, 2])
        assert np.isfinite(z).any() and left_out.mean() < 0.05


def test_recorded_when_the_newest_image_came(result, room):
    depth_times = [time_ns for time_ns, _ in read(result.job.result)["/da3/depth/image"]]
    image_times = [time_ns for time_ns, _ in read(room)["/camera/image_raw"]]
    assert depth_times == image_times[1:]


def test_our_own_message_type_is_described_in_the_bag(result):
    with BagReader(result.job.result) as bag:
        messages = [msg for _, _, msg in bag.messages("/da3/camera_poses")]
    assert all(isinstance(msg, CameraPoses) and len(msg.poses) == 2 for msg in messages)
    assert messages[0].header.frame_id == "odom"
    with Reader(result.job.result) as reader:
        (connection,) = [c for c in reader.connections if c.topic == "/da3/camera_poses"]
    assert "geometry_msgs/Pose[] network_poses" in connection.msgdef.data


def test_exports_lie_beside(result):
    folder = result.job.result / "exports"
    assert len(trimesh.load(folder / "mesh.ply").faces) > 0
    assert trimesh.load(folder / "scene.glb").geometry


def test_twice_the_same_bytes(result, room, tmp_path):
    (again,) = process_all([BagJob(room, tmp_path, PARAMETERS, "glb-mesh_ply")])
    assert files(again.job.result) == files(result.job.result)
    assert {path.name for path in tmp_path.iterdir()} == {"room"}


def test_the_kitchen(shared_data, tmp_path):
    bag = copy(shared_data / "7scenes_redkitchen_compressed_mcap", tmp_path / "kitchen", until=1.2)
    outs = []
    for out in ("a", "b"):
        (report,) = process_all([BagJob(bag, tmp_path / out, PARAMETERS)])
        assert report.failure == "" and report.counts.published > 0
        assert report.counts.received == report.counts.published + sum(
            report.counts.dropped.values()
        )
        outs.append(report.job.result)
    assert files(outs[0]) == files(outs[1])
    infos = [msg for _, msg in read(outs[0])["/da3/depth/camera_info"]]
    assert {(msg.width, msg.height) for msg in infos} == {(640, 480)}
    poses = [msg for _, msg in read(outs[0])["/da3/camera_pose"]]
    assert {msg.header.frame_id for msg in poses} == {"map"}


def test_a_named_camera_has_its_own_topics(room, tmp_path):
    job = BagJob(room, tmp_path, {**PARAMETERS, "input.cameras": ["front"]})
    process_all([job])
    assert {"/da3/front/depth/image", "/da3/path"} <= set(read(job.result))


RIG = {**PARAMETERS, "input.cameras": ["front", "left"], "input.sync_tolerance": 0.02}


def write_rig(room, path):
    """Two cameras in one place, the left one 10 ms later, and without its last image."""
    with BagReader(room) as bag, BagWriter(path) as out:
        topics = [c.topic for c in bag.connections]
        for topic, time_ns, msg in bag.messages(*topics):
            if not topic.startswith("/camera/"):
                out.write(topic, time_ns, msg)
                if topic == "/tf_static":
                    (mount,) = msg.transforms
                    mount.child_frame_id = "left_optical_frame"
                    out.write(topic, time_ns, msg)
                continue
            out.write(topic.replace("/camera/", "/rig/front/"), time_ns, msg)
            msg.header.frame_id = "left_optical_frame"
            msg.header.stamp.nanosec += 10_000_000
            if msg.header.stamp.nanosec < 500_000_000:
                out.write(topic.replace("/camera/", "/rig/left/"), time_ns + 10_000_000, msg)
    return path


def test_a_rig_is_processed_instant_by_instant(room, tmp_path):
    """Every frame of every camera is seen and published once, the last one alone too."""
    bag = write_rig(room, tmp_path / "rig")
    outs = [BagJob(bag, tmp_path / out, {**RIG, "window.publish": "all"}) for out in ("a", "b")]
    (report,), _ = (process_all([job]) for job in outs)
    assert report.failure == "" and not any("sends no usable" in w for w in report.warnings)
    counts = report.counts
    assert (counts.received, counts.windows) == (2 * FRAMES - 1, FRAMES - 1)
    assert counts.pending == 0
    assert counts.received == counts.published + sum(counts.dropped.values())
    found = read(outs[0].result)
    stamps = {
        name: [msg.header.stamp.nanosec for _, msg in found[f"/da3/{name}/depth/image"]]
        for name in ("front", "left")
    }
    assert len(stamps["front"]) == FRAMES and len(stamps["left"]) == FRAMES - 1
    assert [s + 10_000_000 for s in stamps["front"][:-1]] == stamps["left"]
    assert files(outs[0].result) == files(outs[1].result)


def test_cameras_of_a_rig_whose_topics_do_not_carry_their_names(room, tmp_path):
    renamed = {
        "/camera/image_raw": "/r1/cam0/image",
        "/camera/camera_info": "/r1/calibration/zero",
    }
    with BagReader(room) as bag, BagWriter(tmp_path / "rig") as out:
        for topic, time_ns, msg in bag.messages(*(c.topic for c in bag.connections)):
            out.write(renamed.get(topic, f"/r1{topic}"), time_ns, msg)
            if topic in renamed:
                msg.header.frame_id = "left_optical_frame"
                out.write(f"/r1/left/{topic.rpartition('/')[2]}", time_ns, msg)
            if topic == "/tf_static":
                msg.transforms[0].child_frame_id = "left_optical_frame"
                out.write("/r1/tf_static", time_ns, msg)
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"da3": {"ros__parameters": RIG}}))
    common = [str(tmp_path / "rig"), "--out", str(tmp_path / "out"), "--params", str(params)]
    common += ["--tf", "/r1/tf", "--camera-info", "front=/r1/calibration/zero"]
    (job,), options = parse_arguments([*common, "--image", "front=/r1/cam0/image"])
    (report,) = process_all([job], options)
    assert report.failure == "" and report.counts.received == 2 * FRAMES
    assert {"/da3/front/depth/image", "/da3/left/depth/image"} <= set(read(job.result))
    for image in ("/r1/cam0/image", "back=/r1/cam0/image"):
        (job,), options = parse_arguments([*common, "--image", image])
        (report,) = process_all([replace(job, out=tmp_path / "none")], options)
        assert f"names a rig: --image front=TOPIC left=TOPIC, not --image {image}" in report.failure


def test_a_rig_that_the_bag_has_not_is_named(room, tmp_path):
    (report,) = process_all([BagJob(room, tmp_path, RIG)])
    assert "names a rig; camera 'front': the bag has no color images" in report.failure


def test_left_out_topics_are_not_written(room, tmp_path):
    job = BagJob(room, tmp_path, PARAMETERS, leave_out=("points", "path", "image_rect"))
    process_all([job])
    found = read(job.result)
    assert not {"/da3/points", "/da3/path", "/da3/image_rect"} & set(found)
    assert len(found["/da3/depth/image"]) == 5


def test_results_can_be_compressed(result, tmp_path):
    job = replace(result.job, out=tmp_path, formats="", zstd=True)
    (report,) = process_all([job])
    assert report.failure == ""
    plain, packed = (next(j.result.glob("*.mcap")) for j in (result.job, job))
    assert packed.stat().st_size < 0.9 * plain.stat().st_size
    both = [read(j.result) for j in (result.job, job)]
    for topic, messages in both[0].items():
        assert [t for t, _ in messages] == [t for t, _ in both[1][topic]]
    depths = [[m.data.tobytes() for _, m in b["/da3/depth/image"]] for b in both]
    assert depths[0] == depths[1]


def test_drops_are_counted_with_their_reason(room, tmp_path):
    def change(topic, k, msg):
        if isinstance(msg, CameraInfo) and msg.header.stamp.nanosec < 150_000_000:
            return None  # the first two images have no info
        return msg

    bag = copy(room, tmp_path / "broken", change=change)
    (report,) = process_all([BagJob(bag, tmp_path / "out", PARAMETERS)])
    counts = report.counts
    assert counts.dropped["no_camera_info"] == 2
    assert counts.received == FRAMES == counts.published + sum(counts.dropped.values())
    assert any("no camera_info" in sentence for sentence in report.warnings)


def test_after_a_jump_in_time_it_starts_over_without_losing_poses(room, tmp_path):
    """Two runs in one file, the second a hundred seconds younger, as of a simulator."""
    with BagReader(room) as bag, BagWriter(tmp_path / "twice") as out:
        topics = ("/tf_static", "/tf", "/camera/camera_info", "/camera/image_raw")
        for run, later in ((0, 100), (1, 0)):
            for topic, time_ns, msg in bag.messages(*topics):
                for stamped in getattr(msg, "transforms", [msg]):
                    stamped.header.stamp.sec += later
                out.write(topic, time_ns + run * 10**9, msg)
    (report,) = process_all([BagJob(tmp_path / "twice", tmp_path / "out", PARAMETERS)])
    counts = report.counts
    # The info of the first image after the jump came before anybody could know of it.
    assert (counts.received, counts.published) == (2 * FRAMES, 9)
    assert counts.dropped["no_pose"] == 0 and counts.dropped["no_camera_info"] == 1
    assert any("jumped back by" in sentence for sentence in report.warnings)


def test_corrupt_bags_among_good_ones(room, tmp_path):
    """What is no bag any more is listed; one that was cut off is processed up to there."""
    for name in ("first", "last"):
        copy(room, tmp_path / name)
    for name, keep in (("cut", 0.6), ("broken", 0.0)):
        shutil.copytree(tmp_path / "first", tmp_path / name)
        (file,) = (tmp_path / name).glob("*.mcap")
        file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)] + bytes(300))
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"da3": {"ros__parameters": PARAMETERS}}))
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


def children(pid: int) -> set[int]:
    try:
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:  # gone
        return set()


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_the_processes_of_bags_end_with_a_command_that_is_killed(room, tmp_path):
    bags = [str(shutil.copytree(room, tmp_path / name)) for name in ("a", "b")]
    how = ("--out", str(tmp_path / "out"), "--model", "da3-demo", "--jobs", "2")
    run = Process("da3_ros.commands.process", *bags, *how)
    deadline = time.monotonic() + 100
    while not (workers := set().union(*map(children, children(run.pid)))):
        assert time.monotonic() < deadline, run.lines
        time.sleep(0.01)
    run.send(signal.SIGKILL)
    run.wait(20)
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "they live on"
        time.sleep(0.05)


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
        except BagError:
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
        survey(BagJob(room, tmp_path / "out", PARAMETERS, leave_out=out))
        for out in ((), ("points",))
    )
    assert with_points.images == without.images == FRAMES
    assert (with_points.size, without.size) == (FRAMES * 320 * 240 * 43, FRAMES * 320 * 240 * 11)
    monkeypatch.setattr(process, "LARGE", 10_000_000)
    monkeypatch.setattr(tasks, "process_bag", lambda job, progress: Report(job))
    process_all([BagJob(room, tmp_path / "out", PARAMETERS)])
    assert "room: up to 0.0 GB for 6 images will be written to" in capsys.readouterr().out


def test_the_written_topics_are_not_larger_than_announced(result, room):
    (file,) = result.job.result.glob("*.mcap")
    announced = survey(BagJob(room, result.job.out, PARAMETERS)).size
    assert announced * 0.5 < file.stat().st_size < announced * 1.05


def test_a_robot_with_a_name_and_a_bag_without_poses(room, tmp_path):
    with BagReader(room) as bag, BagWriter(tmp_path / "named") as out:
        for topic, time_ns, msg in bag.messages(*(c.topic for c in bag.connections)):
            out.write(f"/r1{topic}", time_ns, msg)
    blind = copy(room, tmp_path / "blind", change=without_tf)
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"da3": {"ros__parameters": PARAMETERS}}))
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
    with BagReader(without.job.result) as bag:
        assert [len(m.poses) for _, _, m in bag.messages("/da3/camera_poses")]


def test_results_are_never_overwritten(result):
    before = files(result.job.result)
    (again,) = process_all([result.job])
    assert again.failure == "" and again.counts == result.counts
    (other,) = process_all([replace(result.job, formats="")])
    assert "exists already, made from other exports; remove it or choose" in other.failure
    assert files(result.job.result) == before


def test_command_lines_that_make_no_sense(tmp_path, capsys):
    for arguments, sentence in (
        (["a/run", "b/run", "--out", "x"], "two bags are named run"),
        (["a", "--out", "x", "--jobs", "0"], "--jobs is 0"),
    ):
        with pytest.raises(SystemExit):
            parse_arguments(arguments)
        assert sentence in capsys.readouterr().err


def test_parameter_files(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        "/**: {ros__parameters: {use_sim_time: true, window: {size: 5}, scene: {mesh: ''}}}\n"
        "da3: {ros__parameters: {window: {size: 6}}}\n"
        "other: {ros__parameters: {window: {size: 7}}}\n"
    )
    assert read_parameter_file(path) == {"window.size": 6, "scene.mesh": ""}
    path.write_text("just words\n")
    with pytest.raises(ConfigError, match="not a ROS parameter file"):
        read_parameter_file(path)
    with pytest.raises(ConfigError, match="cannot read the parameter file"):
        read_parameter_file(tmp_path / "none.yaml")


@pytest.mark.parametrize("stack", ("nvblox", "rtabmap", "octomap", "nav2_voxel_layer"))
def test_the_files_for_mapping_stacks_can_be_given_to_it(stack):
    assert read_parameter_file(Path(__file__).parents[3] / "config" / f"{stack}.yaml")
