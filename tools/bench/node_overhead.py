"""What a published frame costs besides the network: message in to messages out.

Points of the scene are left out (`scale.source: cameras`): parallax.py measures them.
"""

from __future__ import annotations

import time
from statistics import median

import cv2
import numpy as np

from da3_ros.core.config import from_dict
from da3_ros.core.depth_view import DepthView
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.point_cloud import PointCloudWriter
from da3_ros.core.scene.one_thread import one_thread
from da3_ros.net.checkpoint import load_network
from da3_ros.ros import images, messages
from tools.bench.streaming import room_frames

WARM_UP = 8
"""Frames until windows are full and buffers are there."""

NETWORK_STAGES = ("encode", "aggregate", "decode")


class TimedNetwork:
    """The network with a stopwatch on its stages."""

    def __init__(self, network):
        self._network = network
        self.preset = network.preset
        self.parameters = network.parameters
        self.seconds = 0.0

    def __getattr__(self, name: str):
        stage = getattr(self._network, name)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            result = stage(*args, **kwargs)
            self.seconds += time.perf_counter() - start
            return result

        return timed if name in NETWORK_STAGES else stage


def measure(runs: int = 40) -> dict:
    """Median ms per 640x480 frame on one core, with every topic listened to."""
    with one_thread():
        return _measure(runs)


def _measure(runs: int) -> dict:
    cv2.setNumThreads(1)
    frames = room_frames(4)
    network = TimedNetwork(load_network("da3-demo"))
    config = {"window.min_baseline": 0.0, "model.process_res": 504, "scale.source": "cameras"}
    pipeline = Pipeline(network, from_dict(config))
    write_cloud = PointCloudWriter()
    totals = []
    for i in range(runs):
        shown = frames[i % len(frames)]
        head = messages.header("camera", (i + 1) * 100_000_000)
        image = messages.image_message(shown.image, "rgb8", head)
        info = messages.camera_info_message(shown.camera, head)
        network.seconds, start = 0.0, time.perf_counter()
        _in_and_out(image, info, shown.T_world_cam, i, pipeline, write_cloud)
        totals.append(time.perf_counter() - start - network.seconds)
    milliseconds = sorted(1000 * t for t in totals[WARM_UP:])
    spread = [round(milliseconds[0], 1), round(milliseconds[-1], 1)]
    return {"ms_median": round(median(milliseconds), 1), "ms_spread": spread}


def _in_and_out(
    image, info, T_world_cam: np.ndarray, i: int, pipeline: Pipeline, write_cloud
) -> None:
    camera = messages.camera_model(info)
    frame = Frame("camera", (i + 1) * 100_000_000, images.to_rgb(image), camera, T_world_cam)
    window = pipeline.push(frame).window
    if window is None:
        return
    shown = DepthView(pipeline.process(window), 0, pipeline.config.output)
    head = messages.header(frame.camera_id, shown.frame.stamp_ns)
    messages.depth_message(shown.depth, "32FC1", head)
    messages.image_message(shown.conf, "32FC1", head)
    messages.camera_info_message(shown.camera, head)
    messages.cloud_message(write_cloud(shown.depth, shown.image, shown.camera), head)
