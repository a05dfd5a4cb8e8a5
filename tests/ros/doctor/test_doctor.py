"""The doctor finds what was made wrong on purpose, and nothing in a healthy bag."""

import shutil
import sys
from copy import deepcopy

import cv2
import numpy as np
import pytest
import yaml
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image
from spoilt_bags import diagnose, edit_info, matrix, spoil, with_transform
from tf2_msgs.msg import TFMessage
from tiny import TINY

from da3_ros.commands.doctor import examine, main, parse_arguments
from da3_ros.commands.process import process_all
from da3_ros.core import poses
from da3_ros.core.config import from_dict
from da3_ros.net.attention import has_bf16_tiles, kernel
from da3_ros.net.model_folder import MODELS_FOLDER
from da3_ros.ros.bags.bag import BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.demo.bag import RATE, START_NS, T_BASE_CAMERA
from da3_ros.ros.doctor import machine, recording
from da3_ros.ros.doctor.epipolar import T_OPENGL_OPTICAL
from da3_ros.ros.doctor.findings import Verdict, format_table, ok, warn
from da3_ros.ros.doctor.machine import check_device, check_model
from da3_ros.ros.messages import image_message

FRAMES = 8


@pytest.fixture(scope="module")
def room(drive_around):
    """Its first frames."""
    end_ns = START_NS + FRAMES * 1_000_000_000 // RATE

    def first(topic, time_ns, msg):
        return (topic, time_ns, msg) if time_ns < end_ns else None

    return spoil(drive_around, drive_around.parent / "room", first)


def wrong(findings):
    return {(f.check, f.verdict.value) for f in findings.values() if f.verdict is not Verdict.OK}


def edit_mount(T_optical_given):
    """The mount as if the poses belonged to a frame turned against the optical one."""

    def change(topic, time_ns, msg):
        if topic == "/tf_static":
            msg = with_transform(msg, T_BASE_CAMERA @ T_optical_given)
        return topic, time_ns, msg

    return change


def invert(topic, time_ns, msg):
    if topic == "/tf":
        T_world_camera = matrix(msg.transforms[0].transform) @ T_BASE_CAMERA
        T = poses.inverse(T_world_camera) @ poses.inverse(T_BASE_CAMERA)
        msg = with_transform(msg, T)
    return topic, time_ns, msg


def leave_out(*topics):
    return lambda topic, *rest: None if topic in topics else (topic, *rest)


def delay(seconds, *topics):
    def change(topic, time_ns, msg):
        return topic, time_ns + (topic in topics) * round(seconds * 1e9), msg

    return change


def restamp(cls, edit):
    def change(topic, time_ns, msg):
        if isinstance(msg, cls) and topic != "/ground_truth/depth":
            edit(msg.header.stamp)
        return topic, time_ns, msg

    return change


def to_zero(stamp):
    stamp.sec = stamp.nanosec = 0


def back_a_little(stamp):
    stamp.nanosec = max(stamp.nanosec - 1000, 0)


def to_one_second(stamp):
    stamp.nanosec -= stamp.nanosec % 200_000_000


INVERSE_OPTICAL = poses.inverse(poses.T_BODY_OPTICAL)

