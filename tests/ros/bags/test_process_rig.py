"""Rigs offline: several cameras in one bag, found by their names or by the options."""

from dataclasses import replace

from bag_files import SMALL, files, read, write_parameters

from da3_ros.commands.process import parse_arguments, process_all
from da3_ros.ros.bags.bag import BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob

FRAMES = 6
RIG = {**SMALL, "input.cameras": ["front", "left"], "input.sync_tolerance": 0.02}


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


def test_a_named_camera_has_its_own_topics(room, tmp_path):
    job = BagJob(room, tmp_path, {**SMALL, "input.cameras": ["front"]})
    process_all([job])
    assert {"/da3/front/depth/image", "/da3/path"} <= set(read(job.result))


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
    params = write_parameters(tmp_path / "params.yaml", RIG)
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
