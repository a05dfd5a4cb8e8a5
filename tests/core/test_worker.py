"""The worker thread: newest wins, nothing stale is published, failures end nothing."""

import threading
from types import SimpleNamespace

import pytest

from da3_ros.core.worker import LONGEST_QUEUE, Worker


class Bench:
    """A worker whose network waits for `go` and can be told to fail."""

    def __init__(self, *, newest_wins):
        self.go, self.busy = threading.Semaphore(0), threading.Semaphore(0)
        self.published, self.failed = [], []
        self.done = threading.Semaphore(0)
        self.worker = Worker(
            process=self.process,
            publish=lambda result: self.finish(self.published, result),
            fail=lambda window, error: self.finish(self.failed, (window.number, str(error))),
            newest_wins=newest_wins,
        )

    def process(self, window):
        self.busy.release()
        self.go.acquire()
        if window.fails:
            raise RuntimeError("out of memory")
        return window.number

    def finish(self, where, what):
        where.append(what)
        self.done.release()

    def submit(self, number, fails=False):
        given_way = self.worker.submit(SimpleNamespace(number=number, fails=fails))
        return given_way and given_way.number

    def run(self, count):
        for _ in range(count):
            self.go.release()
            assert self.done.acquire(timeout=5)


@pytest.fixture(params=[True, False])
def bench(request):
    bench = Bench(newest_wins=request.param)
    bench.newest_wins = request.param
    yield bench
    bench.go.release(100)
    assert bench.worker.stop(5)


def test_windows_that_come_while_busy(bench):
    assert bench.submit(1) is None
    assert bench.busy.acquire(timeout=5)
    assert bench.submit(2) is None
    assert bench.submit(3) == (2 if bench.newest_wins else None)
    bench.run(2 if bench.newest_wins else 3)
    assert bench.published == ([1, 3] if bench.newest_wins else [1, 2, 3])


def test_a_failure_is_told_and_the_next_window_processed(bench):
    bench.submit(1, fails=True)
    bench.run(1)
    bench.submit(2)
    bench.run(1)
    assert bench.failed == [(1, "out of memory")] and bench.published == [2]


def test_clear_forgets_what_waits_and_what_is_in_the_network(bench):
    bench.submit(1)
    assert bench.busy.acquire(timeout=5)
    bench.submit(2)
    bench.worker.clear()
    bench.submit(3)
    bench.go.release()
    bench.run(1)
    assert bench.published == [3]


def test_a_failure_of_before_clear_is_not_told(bench):
    bench.submit(1, fails=True)
    assert bench.busy.acquire(timeout=5)
    bench.worker.clear()
    bench.submit(2)
    bench.go.release()
    bench.run(1)
    assert bench.failed == [] and bench.published == [2]


def test_nothing_of_before_goes_out_after_clear():
    """A result that is going out when `clear` comes is out when `clear` returns."""
    events, going_out, go = [], threading.Event(), threading.Event()

    def publish(result):
        going_out.set()
        assert go.wait(5)
        events.append("published")

    def clear():
        worker.clear()
        events.append("cleared")

    worker = Worker(process=id, publish=publish, fail=events.append, newest_wins=True)
    worker.submit("a window")
    assert going_out.wait(5)
    clearing = threading.Thread(target=clear)
    clearing.start()
    clearing.join(0.2)
    go.set()
    clearing.join(5)
    assert worker.stop(5)
    assert events == ["published", "cleared"]


def test_stop_does_not_wait_for_ever():
    bench = Bench(newest_wins=True)
    bench.submit(1)
    assert bench.busy.acquire(timeout=5)
    assert not bench.worker.stop(0.05)
    bench.go.release()
    assert bench.worker.stop(5)
    assert bench.published == []


def test_the_queue_ends_somewhere():
    bench = Bench(newest_wins=False)
    bench.submit(0)
    assert bench.busy.acquire(timeout=5)
    given_way = [bench.submit(k) for k in range(1, LONGEST_QUEUE + 3)]
    assert [g for g in given_way if g is not None] == [1, 2]
    bench.worker.clear()
    bench.go.release()
    assert bench.worker.stop(5)