SPOILT = {
    "no camera info": (leave_out("/camera/camera_info"), {}, "topics", "ERROR", "no sensor_msgs"),
    "no images": (leave_out("/camera/image_raw"), {}, "topics", "ERROR", "no color images"),
    "K = 0": (edit_info(k=np.zeros(9)), {}, "camera info", "ERROR", "uncalibrated"),
    "size": (edit_info(width=640, height=480), {}, "camera info", "ERROR", "the images are 320x"),
    "info frame": (
        restamp(CameraInfo, lambda stamp: None),
        {"change": lambda msg: setattr(msg.header, "frame_id", "camera_link")},
        "camera info",
        "WARN",
        "its frame_id is 'camera_link'",
    ),
    "unrectified": (
        edit_info(d=[-0.3, 0.1, 0.0, 0.0, 0.0]),
        {"input__rectify": False},
        "rectification",
        "ERROR",
        "input.rectify is false",
    ),
    "info stamps": (
        restamp(CameraInfo, back_a_little),
        {},
        "info stamps",
        "ERROR",
        "have a camera",
    ),
    "stamps": (restamp(Image, to_zero), {}, "stamps", "ERROR", "stamp 0"),
    "repeated": (restamp(Image, to_one_second), {}, "stamps", "WARN", "repeat a stamp"),
    "clock": (delay(1000, "/camera/image_raw"), {}, "clock", "WARN", "1000 s off the clock"),
    "no tf": (leave_out("/tf", "/tf_static"), {}, "tf", "ERROR", "no transforms lead to"),
    "no motion": (
        leave_out("/tf"),
        {"pose__world_frame": "odom"},
        "tf",
        "ERROR",
        "'odom' does not",
    ),
    "late tf": (delay(0.45, "/tf"), {}, "tf", "WARN", "within 0.45 s only"),
    "other world": (
        lambda *recorded: recorded,
        {"pose__world_frame": "map"},
        "tf",
        "ERROR",
        "frame 'map' does not exist",
    ),
    "w2c": (invert, {}, "axes", "ERROR", "world-to-camera"),
    "body": (edit_mount(INVERSE_OPTICAL), {}, "axes", "ERROR", "body axes"),
    "twice": (edit_mount(poses.T_BODY_OPTICAL), {}, "axes", "ERROR", "applied twice"),
    "opengl": (edit_mount(T_OPENGL_OPTICAL), {}, "axes", "ERROR", "OpenGL"),
}


def test_a_healthy_bag(room):
    findings = diagnose(room)
    assert wrong(findings) == set()
    assert {"images", "camera info", "rectification", "clock", "tf", "axes", "metres"} <= set(
        findings
    )


def test_the_kitchen_is_healthy_but_has_no_odom(shared_data):
    findings = diagnose(shared_data / "7scenes_redkitchen_compressed_mcap")
    assert wrong(findings) == {("world frame", "WARN")}
    assert "pose.world_frame: map" in findings["world frame"].fix


@pytest.mark.parametrize("name", SPOILT)
def test_finds_what_is_wrong(room, tmp_path, name):
    change, parameters, check, verdict, sentence = SPOILT[name]
    parameters = dict(parameters)
    edit = parameters.pop("change", None)

    def both(topic, time_ns, msg):
        if edit and isinstance(msg, CameraInfo):
            edit(msg)
        return change(topic, time_ns, msg)

    findings = diagnose(spoil(room, tmp_path / "spoilt", both), **parameters)
    assert (check, verdict) in wrong(findings), format_table(list(findings.values()))
    assert sentence in findings[check].seen
    assert findings[check].fix


def test_a_body_frame_is_also_seen_by_its_rotation(room, tmp_path):
    def change(topic, time_ns, msg):
        if topic == "/tf_static":
            T = poses.compose(np.eye(3), T_BASE_CAMERA[:3, 3])
            msg = with_transform(msg, T)
        return topic, time_ns, msg

    findings = diagnose(spoil(room, tmp_path / "spoilt", change))
    assert {("optical frame", "WARN"), ("axes", "ERROR")} <= wrong(findings)


