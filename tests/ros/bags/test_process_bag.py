"""Offline processing: real bags in, bags out that any reader reads, twice the same bytes."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from bag_files import SMALL, copy, files, read
from da3_ros.msg import CameraPoses
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CameraInfo
from spoilt_bags import spoil

from da3_ros.commands.process import process_all
from da3_ros.ros.bags.bag import BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.bags.survey import survey
from da3_ros.ros.demo.bag import DEMO_CAMERA

FRAMES = 6


@pytest.fixture(scope="module")
def result(room, tmp_path_factory):
    (report,) = process_all([BagJob(room, tmp_path_factory.mktemp("out"), SMALL, "glb-mesh_ply")])
    assert report.failure == ""
    return report


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


def test_a_bag_of_one_image_says_that_it_is_too_few(room, tmp_path):
    kept = iter(range(FRAMES))

    def first(topic, time_ns, msg):
        return None if topic == "/camera/image_raw" and next(kept) else (topic, time_ns, msg)

    (report,) = process_all([BagJob(spoil(room, tmp_path / "one", first), tmp_path / "out", SMALL)])
    assert {r: n for r, n in report.counts.dropped.items() if n} == {"no_window": 1}
    said = "no window has been made yet: it takes 2 images (window.size), of which none is more"
    assert sum(sentence.startswith(said) for sentence in report.warnings) == 1


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
    (again,) = process_all([BagJob(room, tmp_path, SMALL, "glb-mesh_ply")])
    assert files(again.job.result) == files(result.job.result)
    assert {path.name for path in tmp_path.iterdir()} == {"room"}


def test_the_kitchen(shared_data, tmp_path):
    bag = copy(shared_data / "7scenes_redkitchen_compressed_mcap", tmp_path / "kitchen", until=1.2)
    outs = []
    for out in ("a", "b"):
        (report,) = process_all([BagJob(bag, tmp_path / out, SMALL)])
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


def test_left_out_topics_are_not_written(room, tmp_path):
    job = BagJob(room, tmp_path, SMALL, leave_out=("points", "path", "image_rect"))
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


def test_an_export_that_can_only_fail_costs_no_run(room, tmp_path):
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "engine.json").write_text("{}")
    engine = {**SMALL, "model.name": str(tmp_path / "engine")}
    unposed = {**SMALL, "pose.source": "none"}
    jobs = [
        (
            BagJob(room, tmp_path / "a", SMALL, "glb-feat_vis"),
            "needs the option export_feat_layers",
        ),
        (BagJob(room, tmp_path / "d", unposed, "glb-mesh_ply"), "is processed without poses"),
        (BagJob(room, tmp_path / "b", SMALL, "gs_ply"), "da3-demo has no Gaussian head"),
        (BagJob(room, tmp_path / "c", engine, "gs_video"), "an engine gives none"),
    ]
    for job, said in jobs:
        (report,) = process_all([job])
        assert said in report.failure and report.counts is None and not job.result.exists()


def test_drops_are_counted_with_their_reason(room, tmp_path):
    def change(topic, k, msg):
        if isinstance(msg, CameraInfo) and msg.header.stamp.nanosec < 150_000_000:
            return None  # the first two images have no info
        return msg

    bag = copy(room, tmp_path / "broken", change=change)
    (report,) = process_all([BagJob(bag, tmp_path / "out", SMALL)])
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
    (report,) = process_all([BagJob(tmp_path / "twice", tmp_path / "out", SMALL)])
    counts = report.counts
    # All but one of each run, which is a neighbour only.
    assert (counts.received, counts.published) == (2 * FRAMES, 2 * (FRAMES - 1))
    assert counts.dropped["no_pose"] == counts.dropped["no_camera_info"] == 0
    assert any("jumped back by" in sentence for sentence in report.warnings)


def test_the_written_topics_are_not_larger_than_announced(result, room):
    (file,) = result.job.result.glob("*.mcap")
    announced = survey(BagJob(room, result.job.out, SMALL)).size
    assert announced * 0.5 < file.stat().st_size < announced * 1.05


def test_results_are_never_overwritten(result):
    before = files(result.job.result)
    (again,) = process_all([result.job])
    assert again.failure == "" and again.counts == result.counts
    (other,) = process_all([replace(result.job, formats="")])
    assert "exists already, made from other exports; remove it or choose" in other.failure
    assert files(result.job.result) == before


@pytest.mark.parametrize(
    ("pattern", "spoil", "said"),
    [
        ("*.mcap", Path.unlink, "exists already, without its file "),
        ("*.mcap", lambda path: path.write_bytes(path.read_bytes()[:-9]), "has not the size"),
        ("exports/*.glb", Path.unlink, "exists already, without its file exports/"),
    ],
)
def test_a_result_of_which_something_was_lost_is_not_called_done(
    result, tmp_path, pattern, spoil, said
):
    shutil.copytree(result.job.result, tmp_path / result.job.name)
    job = replace(result.job, out=tmp_path)
    (tmp_path / job.name / "metadata.yaml").write_text("reindexed")
    (whole,) = process_all([job])
    assert whole.failure == "" and whole.counts == result.counts
    spoil(next((tmp_path / job.name).glob(pattern)))
    (report,) = process_all([job])
    assert said in report.failure and "remove it or choose" in report.failure
