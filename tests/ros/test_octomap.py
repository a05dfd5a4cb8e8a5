"""What OctoMap makes of the shipped settings: the space behind walls stays unknown.

The real OctoMap fills its octree as octomap_server does, with clouds of the built-in model, which
is wrong by a quarter of the depth, and for comparison with exact ones.
"""

from functools import cache

import numpy as np
import pytest
from stack_config import da3, of_node

from da3_ros.core.config import OutputConfig, from_dict
from da3_ros.core.depth_view import DepthView
from da3_ros.core.frame import Frame
from da3_ros.core.load_model import load_model
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.point_cloud import PointCloudWriter
from da3_ros.core.prediction import WindowDepth
from da3_ros.synthetic.room import CAMERA, SIZE, demo_path, render_room

pyoctomap = pytest.importorskip("pyoctomap", reason="needs OctoMap, see requirements-test.txt")

SERVER = of_node("octomap", "octomap_server")
SMALL = CAMERA.scaled(width=320, height=240)
BEHIND = 0.5
"""m behind a wall, where nobody can see."""


@cache
def views():
    """The beginning of the demo's way, with exact depth."""
    return [render_room(T, SMALL) for T in demo_path(60)[:24]]


@cache
def results() -> list[WindowDepth]:
    """With the scale as the network says it: where pictures show too little for parallax."""
    values = of_node("octomap", "da3") | {"model.name": "da3-demo"}
    config = from_dict(values | {"scale.source": "cameras", "scale.correction": "none"})
    pipeline = Pipeline(load_model(config), config)
    frames = [Frame("c", i + 1, v.image, SMALL, v.T_world_cam) for i, v in enumerate(views())]
    windows = [pipeline.push(frame).window for frame in frames]
    return [pipeline.process(window) for window in windows if window]


def octree(clouds):
    """clouds: of points (n, 3) in the camera, with T_world_cam."""
    tree = pyoctomap.OcTree(SERVER["resolution"])
    tree.setProbHit(SERVER["sensor_model.hit"])
    tree.setProbMiss(SERVER["sensor_model.miss"])
    for points, T in clouds:
        world = points @ T[:3, :3].T + T[:3, 3]
        tree.insertPointCloud(world, T[:3, 3].copy(), SERVER["sensor_model.max_range"])
    return tree


def of_network(output: OutputConfig):
    for result in results():
        seen = DepthView(result, 0, output)
        yield points_of(seen.depth, seen.camera), result.frames[0].T_world_cam


def points_of(depth, camera):
    image = np.zeros((*depth.shape, 3), np.uint8)
    cloud = PointCloudWriter(2)(depth, image, camera)  # cloud_step 4 is for pictures of 640 px
    points = np.stack([cloud[axis] for axis in "xyz"], axis=-1).reshape(-1, 3).astype(float)
    return points[np.isfinite(points).all(axis=1)]


def along_rays(distance: float):
    """Points (n, 3) in the world that much farther than what is seen; negative: nearer."""
    found = []
    for seen in views():
        points = points_of(seen.depth, SMALL)[::60]
        far = np.linalg.norm(points, axis=1, keepdims=True)
        T = seen.T_world_cam
        found.append(points * (far + distance) / far @ T[:3, :3].T + T[:3, 3])
    return np.concatenate(found)


def behind_walls():
    points = along_rays(BEHIND)
    return points[((points < -0.1) | (points > np.array(SIZE) + 0.1)).any(axis=1)]


def before_surfaces():
    return along_rays(-0.3)


def share_free(tree, points) -> float:
    nodes = [tree.search(point) for point in points]
    return float(np.mean([node is not None and not tree.isNodeOccupied(node) for node in nodes]))


def test_behind_walls_stays_unknown_and_before_them_becomes_free():
    shipped = octree(of_network(da3("octomap").output))
    assert share_free(shipped, behind_walls()) < 0.01
    assert share_free(shipped, before_surfaces()) > 0.15


def test_the_measure_sees_what_the_settings_prevent():
    everything = octree(of_network(OutputConfig()))
    assert share_free(everything, behind_walls()) > 0.15
    exact = octree((points_of(v.depth, v.camera), v.T_world_cam) for v in views())
    assert share_free(exact, behind_walls()) < 0.002
    assert share_free(exact, before_surfaces()) > 0.9
