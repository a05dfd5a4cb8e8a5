"""Folders of public RGB-D layouts give back the room that was written into them."""

import cv2
import layouts
import numpy as np
import pytest
from layouts import SMALL, seen, through_lens, way

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.frame import Frame
from da3_ros.synthetic.room import render_room
from tools.eval_weights.readers import euroc, read_dataset, seven_scenes, tum
from tools.eval_weights.readers.register import register_depth, resample
from tools.eval_weights.recording import EXACT, DataError, PosedRecording, Shot


def agreement(said: np.ndarray, true: np.ndarray, share: float = 0.02) -> float:
    """Of the pixels that are said, the share that is right."""
    known = np.isfinite(said)
    return float((np.abs(said - true)[known] < share * true[known]).mean())


def same_picture(a: np.ndarray, b: np.ndarray) -> bool:
    """No quarter of one is half a pixel from where it is in the other."""
    return max(_shift(a, b, rows, columns) for rows in (0, 1) for columns in (0, 1)) < 0.5


def _shift(a: np.ndarray, b: np.ndarray, row: int, column: int) -> float:
    height, width = (side // 2 for side in a.shape[:2])
    part = slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)
    quarters = [
        cv2.cvtColor(image[part], cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (a, b)
    ]
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    return float(np.linalg.norm(cv2.phaseCorrelate(*quarters, window)[0]))


def test_plain_folders_are_read_as_written(tmp_path):
    layouts.write_plain(tmp_path)
    dataset = read_dataset(tmp_path)
    recording = dataset.recordings[0]
    assert len(recording) == 2
    assert dataset.notes == (
        "1 of 3 pictures left out: their pose is unknown",
        "no time stamps: taken for 6 Hz",
    )
    for i in range(2):
        shot, view = recording.read(i), seen(i)
        np.testing.assert_array_equal(shot.frame.image, view.image)
        assert np.isnan(shot.depth[:5, :7]).all() and np.isfinite(shot.depth[5:]).all()
        np.testing.assert_allclose(shot.depth[5:], view.depth[5:], atol=6e-4)
        np.testing.assert_allclose(shot.frame.T_world_cam, view.T_world_cam, atol=1e-9)
        np.testing.assert_array_equal(shot.frame.camera.K, SMALL.K)
    assert dataset.step == pytest.approx(np.linalg.norm((way(1) - way(0))[:3, 3]))


def test_missing_files_are_counted_and_bad_ones_named(tmp_path):
    layouts.write_plain(tmp_path, count=4)
    (tmp_path / "depth" / "000001.png").unlink()
    dataset = read_dataset(tmp_path)
    assert "1 of 4 pictures left out: their depth or pose is missing" in dataset.notes
    cv2.imwrite(str(tmp_path / "depth" / "000002.png"), np.zeros((120, 160), np.uint8))
    with pytest.raises(DataError, match=r"000002.png is uint8 .*must be a grey PNG of 16 bits"):
        dataset.recordings[0].read(1)
    layouts.write_pose(tmp_path / "pose" / "000002.txt", 2 * way(2))
    with pytest.raises(DataError, match="000002.txt"):
        read_dataset(tmp_path)


def test_tum_pictures_lose_their_lens(tmp_path):
    lens = tum.CALIBRATIONS["freiburg1"][4:]
    K = np.array([[210.0, 0, 119], [0, 211, 92], [0, 0, 1]])
    camera = CameraModel(240, 180, K, "plumb_bob", np.array(lens))
    numbers = (*K[[0, 1, 0, 1], [0, 1, 2, 2]], *lens)
    (tmp_path / "camera.txt").write_text(" ".join(map(str, numbers)))
    layouts.write_tum(tmp_path, [3.05, 4.0], lens=camera)
    # The last one has no poses around it.
    (only,) = read_dataset(tmp_path).recordings
    shot, view = only.read(0), seen(3.05, camera.pinhole())
    assert only.stamps_ns.tolist() == [1305031102_101667000]
    inside = np.ones((180, 240), bool) if shot.frame.seen is None else shot.frame.seen
    assert inside.mean() > 0.9
    raw = through_lens(3.05, camera)[0]
    assert not same_picture(raw, view.image) and same_picture(shot.frame.image, view.image)
    assert agreement(shot.depth, view.depth, 0.01) > 0.97
    assert np.isfinite(shot.depth).mean() > 0.9
    np.testing.assert_allclose(shot.frame.T_world_cam, view.T_world_cam, atol=1e-4)


def test_the_name_of_a_tum_folder_tells_its_camera(tmp_path):
    folder = tmp_path / "rgbd_dataset_freiburg2_desk"
    folder.mkdir()
    layouts.write_tum(folder, [0.0, 1.0])
    camera = read_dataset(folder).recordings[0].read(0).frame.camera
    assert camera.K[[0, 1], [0, 1]].tolist() == [520.908620, 521.007327]
    assert camera.K[:2, 2].tolist() == [325.141442, 249.701764]


@pytest.mark.parametrize("name", ["freiburg3_desk", "rgbd_bonn_crowd"])
def test_tum_and_bonn_find_depth_and_pose_by_time(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "camera.txt").write_text("118 120 79 60.5")
    places = [2.0, 3.05, 6.1, 9.0]
    layouts.write_tum(folder, places)
    dataset = read_dataset(folder)
    assert sorted(dataset.notes) == [
        "1 of 4 pictures left out: no depth within 20 ms",
        "1 of 4 pictures left out: no pose on both sides of them within 100 ms",
    ]
    (recording,) = dataset.recordings
    assert len(recording) == 2
    for i, place in ((0, places[0]), (1, places[2])):
        shot, view = recording.read(i), seen(place)
        np.testing.assert_array_equal(shot.frame.image, view.image)
        np.testing.assert_allclose(shot.depth[5:], view.depth[5:], atol=1.1e-4)
        assert np.isnan(shot.depth[:5, :7]).all()
        np.testing.assert_allclose(shot.frame.T_world_cam, way(place), atol=1e-4)


def test_a_tum_folder_of_unknown_camera_asks_for_it(tmp_path):
    layouts.write_tum(tmp_path, [0.0, 1.0])
    with pytest.raises(DataError, match="write fx fy cx cy.* into camera.txt"):
        read_dataset(tmp_path)
    (tmp_path / "camera.txt").write_text("118 120 79")
    with pytest.raises(DataError, match="has 3 numbers, must be 4, 8 or 9"):
        read_dataset(tmp_path)
    (tmp_path / "camera.txt").write_text("118 120 79 60")
    (tmp_path / "groundtruth.txt").write_text("1305031102.0 1 2 3 0 0 0\n")
    with pytest.raises(DataError, match="must have lines of stamp tx ty tz qx qy qz qw"):
        read_dataset(tmp_path)


def test_scannet_pictures_are_brought_to_the_depth_camera(tmp_path):
    color = CameraModel(400, 300, np.array([[300.0, 0, 195.5], [0, 301.0, 152.0], [0, 0, 1]]))
    layouts.write_scannet(tmp_path, color)
    dataset = read_dataset(tmp_path)
    assert dataset.notes == ("1 of 3 pictures left out: their pose is unknown",)
    (recording,) = dataset.recordings
    assert np.diff(recording.stamps_ns).tolist() == [pytest.approx(20e9 / 30, abs=2)]
    shot, view = recording.read(1), seen(20)
    lit = shot.frame.seen
    assert 0.9 < lit.mean() < 1 and same_picture(shot.frame.image, view.image)
    assert (np.isfinite(shot.depth) <= lit).all()
    np.testing.assert_allclose(shot.depth[5:][lit[5:]], view.depth[5:][lit[5:]], atol=6e-4)
    np.testing.assert_allclose(shot.frame.T_world_cam, view.T_world_cam, atol=1e-9)
    layouts.write_pose(tmp_path / "intrinsic" / "extrinsic_color.txt", way(0))
    with pytest.raises(DataError, match="extrinsic_color.txt is not 1"):
        read_dataset(tmp_path)


def test_seven_scenes_depth_is_drawn_into_the_picture(tmp_path):
    color, depth_camera = (
        seven_scenes._camera((240, 320), f)
        for f in (seven_scenes.FOCAL_COLOR, seven_scenes.FOCAL_DEPTH)
    )
    layouts.write_seven_scenes(tmp_path, color, depth_camera)
    dataset = read_dataset(tmp_path)
    assert [r.name for r in dataset.recordings] == ["seq-01", "seq-02"]
    assert [len(r) for r in dataset.recordings] == [2, 2]
    shot = dataset.recordings[1].read(1)
    view = render_room(shot.frame.T_world_cam, color)
    np.testing.assert_array_equal(shot.frame.image, view.image)
    assert agreement(shot.depth, view.depth) > 0.97
    # The depth camera looks through a narrower lens.
    assert 0.75 < np.isfinite(shot.depth).mean() < 0.95
    assert np.nanmax(shot.depth) < 20
    unregistered = render_room(way(31), depth_camera).depth
    assert agreement(unregistered, view.depth) < 0.9
    assert len(read_dataset(tmp_path / "seq-01").recordings) == 1


def test_euroc_pairs_are_rectified_posed_and_matched(tmp_path):
    K = np.array([[330.0, 0, 190.0], [0, 332.0, 118.0], [0, 0, 1]])
    left, right = (CameraModel(376, 240, K + shift) for shift in (0.0, np.diag([2.0, 1, 0])))
    turn = cv2.Rodrigues(np.array([0.004, -0.006, 0.003]))[0]
    T_left_right = poses.compose(turn, (0.11, 0.002, -0.001))
    layouts.write_euroc(tmp_path, left, right, T_left_right)
    dataset = read_dataset(tmp_path)
    (recording,) = dataset.recordings
    assert not dataset.notes and len(recording) == 2 and "not a sensor" in dataset.truth
    shot = recording.read(1)
    for frame in (shot.frame, shot.right):
        view = render_room(frame.T_world_cam, frame.camera)
        assert same_picture(frame.image, view.image)
    baseline = poses.inverse(shot.frame.T_world_cam) @ shot.right.T_world_cam
    np.testing.assert_allclose(baseline[:3, :3], np.eye(3), atol=1e-9)
    assert baseline[0, 3] == pytest.approx(np.linalg.norm(T_left_right[:3, 3]))
    truth = render_room(shot.frame.T_world_cam, shot.frame.camera).depth
    # The left third has no partner within the disparities that are looked for.
    assert np.isfinite(shot.depth).mean() > 0.3
    assert agreement(shot.depth, truth, 0.05) > 0.9


def test_a_wall_is_matched_where_it_is():
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (60, 400, 3), dtype=np.uint8)
    depth = euroc.matched_depth(wide[:, :360], wide[:, 20:380], focal=200.0, baseline=0.1)
    assert np.nanmedian(depth) == pytest.approx(200 * 0.1 / 20, rel=1e-3)