def test_two_parents_are_named(room, tmp_path):
    def change(topic, time_ns, msg):
        if topic == "/tf" and time_ns % 2:
            msg.transforms[0].header.frame_id = "vo"
        return topic, time_ns, msg

    odd = iter(range(10**6))
    findings = diagnose(
        spoil(room, tmp_path / "spoilt", lambda t, ns, m: change(t, ns - ns % 2 + next(odd) % 2, m))
    )
    finding = findings["tf parents"]
    assert finding.verdict is Verdict.ERROR
    assert "'base_link' has more than one parent, 'odom' and 'vo'" in finding.seen or (
        "'base_link' has more than one parent, 'vo' and 'odom'" in finding.seen
    )
    assert findings["world frame"].seen == "'odom'"


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda topic, k: topic == "/tf" and k > 20, "have no pose (transform odom"),
        (lambda topic, k: topic == "/camera/camera_info" and k > 4, "4 have no camera_info"),
    ],
)
def test_what_is_lost_after_the_first_images(room, tmp_path, monkeypatch, change, sentence):
    """The other checks look at the beginning only; da3_process loses these images."""
    monkeypatch.setattr(recording, "MOST_IMAGES", 2)
    counts = {}

    def keep(topic, time_ns, msg):
        counts[topic] = counts.get(topic, 0) + 1
        return None if change(topic, counts[topic]) else (topic, time_ns, msg)

    path = spoil(room, tmp_path / "spoilt", keep)
    finding = diagnose(path)["frames"]
    assert finding.verdict is Verdict.WARN and sentence in finding.seen
    lost = int(finding.seen.split()[0])
    (report,) = process_all([BagJob(path, tmp_path / "out", {**TINY, "scale.max_spread": 10.0})])
    dropped = report.counts.dropped
    assert lost == dropped["no_pose"] + dropped["no_camera_info"] > 0


def test_a_healthy_bag_is_processed_whole(room, tmp_path):
    assert wrong(diagnose(room)) == set()
    (report,) = process_all([BagJob(room, tmp_path / "out", {**TINY, "scale.max_spread": 10.0})])
    lost = {reason for reason, count in report.counts.dropped.items() if count}
    assert report.failure == "" and lost <= {"neighbour_only"}


def test_a_recording_that_was_cut_off(room, tmp_path):
    (file,) = room.glob("*.mcap")
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[: int(0.7 * file.stat().st_size)])
    finding = diagnose(cut)["files"]
    assert finding.verdict is Verdict.WARN and "is cut off or damaged at byte" in finding.seen


def test_the_rate_of_a_bag_that_was_played_in_a_loop(room, tmp_path):
    with BagReader(room) as bag, BagWriter(tmp_path / "loop") as out:
        topics = [c.topic for c in bag.connections]
        for run in range(2):
            for topic, time_ns, msg in bag.messages(*topics):
                out.write(topic, time_ns + run * 10**9, msg)
    assert "10.0 Hz" in diagnose(tmp_path / "loop")["images"].seen


def test_images_that_were_lost_beside_their_camera_infos(room, tmp_path):
    kept = iter(range(10**6))

    def change(topic, time_ns, msg):
        is_lost = topic == "/camera/image_raw" and next(kept) % 4
        return None if is_lost else (topic, time_ns, msg)

    finding = diagnose(spoil(room, tmp_path / "spoilt", change))["images"]
    assert finding.verdict is Verdict.WARN
    assert finding.seen == "8 camera infos came, but 2 images of 225 kB"


@pytest.mark.parametrize(
    "is_black, verdict, said",
    [
        (lambda k: k % 2 == 1, "WARN", "4 of 8 looked at are of no use: the image is of one color"),
        (lambda k: True, "ERROR", "8 of 8 looked at are of no use: the image is of one color"),
    ],
)
def test_a_covered_lens(room, tmp_path, is_black, verdict, said):
    """da3_process drops these as blank_image."""
    count = iter(range(10**6))

    def change(topic, time_ns, msg):
        if topic == "/camera/image_raw" and is_black(next(count)):
            msg.data = bytes(len(msg.data))
        return topic, time_ns, msg

    finding = diagnose(spoil(room, tmp_path / "spoilt", change))["pictures"]
    assert (finding.verdict.value, said in finding.seen, bool(finding.fix)) == (verdict, True, True)


def test_a_camera_of_12_bits(room, tmp_path):
    def change(topic, time_ns, msg):
        if topic == "/camera/image_raw":
            rgb = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, 3)
            msg = image_message(rgb[..., 1].astype(np.uint16) << 4, "mono16", msg.header)
        return topic, time_ns, msg

    findings = diagnose(spoil(room, tmp_path / "spoilt", change))
    assert wrong(findings) == set()
    assert "which use 12 of their 16 bits: 4,095 is taken for white" in findings["pictures"].seen


