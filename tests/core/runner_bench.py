"""A runner with the real network, whose steps a test can hold up."""

from __future__ import annotations

import threading

import numpy as np

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import FrameCounts
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.runner import Runner
from da3_ros.core.scene.scene import Scene
from da3_ros.net.checkpoint import load_network

SECOND = 10**9
CAMERA = CameraModel(56, 42, np.array([[40.0, 0, 27.5], [0, 40.0, 20.5], [0, 0, 1]]))
PARAMETERS = {
    "model.name": "da3-demo",
    "model.process_res": 56,
    "window.size": 2,
    "scale.max_spread": 10.0,
    "scene.voxel_size": 0.5,
    "scene.max_range": 1000.0,
    "output.min_depth": 0.0,
    "output.max_depth": 100000.0,
}


class Results(list):
    """Where results go; `going_out` is set when one is there, which then waits for `go`."""

    def __init__(self):
        self.wanted, self.clears, self.camera_of = True, 0, {}
        self.going_out, self.go = threading.Event(), threading.Event()
        self.go.set()

    def is_wanted(self):
        return self.wanted

    def publish(self, result, camera_of):
        self.going_out.set()
        assert self.go.wait(20)
        self.append(result)
        self.camera_of = dict(camera_of)

    def clear(self):
        self.clears += 1


class Log(list):
    """(cause, sentence) of everything said."""

    def debug(self, sentence):
        self.append((None, sentence))

    def warn(self, cause, sentence):
        self.append((cause, sentence))

    def fail(self, cause, sentence, details):
        self.append((cause, f"{sentence}\n{details}"))


class Bench:
    """A runner; its network waits for `go` once `hold` is called."""

    def __init__(self, *, thread=True, device="cpu", **parameters):
        self.network = load_network("da3-demo", device)
        given = {k.replace("__", "."): v for k, v in parameters.items()}
        self.live = LiveConfig(from_dict({**PARAMETERS, **given}))
        self.counts, self.results, self.log = FrameCounts(), Results(), Log()
        self.scene, self.errors = Scene(self.live.config.scene, device), []
        self.runner = Runner(
            self.network,
            self.live,
            self.scene,
            self.results,
            self.counts,
            self.log,
            self.errors.append,
        )
        self.in_network, self.go = threading.Event(), threading.Event()
        self.aggregate = self.network.aggregate
        self.count = 0
        if thread:
            assert self.runner.start(20)

    def hold(self):
        def aggregate(*arguments, **options):
            self.in_network.set()
            assert self.go.wait(20)
            return self.aggregate(*arguments, **options)

        self.network.aggregate = aggregate

    def release(self):
        self.go.set()
        self.network.aggregate = self.aggregate

    def fail(self):
        def out_of_memory(*arguments, **options):
            raise RuntimeError("out of memory")

        self.network.aggregate = out_of_memory

    def drive(self, count, names=("",)):
        for _ in range(count):
            self.count += 1
            for name in names:
                self.take(name, self.count * SECOND // 10)

    def take(self, name, stamp_ns, camera_id=None):
        pixels = np.random.default_rng(stamp_ns).integers(0, 255, (42, 56, 3), np.uint8)
        T_world_cam = np.eye(4)
        T_world_cam[0, 3] = stamp_ns / SECOND
        frame = Frame(camera_id or f"{name}_optical", stamp_ns, pixels, CAMERA, T_world_cam)
        self.counts.receive(frame.key)
        self.runner.take(name, frame)

    def wait_for(self, condition):
        """Until it holds; its threads tell nobody when they are done."""
        done = threading.Event()
        for _ in range(2000):
            if condition():
                return
            done.wait(0.01)
        raise AssertionError("timed out")

    def dropped(self):
        counts = self.counts.counts()
        assert counts.received == counts.published + sum(counts.dropped.values()) + counts.pending
        return {reason: n for reason, n in counts.dropped.items() if n}
