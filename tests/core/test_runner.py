"""From frames to results with the real network: across two threads, and in one."""

import threading

import numpy as np
import pytest

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, FrameCounts
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.runner import BACK_TO_WORK, NOT_WANTED, Runner
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

    def __init__(self, *, thread=True, **parameters):
        self.network = load_network("da3-demo")
        given = {k.replace("__", "."): v for k, v in parameters.items()}
        self.live = LiveConfig(from_dict({**PARAMETERS, **given}))
        self.counts, self.results, self.log = FrameCounts(), Results(), Log()
        self.scene, self.errors = Scene(self.live.config.scene), []
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
        """Until it holds; the worker tells nobody when it is done."""
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


@pytest.fixture
def bench():
    benches = []

    def bench(**parameters):
        benches.append(Bench(**parameters))
        return benches[-1]

    yield bench
    for b in benches:
        b.go.set()
        b.results.go.set()
        assert b.runner.stop(20)


def test_a_window_from_before_a_reset_leaves_no_trace(bench):
    """It is in the network when the reset comes: not published, not fused, no scale of it."""
    bench = bench(scene__enabled=True)
    bench.hold()
    bench.drive(2)
    assert bench.in_network.wait(20)
    bench.runner.clear()
    bench.go.set()
    assert bench.runner.stop(20)
    counts = bench.counts.counts()
    assert (counts.published, counts.windows, counts.dropped["time_jump"]) == (0, 0, 2)
    assert bench.runner.newest() is None and bench.results == [] and bench.results.clears == 1
    assert bench.scene.frames == 0