def test_a_mask_that_is_none(room, tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.zeros((240, 320), np.uint8))
    finding = diagnose(room, input__mask=str(tmp_path / "mask.png"))["pictures"]
    assert finding.verdict is Verdict.WARN and "is black all over" in finding.seen
    mostly_black = np.zeros((240, 320), np.uint8)
    mostly_black[:50, :50] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mostly_black)
    finding = diagnose(room, input__mask=str(tmp_path / "mask.png"))["pictures"]
    assert finding.verdict is Verdict.WARN and "input.mask hides 97% of the picture" in finding.seen


def test_images_that_are_rectified_already(room, tmp_path):
    """image_proc gives them the camera info of the raw ones."""

    def change(topic, time_ns, msg):
        if isinstance(msg, CameraInfo):
            msg.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
        return topic.replace("image_raw", "image_rect_color"), time_ns, msg

    path = spoil(room, tmp_path / "spoilt", change)
    findings = diagnose(path)
    assert wrong(findings) == set()
    assert "image_rect_color is rectified already, by its name" in findings["rectification"].seen
    (report,) = process_all([BagJob(path, tmp_path / "out", {**TINY, "scale.max_spread": 10.0})])
    assert any("is rectified already, by its name" in said for said in report.warnings)
    with BagReader(report.job.result) as bag, BagReader(path) as given:
        out = [msg for *_, msg in bag.messages("/da3/image_rect")]
        stamps = [msg.header.stamp for msg in out]
        sent = [m for *_, m in given.messages("/camera/image_rect_color")]
    assert [msg.data for msg in out] == [m.data for m in sent if m.header.stamp in stamps]


def test_poses_from_odometry_are_judged_by_the_whole_bag(room, tmp_path):
    def change(topic, time_ns, msg):
        if topic == "/tf":
            (t,) = msg.transforms
            msg = Odometry(header=t.header, child_frame_id=t.child_frame_id)
            p, move = msg.pose.pose.position, t.transform.translation
            p.x, p.y, p.z = move.x, move.y, move.z
            msg.pose.pose.orientation = t.transform.rotation
            topic = "/odometry"
        return topic, time_ns, msg

    findings = diagnose(spoil(room, tmp_path / "spoilt", change), pose__source="odometry")
    assert findings["frames"].verdict is Verdict.OK
    assert "not judged" in findings["tf"].seen


def test_a_mount_that_changes_at_the_end_is_not_that_of_the_beginning(room, tmp_path):
    def change(topic, time_ns, msg):
        if topic == "/tf_static" and time_ns > START_NS:
            msg = with_transform(msg, T_BASE_CAMERA @ INVERSE_OPTICAL)
        return topic, time_ns, msg

    with BagReader(room) as bag, BagWriter(tmp_path / "twice") as out:
        topics = [c.topic for c in bag.connections]
        for topic, time_ns, msg in bag.messages(*topics):
            out.write(topic, time_ns, msg)
            if topic == "/tf_static":
                out.write(topic, bag.end_ns, msg)
    findings = diagnose(spoil(tmp_path / "twice", tmp_path / "spoilt", change))
    assert findings["axes"].verdict is Verdict.OK


def test_transforms_that_are_none_are_named_and_passed_over(room, tmp_path):
    """The last mount of the camera is a quaternion of zeros."""

    def change(topic, time_ns, msg):
        if topic == "/tf_static":
            mount = msg.transforms[0]
            zeros = deepcopy(mount)
            zeros.transform.rotation = Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)
            msg = TFMessage(transforms=[mount, zeros])
        return topic, time_ns, msg

    findings = diagnose(spoil(room, tmp_path / "spoilt", change))
    assert wrong(findings) == {("tf transforms", "WARN")}
    assert "has a quaternion of length 0, must be 1" in findings["tf transforms"].seen
    assert findings["optical frame"].verdict is Verdict.OK


