"""The demo's room written into folders as the public datasets lay theirs out."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import yaml

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraModel
from da3_ros.synthetic.room import RoomView, demo_path, render_room
from tools.eval_weights.readers import seven_scenes, tum

FRAMES = 240
"""Of the loop; 3.4 cm from picture to picture."""

SMALL = CameraModel(160, 120, np.array([[118.0, 0, 79.0], [0, 120.0, 60.5], [0, 0, 1]]))


@lru_cache(maxsize=32)
def seen(index: float, camera: CameraModel = SMALL) -> RoomView:
    """The room from a place on the loop."""
    return render_room(way(index), camera)


def way(index: float) -> np.ndarray:
    """(4, 4) T_world_cam, between the places of the loop as `poses.interpolate` says."""
    path = demo_path(FRAMES)
    first = int(index)
    return poses.interpolate(path[first], path[first + 1], index - first)


def write_picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])


def write_depth(path: Path, depth: np.ndarray, per_metre: float, unknown: int = 0) -> None:
    """Counts; the upper left corner is `unknown`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = np.rint(depth * per_metre).astype(np.uint16)
    counts[:5, :7] = unknown
    assert cv2.imwrite(str(path), counts)


def write_pose(path: Path, T: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, T)


def write_plain(folder: Path, count: int = 3) -> None:
    """Poses of the last picture are unknown."""
    np.savetxt(folder / "intrinsics.txt", SMALL.K)
    for i in range(count):
        view = seen(i)
        write_picture(folder / "rgb" / f"{i:06d}.png", view.image)
        write_depth(folder / "depth" / f"{i:06d}.png", view.depth, 1000)
        T = view.T_world_cam if i < count - 1 else np.full((4, 4), -np.inf)
        write_pose(folder / "pose" / f"{i:06d}.txt", T)


def through_lens(index: float, camera: CameraModel, border: int = 40) -> tuple:
    """Picture and depth of a camera with a lens: what it sees of a picture with a wide border."""
    if not camera.is_distorted:
        return seen(index, camera).image, seen(index, camera).depth
    K = camera.K.copy()
    K[:2, 2] += border
    wide = CameraModel(camera.width + 2 * border, camera.height + 2 * border, K)
    view = seen(index, wide)
    at = wide.project(camera.rays().reshape(-1, 3)).astype(np.float32)
    columns, rows = at.reshape(camera.height, camera.width, 2).transpose(2, 0, 1)
    image = cv2.remap(view.image, columns, rows, cv2.INTER_LINEAR)
    return image, cv2.remap(view.depth, columns, rows, cv2.INTER_NEAREST)


def write_tum(folder: Path, places: list[float], lens: CameraModel | None = None) -> list[str]:
    """Pictures at the places of the loop, 30 a second; returns their stamps.

    Depth is 5 ms late, of the second picture 50 ms; poses come every 10 ms, until 40 ms after the
    last but one picture.
    """
    stamps = [f"{1305031102 + p / 30:.6f}" for p in places]
    shift = {1: 0.05}
    for name, kind in (("rgb.txt", "rgb"), ("depth.txt", "depth")):
        lines = ["# made here", "# timestamp filename"]
        for i, stamp in enumerate(stamps):
            late = shift.get(i, 0.005) if kind == "depth" else 0.0
            lines.append(f"{float(stamp) + late:.6f} {kind}/{stamp}.png")
        (folder / name).write_text("\n".join(lines))
    for place, stamp in zip(places, stamps):
        image, depth = through_lens(place, lens or SMALL)
        write_picture(folder / "rgb" / f"{stamp}.png", image)
        write_depth(folder / "depth" / f"{stamp}.png", depth, 5000)
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    until = places[-2] + 0.04 * 30
    for place in np.arange(places[0], until, 0.3):
        T = way(place)
        if "bonn" in folder.name:
            T = tum.T_ROS @ T @ poses.inverse(tum.T_ROS @ tum.T_MARKERS_CAM)
        numbers = (*T[:3, 3], *poses.to_quat_xyzw(T[:3, :3]))
        lines.append(f"{1305031102 + place / 30:.6f} " + " ".join(f"{n:.9f}" for n in numbers))
    (folder / "groundtruth.txt").write_text("\n".join(lines))
    return stamps


