"""From frames to results with the real network: across two threads, and in one."""

import gc
import threading
import weakref

import numpy as np
import pytest
from runner_bench import PARAMETERS, SECOND, Bench

from da3_ros.core.config import from_dict
from da3_ros.core.frame_counts import Drop
from da3_ros.core.runner import BACK_TO_WORK, NOT_WANTED
from da3_ros.net.precision import set_precision


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


def test_a_window_goes_out_while_the_next_one_is_in_the_network(bench):
    bench = bench(thread=False)
    assert not bench.runner.side_by_side, "only with a GPU"
    bench.runner.side_by_side = True
    assert bench.runner.start(20)
    bench.results.go.clear()
    bench.drive(2)
    assert bench.results.going_out.wait(20)
    bench.hold()
    bench.drive(1)
    assert bench.in_network.wait(20) and bench.results == []
    bench.go.set()
    bench.in_network.clear()
    bench.drive(1)  # the network is done with the third, which has to wait: nothing piles up
    assert not bench.in_network.wait(0.3)
    bench.results.go.set()
    assert bench.in_network.wait(20)
    bench.wait_for(lambda: len(bench.results) == 3)
    assert [r.window.stamp_ns * 10 // SECOND for r in bench.results] == [2, 3, 4]
    assert bench.runner.stop(20)
    assert bench.counts.counts().windows == 3


@pytest.mark.parametrize("fails", [False, True])
def test_the_thread_that_works_is_warm_before_the_first_picture(bench, fails):
    """On a GPU, where libraries prepare themselves for each thread."""
    bench = bench(thread=False)
    assert not bench.runner.warms_up, "only with a GPU"
    bench.runner.warms_up = True
    threads = []

    def aggregate(*arguments, **options):
        threads.append(threading.current_thread().name)
        if fails and len(threads) == 1:
            raise ValueError("once")
        return bench.aggregate(*arguments, **options)

    bench.network.aggregate = aggregate
    assert bench.runner.start(20)
    bench.wait_for(lambda: threads)
    assert bench.results == [] and bench.counts.counts().received == 0
    bench.drive(2)
    bench.wait_for(lambda: bench.results)
    assert threads == ["da3_network"] * 2 and bench.runner.failure == ""


def test_a_warm_up_that_takes_long_is_named_as_what_is_busy(bench):
    bench = bench(thread=False)
    bench.runner.warms_up = True
    begun, go = threading.Event(), threading.Event()

    def aggregate(*arguments, **options):
        begun.set()
        assert go.wait(20)
        return bench.aggregate(*arguments, **options)

    bench.network.aggregate = aggregate
    assert bench.runner.start(20) and begun.wait(20)
    assert not bench.runner.stop(0.05) and not bench.runner.start(0.05)
    assert bench.runner.busy_with == "its warm-up"
    go.set()
    assert bench.runner.start(20)
    bench.drive(2)
    bench.wait_for(lambda: bench.results)
    assert bench.runner.busy_with == "its last window"


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_both_threads_say_on_a_gpu_what_one_says_on_a_processor(bench, device):
    """While one window is in the network the one before goes into the map, on the same device."""
    same = {"scene__enabled": True, "scale__source": "cameras", "window__drop_when_busy": False}
    one, two = bench(thread=False, **same), bench(thread=False, device=device, **same)
    for each in (one, two):
        set_precision(each.network, "fp32")
    two.runner.side_by_side = True
    assert two.runner.start(20)
    for each in (one, two):
        each.drive(6)
    two.wait_for(lambda: two.scene.frames == one.scene.frames)
    assert len(one.results) == len(two.results) == 5
    for a, b in zip(one.results, two.results):
        assert a.window.stamp_ns == b.window.stamp_ns
        np.testing.assert_allclose(b.depth, a.depth, rtol=1e-3)


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


def test_what_nobody_wanted_does_not_take_the_place_of_what_is_newer(bench):
    """A newer window is in the network when somebody asks, and one is going out when it is done."""
    bench = bench()
    bench.results.wanted = False
    bench.drive(2)
    bench.results.wanted = True
    bench.hold()
    bench.drive(1)
    assert bench.in_network.wait(20)
    asked = []
    asking = threading.Thread(target=lambda: asked.append(bench.runner.newest()))
    asking.start()
    asking.join(0.2)
    bench.release()
    asking.join(20)
    bench.wait_for(lambda: bench.results)
    assert bench.runner.newest() is bench.results[-1]
    assert bench.runner.newest_result.window.stamp_ns == 3 * SECOND // 10


def test_what_nobody_wanted_is_not_held_once_a_newer_one_is_out(bench):
    bench = bench()
    bench.results.wanted = False
    bench.drive(2)
    left_out = weakref.ref(bench.runner.newest().window)
    assert left_out() is not None
    bench.results.wanted = True
    bench.drive(1)
    bench.wait_for(lambda: bench.results)
    assert bench.runner.stop(20)
    gc.collect()
    assert left_out() is None


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
    bench.wait_for(lambda: bench.log)
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


@pytest.mark.parametrize(
    "parameters, stamps, dropped",
    [
        ({}, [1], {"no_window": 1}),  # a bag of one image
        ({"window__max_age": 0.5}, [1, 2, 3], {"no_window": 3}),  # a slow camera
        ({"window__size": 3}, [1, 2, 3, 4], {"neighbour_only": 2}),
        ({"window__stride": 2, "window__publish": "all"}, [1, 2, 3], {"no_window": 1}),
    ],
)
def test_frames_of_no_window_are_told_from_those_beside_others(bench, parameters, stamps, dropped):
    bench = bench(thread=False, **parameters)
    for second in stamps:
        bench.take("", second * SECOND)
    bench.runner.finish()
    assert bench.dropped() == dropped
    is_slow = "window__max_age" in parameters
    named = "window fill" if is_slow else Drop.NO_WINDOW
    said = [sentence for cause, sentence in bench.log if cause == named]
    assert bool(said) == (not bench.results)
    words = "images come 1.0 s apart: a window of 2 takes 1.0 s" if is_slow else "it takes 2 images"
    assert all(words in sentence for sentence in said)


def test_what_lasts_is_left_to_the_node_to_say(bench):
    bench = bench(window__max_age=0.5)
    for second in range(1, 5):
        bench.take("", second * SECOND)
    assert bench.dropped() == {"no_window": 3} and bench.log == []
    assert "images come 1.0 s apart" in bench.runner.fill.trouble


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
