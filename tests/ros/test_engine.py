"""From frames to results across two threads, with the real network."""

import threading

import numpy as np
import pytest
from graph import CAMERA, TINY, a_node

from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, Ledger
from da3_ros.core.scene.scene import Scene
from da3_ros.net.checkpoint import load_network
from da3_ros.ros.engine import Engine
from da3_ros.ros.health.throttled_log import Complaints
from da3_ros.ros.outputs.publishers import Outputs
from da3_ros.ros.status import Vitals

SECOND = 10**9


node = pytest.fixture(a_node, scope="module")


class Bench:
    """An engine; its network waits for `go` once `hold` is called."""

    def __init__(self, node, **parameters):
        self.network = load_network("da3-demo")
        config = from_dict({**TINY, **{k.replace("__", "."): v for k, v in parameters.items()}})
        self.ledger, self.vitals, self.scene = Ledger(), Vitals(), Scene(config.scene)
        outputs, complaints = Outputs(node, config), Complaints(node.get_logger())
        self.engine = Engine(
            node,
            self.network,
            config,
            self.scene,
            outputs,
            self.ledger,
            complaints,
            self.vitals,
        )
        self.in_network, self.go = threading.Event(), threading.Event()
        self.aggregate = self.network.aggregate
        self.count = 0

    def hold(self):
        def aggregate(*arguments, **options):
            self.in_network.set()
            assert self.go.wait(20)
            return self.aggregate(*arguments, **options)

        self.network.aggregate = aggregate

    def drive(self, count):
        for _ in range(count):
            self.count += 1
            pixels = np.random.default_rng(self.count).integers(0, 255, (42, 56, 3), np.uint8)
            T_world_cam = np.eye(4)
            T_world_cam[0, 3] = 0.1 * self.count
            frame = Frame("camera", self.count * SECOND // 10, pixels, CAMERA, T_world_cam)
            self.ledger.receive((frame.camera_id, frame.stamp_ns))
            self.engine.take("", frame)


@pytest.fixture
def bench(node):
    benches = []

    def bench(**parameters):
        benches.append(Bench(node, **parameters))
        return benches[-1]

    yield bench
    for b in benches:
        b.go.set()
        assert b.engine.stop(20)


def test_a_window_from_before_a_reset_leaves_no_trace(bench):
    """It is in the network when the reset comes: not published, not fused, no scale of it."""
    bench = bench(scene__enabled=True, scene__voxel_size=0.5)
    bench.hold()
    bench.drive(2)
    assert bench.in_network.wait(20)
    bench.engine.clear()
    bench.ledger.drop_all(Drop.TIME_JUMP)
    bench.go.set()
    assert bench.engine.stop(20)
    counts = bench.ledger.counts()
    assert (counts.published, counts.windows, counts.dropped["time_jump"]) == (0, 0, 2)
    assert bench.vitals.newest is None and bench.engine.newest() is None
    assert bench.scene.frames == 0


def test_what_nobody_wanted_is_processed_when_asked_for(bench):
    bench = bench()
    assert bench.engine.newest() is None
    bench.drive(3)
    counts = bench.ledger.counts()
    assert counts.published == counts.windows == 0
    result = bench.engine.newest()
    assert result.window.stamp_ns == 3 * SECOND // 10 and np.isfinite(result.depth).any()
    assert bench.engine.newest() is result
    bench.drive(1)
    assert bench.engine.newest().window.stamp_ns == 4 * SECOND // 10
    bench.engine.clear()
    assert bench.engine.newest() is None


def test_an_error_of_the_network_reaches_who_asked(bench):
    bench = bench()
    bench.drive(2)

    def out_of_memory(*arguments, **options):
        raise RuntimeError("out of memory")

    bench.network.aggregate = out_of_memory
    with pytest.raises(RuntimeError, match="out of memory"):
        bench.engine.newest()
    bench.network.aggregate = bench.aggregate
    assert bench.engine.newest() is not None