def test_depth_of_the_same_camera_stays_and_the_nearest_surface_wins():
    depth = seen(5).depth
    np.testing.assert_allclose(register_depth(depth, SMALL, np.eye(4), SMALL), depth, rtol=1e-6)
    aside = poses.compose(np.eye(3), (0.3, 0.0, 0.0))
    moved = register_depth(depth, SMALL, aside, SMALL)
    view = render_room(way(5) @ poses.inverse(aside), SMALL)
    assert agreement(moved, view.depth) > 0.9
    assert agreement(register_depth(depth, SMALL, poses.inverse(aside), SMALL), view.depth) < 0.6


def test_a_resampled_picture_is_that_of_the_other_camera():
    wide = CameraModel(400, 300, np.array([[250.0, 0, 190.0], [0, 260.0, 155.0], [0, 0, 1]]))
    image, known = resample(seen(5, wide).image, wide, SMALL)
    assert known.all() and same_picture(image, seen(5).image)


def test_what_file_managers_leave_is_no_data(tmp_path):
    layouts.write_plain(tmp_path, count=3)
    for name in (".DS_Store", "._000000.png", "Thumbs.db"):
        for folder in ("rgb", "depth"):
            (tmp_path / folder / name).write_bytes(b"nothing")
    assert len(read_dataset(tmp_path).recordings[0]) == 2