def test_a_camera_that_stands_still_is_not_judged(room, tmp_path):
    def change(topic, time_ns, msg):
        if topic == "/tf":
            msg = with_transform(msg, np.eye(4))
        return topic, time_ns, msg

    findings = diagnose(spoil(room, tmp_path / "spoilt", change))
    assert findings["axes"].verdict is Verdict.WARN and "hardly moved" in findings["axes"].seen


@pytest.mark.parametrize(
    "parameters, check, verdict, sentence",
    [
        ({"model.device": "cuda:63"}, "device", "ERROR", "cuda:63"),
        ({"model.name": "da3-small"}, "model", "WARN", "random weights"),
        ({"model.name": "nonsense"}, "model", "ERROR", "not a folder, preset or repository"),
        ({"model.name": "{folder}"}, "model", "ERROR", "has no config.json and no model"),
        ({"model.name": "nobody/nothing"}, "model", "WARN", "would be downloaded"),
    ],
)
def test_the_machine(room, tmp_path, parameters, check, verdict, sentence):
    given = {name: value.format(folder=tmp_path) for name, value in parameters.items()}
    findings = examine(parse_arguments([str(room)]), from_dict(given), None)
    (finding,) = [finding for finding in findings if finding.check == check]
    assert (finding.verdict.value, sentence in finding.seen) == (verdict, True)


@pytest.mark.parametrize(
    "name, backend, verdict, sentence",
    [
        ("DA3-Demo", "torch", "OK", "DA3-Demo, ships with da3_ros"),
        ("{folder}/model", "torch", "OK", "folder {folder}/model"),
        ("{folder}/gone", "torch", "ERROR", "is not a folder, preset or repository"),
        ("da3-large-1.1", "torch", "WARN", "is a preset with random weights"),
        ("{folder}/engine", "torch", "ERROR", "is an engine"),
        ("{folder}/engine", "onnxruntime", "ERROR", "engine.json has format None, must be 1"),
        ("{folder}/model", "onnxruntime", "ERROR", "is not the folder of an engine"),
    ],
)
def test_where_the_model_comes_from(tmp_path, name, backend, verdict, sentence):
    shutil.copytree(MODELS_FOLDER / "da3-demo", tmp_path / "model")
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "engine.json").write_text("{}")
    name, sentence = name.format(folder=tmp_path), sentence.format(folder=tmp_path)
    finding = check_model(from_dict({"model.name": name, "model.backend": backend}))
    assert finding.verdict.value == verdict and sentence in finding.seen
    assert verdict == "OK" or finding.fix


def test_exit_codes_and_table(room, tmp_path, monkeypatch, capsys):
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"model": {"name": "nonsense"}}}}))
    for arguments, code in (
        ([str(room), "--model", "da3-small"], 0),
        ([str(room), "--params", str(params)], 1),
        ([str(tmp_path / "nowhere")], 1),
    ):
        monkeypatch.setattr(sys, "argv", ["da3_doctor", *arguments])
        assert main() == code
    assert "cannot open bag" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_how_long_it_listens(seconds, capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["--seconds", seconds])
    assert "must be above 0, and a number" in capsys.readouterr().err


def test_the_table_keeps_its_columns():
    table = format_table([ok("images", "fine"), warn("camera info", "word " * 40, "fix it")])
    lines = table.splitlines()
    assert lines[0] == "images       OK     fine"
    assert lines[-1].strip() == "-> fix it" and max(map(len, lines)) <= 100


def test_the_table_shows_names_of_strangers_as_text():
    table = format_table([warn("topics", "there is /a\x1b[2J\n\u202eb", "choose \x1b")])
    assert r"/a\x1b[2J\n\u202eb" in table and r"choose \x1b" in table


@pytest.mark.skipif(kernel() is None or has_bf16_tiles(), reason="no CPU that wants our attention")
def test_attention_that_was_not_built_is_missed(monkeypatch):
    parameters = from_dict({"model.device": "cpu"})
    assert "attention" not in check_device(parameters).seen
    monkeypatch.setattr(machine, "kernel", lambda: None)
    finding = check_device(parameters)
    assert "built without its own attention" in finding.seen
    assert "g++ 10 or newer" in finding.fix