def write_scannet(folder: Path, color: CameraModel, numbers: tuple[int, ...] = (0, 20, 40)) -> None:
    """Pictures larger than their depth; tracking was lost at the last one."""
    for name, camera in (("color", color), ("depth", SMALL)):
        K = np.eye(4)
        K[:3, :3] = camera.K
        write_pose(folder / "intrinsic" / f"intrinsic_{name}.txt", K)
        write_pose(folder / "intrinsic" / f"extrinsic_{name}.txt", np.eye(4))
    for i in numbers:
        write_picture(folder / "color" / f"{i}.jpg", seen(i, color).image)
        write_depth(folder / "depth" / f"{i}.png", seen(i).depth, 1000)
        lost = i == numbers[-1]
        write_pose(folder / "pose" / f"{i}.txt", np.full((4, 4), -np.inf) if lost else way(i))


def write_seven_scenes(folder: Path, camera: CameraModel, depth_camera: CameraModel) -> None:
    """Two sequences of two pictures; the depth camera is on the loop, the other one beside it."""
    T_depth_color = poses.inverse(seven_scenes.T_COLOR_DEPTH)
    for sequence, first in (("seq-01", 0), ("seq-02", 30)):
        for i in (0, 1):
            stem = folder / sequence / f"frame-{i:06d}"
            T = way(first + i)
            view = render_room(T @ T_depth_color, camera)
            write_picture(stem.with_suffix(".color.png"), view.image)
            depth = render_room(T, depth_camera).depth
            write_depth(stem.with_suffix(".depth.png"), depth, 1000, unknown=65535)
            write_pose(stem.with_suffix(".pose.txt"), T)


def write_euroc(folder: Path, left: CameraModel, right: CameraModel, T_left_right) -> None:
    """Two pairs, 50 ms apart; the body is on the loop, and the left camera is turned against it."""
    T_body_left = poses.compose(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), (0.02, 0.05, 0.01))
    truth = ["#timestamp, p_RS_R_x [m], ..."]
    for name, camera, T in (
        ("cam0", left, T_body_left),
        ("cam1", right, T_body_left @ T_left_right),
    ):
        root = folder / "mav0" / name
        root.mkdir(parents=True)
        fx, fy, cx, cy = camera.K[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
        sensor = {
            "resolution": [camera.width, camera.height],
            "intrinsics": [fx, fy, cx, cy],
            "distortion_coefficients": camera.D.tolist() or [0.0] * 4,
            "T_BS": {"cols": 4, "rows": 4, "data": T.ravel().tolist()},
        }
        (root / "sensor.yaml").write_text(yaml.safe_dump(sensor))
        lines = ["#timestamp [ns],filename"]
        for i in (0, 1):
            stamp = 1403715273262142976 + i * 50_000_000
            lines.append(f"{stamp},{stamp}.png")
            T_world_cam = euroc_body(i) @ T
            write_picture(root / "data" / f"{stamp}.png", render_room(T_world_cam, camera).image)
        (root / "data.csv").write_text("\n".join(lines))
    for i in np.arange(0, 1.2, 0.1):
        T = euroc_body(i)
        x, y, z, w = poses.to_quat_xyzw(T[:3, :3])
        numbers = (*T[:3, 3], w, x, y, z, *[0.0] * 9)
        stamp = 1403715273262142976 + round(i * 50_000_000)
        truth.append(",".join([str(stamp), *(f"{n:.9f}" for n in numbers)]))
    (folder / "mav0" / "state_groundtruth_estimate0").mkdir()
    (folder / "mav0" / "state_groundtruth_estimate0" / "data.csv").write_text("\n".join(truth))


def euroc_body(index: float) -> np.ndarray:
    """(4, 4) T_world_body: the body's axes lie so that its left camera looks as on the loop."""
    turned = poses.compose(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), np.zeros(3))
    return way(index) @ turned