def test_what_waits_behind_a_window_from_before_a_reset_is_not_processed(bench):
    bench = bench(window__drop_when_busy=False)
    bench.hold()
    bench.drive(5)
    assert bench.in_network.wait(20)
    bench.runner.clear()
    bench.release()
    bench.drive(2)
    bench.wait_for(lambda: bench.results)
    assert [r.window.stamp_ns for r in bench.results] == [7 * SECOND // 10]
    assert bench.dropped() == {"neighbour_only": 1, "time_jump": 4}


def test_a_failure_of_before_a_reset_is_not_told(bench):
    bench = bench()
    bench.hold()
    bench.drive(2)
    assert bench.in_network.wait(20)
    bench.runner.clear()
    bench.aggregate = lambda *arguments, **options: 1 / 0
    bench.go.set()
    assert bench.runner.stop(20)
    assert bench.runner.failure == "" and bench.log == [] and bench.errors == []


def test_nothing_of_before_goes_out_after_a_reset(bench):
    """A result that is going out when the reset comes is out when `clear` returns."""
    bench = bench()
    bench.results.go.clear()
    bench.drive(2)
    assert bench.results.going_out.wait(20)
    at_return = []

    def clear():
        bench.runner.clear()
        at_return.append(len(bench.results))

    clearing = threading.Thread(target=clear)
    clearing.start()
    clearing.join(0.2)
    assert at_return == []
    bench.results.go.set()
    clearing.join(20)
    assert at_return == [1] and bench.runner.newest() is None


def test_stop_does_not_wait_for_ever_and_start_does_not_run_two_at_once(bench):
    bench = bench()
    bench.hold()
    bench.drive(3)
    assert bench.in_network.wait(20)
    assert not bench.runner.stop(0.05)
    assert not bench.runner.start(0.05)
    bench.release()
    assert bench.runner.start(20)
    assert bench.results == [] and bench.counts.counts().received == 0
    bench.drive(2)
    bench.wait_for(lambda: bench.results)


def test_what_nobody_wanted_is_processed_when_asked_for(bench):
    bench = bench()
    bench.results.wanted = False
    assert bench.runner.newest() is None
    bench.drive(3)
    counts = bench.counts.counts()
    assert counts.published == counts.windows == 0
    assert bench.log == [(None, NOT_WANTED)]
    result = bench.runner.newest()
    assert result.window.stamp_ns == 3 * SECOND // 10 and np.isfinite(result.depth).any()
    assert bench.runner.newest() is result
    bench.drive(1)
    assert bench.runner.newest().window.stamp_ns == 4 * SECOND // 10
    bench.runner.clear()
    assert bench.runner.newest() is None
    bench.results.wanted = True
    bench.drive(2)
    bench.wait_for(lambda: bench.results)
    assert bench.log[1:] == [(None, BACK_TO_WORK)]


def test_an_error_of_the_network_reaches_who_asked(bench):
    bench = bench()
    bench.results.wanted = False
    bench.drive(2)
    bench.fail()
    with pytest.raises(RuntimeError, match="out of memory"):
        bench.runner.newest()
    bench.network.aggregate = bench.aggregate
    assert bench.runner.newest() is not None


def test_an_error_of_the_network_is_named_and_the_next_window_published(bench):
    bench = bench()
    bench.fail()
    bench.drive(2)
    bench.wait_for(lambda: bench.runner.failure)
    assert bench.runner.failure == "inference failed: RuntimeError: out of memory"
    assert [cause for cause, _ in bench.log] == ["inference"] and "Traceback" in bench.log[0][1]
    bench.network.aggregate = bench.aggregate
    bench.drive(2)
    bench.wait_for(lambda: bench.results)
    assert bench.runner.failure == "" and bench.errors == []
    bench.runner.stop(20)
    assert bench.dropped()["inference_failed"] >= 1


@pytest.mark.parametrize("where", ["publish", "integrate"])
def test_an_error_of_publishing_or_fusing_is_no_failed_inference(bench, where, monkeypatch):
    bench = bench(scene__enabled=True)
    target = bench.results if where == "publish" else bench.scene
    monkeypatch.setattr(target, where, lambda *arguments: 1 / 0)
    bench.drive(3)
    bench.wait_for(lambda: len(bench.errors) >= 1)
    assert isinstance(bench.errors[0], ZeroDivisionError)
    assert bench.runner.failure == "" and bench.log == []
    monkeypatch.undo()
    before = len(bench.results)
    bench.drive(2)
    bench.wait_for(lambda: len(bench.results) > before)
    assert bench.runner.stop(20)
    dropped = bench.dropped()
    assert "inference_failed" not in dropped
    # What was published counts as that, also when it could not be fused.
    assert ("internal_error" in dropped) == (where == "publish")


def test_without_a_thread_windows_are_processed_where_they_come(bench):
    bench = bench(thread=False)
    bench.drive(4)
    assert [r.window.stamp_ns for r in bench.results] == [k * SECOND // 10 for k in (2, 3, 4)]
    bench.fail()
    with pytest.raises(RuntimeError, match="out of memory"):
        bench.drive(1)
    bench.runner.finish()
    assert bench.counts.counts().pending == 0


def test_frames_that_wait_for_the_rig_are_processed_at_the_end(bench):
    """The right camera ends first; its last instant is the left one's alone."""
    bench = bench(thread=False, input__cameras=["left", "right"], window__publish="all")
    bench.drive(2, ("left", "right"))
    bench.drive(1, ("left",))
    assert len(bench.results) == 1 and bench.counts.counts().published == 4
    bench.runner.finish()
    assert [len(r.window.frames) for r in bench.results] == [4, 3]
    assert bench.results.camera_of == {"left_optical": "left", "right_optical": "right"}
    assert (bench.counts.counts().published, bench.dropped()) == (5, {})


def test_two_cameras_cannot_share_a_frame(bench):
    bench = bench(thread=False, input__cameras=["left", "right"])
    bench.take("left", SECOND, "camera")
    bench.take("right", SECOND + 1, "camera")
    assert bench.dropped() == {"bad_header": 1}
    ((cause, sentence),) = bench.log
    assert cause[0] == "right" and "both send frame_id 'camera'" in sentence


def test_refused_frames_are_counted_and_only_mistakes_are_said(bench):
    bench = bench(thread=False)
    bench.take("", SECOND)
    for stamp_ns in (SECOND // 2, SECOND + 1):
        bench.take("", stamp_ns)
    assert bench.dropped() == {"out_of_order": 1, "not_moved": 1}
    assert bench.log == [(Drop.OUT_OF_ORDER, "image dropped: older than the frame before")]


def test_parameters_are_read_at_use(bench):
    bench = bench(thread=False, window__min_baseline=5.0, window__min_rotation=3.0)
    bench.drive(3)
    assert bench.results == []
    bench.live.config = from_dict({**PARAMETERS, "window.min_baseline": 0.0})
    bench.drive(1)
    assert len(bench.results) == 1