def test_pictures_named_by_their_time_come_in_its_order(tmp_path):
    layouts.write_plain(tmp_path, count=3)
    for folder, ending in (("rgb", "png"), ("depth", "png"), ("pose", "txt")):
        for i in (0, 1, 2):
            old = tmp_path / folder / f"{i:06d}.{ending}"
            old.rename(tmp_path / folder / f"1305031102.{i}5{i}304.{ending}")
    (recording,) = read_dataset(tmp_path).recordings
    np.testing.assert_allclose(recording.T_world_cam, np.stack([way(0), way(1)]), atol=1e-9)


def test_intrinsics_that_no_camera_has_are_refused_before_any_picture(tmp_path):
    layouts.write_plain(tmp_path, count=2)
    np.savetxt(tmp_path / "intrinsics.txt", np.diag([0.0, 100, 1]))
    with pytest.raises(DataError, match="intrinsics.txt: K has focal length fx=0"):
        read_dataset(tmp_path)
    tum_folder = tmp_path / "living_room"
    tum_folder.mkdir()
    layouts.write_tum(tum_folder, [0.0, 1.0])
    (tum_folder / "camera.txt").write_text("481.2 -480 319.5 239.5")
    with pytest.raises(DataError, match="camera.txt: K has focal length .*fy=-480"):
        read_dataset(tum_folder)
    (tum_folder / "camera.txt").write_text("fx: 481.2")
    with pytest.raises(DataError, match="camera.txt cannot be read as a matrix"):
        read_dataset(tum_folder)


def test_a_stamp_listed_twice_is_read_once(tmp_path):
    layouts.write_tum(tmp_path, [0.0, 1.0])
    (tmp_path / "camera.txt").write_text("118 120 79 60.5")
    listed = (tmp_path / "rgb.txt").read_text().splitlines()
    (tmp_path / "rgb.txt").write_text("\n".join([*listed, listed[2]]))
    dataset = read_dataset(tmp_path)
    assert len(dataset.recordings[0]) == 1
    assert "1 of 3 pictures left out: their stamp is that of another one" in dataset.notes


def test_folders_that_are_no_recording_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match="has none of the layouts"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        read_dataset(tmp_path / "none")
    with pytest.raises(DataError, match="depth must be registered"):
        view = seen(0)
        Shot(Frame("camera", 1, view.image, SMALL, view.T_world_cam), view.depth[:60])
    with pytest.raises(DataError, match="do not ascend"):
        PosedRecording(EXACT, np.array([2, 1]), np.stack([np.eye(4)] * 2), lambda i: None)
    with pytest.raises(DataError, match="no picture with a pose"):
        PosedRecording(EXACT, np.array([], int), np.empty((0, 4, 4)), lambda i: None)
