"""The worker thread: newest wins, or every job in its turn."""

import threading

import pytest

from da3_ros.core.worker import LONGEST_QUEUE, TwoSteps, Worker


class Bench:
    """A worker whose jobs, numbers, wait for `go`."""

    def __init__(self, *, newest_wins):
        self.go, self.busy = threading.Semaphore(0), threading.Semaphore(0)
        self.done, self.finished = [], threading.Semaphore(0)
        self.worker = Worker(self.run_job, newest_wins=newest_wins)

    def run_job(self, number):
        self.busy.release()
        self.go.acquire()
        self.done.append(number)
        self.finished.release()

    def run(self, count):
        for _ in range(count):
            self.go.release()
            assert self.finished.acquire(timeout=5)


@pytest.fixture(params=[True, False])
def bench(request):
    bench = Bench(newest_wins=request.param)
    bench.newest_wins = request.param
    yield bench
    bench.go.release(1000)
    assert bench.worker.stop(5)


def test_jobs_that_come_while_busy(bench):
    assert bench.worker.submit(1) is None
    assert bench.busy.acquire(timeout=5)
    assert bench.worker.submit(2) is None
    assert bench.worker.submit(3) == (2 if bench.newest_wins else None)
    bench.run(2 if bench.newest_wins else 3)
    assert bench.done == ([1, 3] if bench.newest_wins else [1, 2, 3])


def test_stop_does_not_wait_for_ever():
    bench = Bench(newest_wins=True)
    bench.worker.submit(1)
    assert bench.busy.acquire(timeout=5)
    bench.worker.submit(2)
    assert not bench.worker.stop(0.05)
    bench.go.release()
    assert bench.worker.stop(5)
    assert bench.done == [1]


def test_what_is_left_of_the_preparation_is_not_done_after_stop():
    begun, go, steps = threading.Event(), threading.Event(), []

    def prepare():
        for step in (1, 2):
            steps.append(step)
            begun.set()
            assert go.wait(20)
            yield step

    worker = Worker(lambda job: None, newest_wins=True, prepare=prepare)
    assert begun.wait(20)
    assert not worker.stop(0.05)
    go.set()
    assert worker.stop(20) and steps == [1]


def test_the_queue_has_an_end():
    bench = Bench(newest_wins=False)
    bench.worker.submit(0)
    assert bench.busy.acquire(timeout=5)
    given_way = [bench.worker.submit(k) for k in range(1, LONGEST_QUEUE + 3)]
    assert [g for g in given_way if g is not None] == [1, 2]
    bench.go.release(LONGEST_QUEUE + 3)
    assert bench.worker.stop(20)


def test_two_steps_side_by_side():
    """The second step of a job runs beside the first of the next; what is None has no second."""
    begun, handled = {n: threading.Event() for n in range(1, 5)}, []

    def work(number):
        begun[number].set()
        return None if number == 3 else number

    def handle(number):
        handled.append((number, number == 4 or begun[number + 1].wait(20)))
        if number == 4:
            done.set()

    done = threading.Event()
    steps = TwoSteps(work, handle, newest_wins=False, side_by_side=True)
    for number in begun:
        steps.submit(number)
    assert done.wait(20) and steps.stop(20)
    assert handled == [(1, True), (2, True), (4, True)]


@pytest.mark.parametrize("side_by_side", [True, False])
def test_two_steps_end_while_the_second_is_busy(side_by_side):
    go, busy = threading.Event(), threading.Event()

    def handle(number):
        busy.set()
        assert go.wait(20)

    steps = TwoSteps(lambda number: number, handle, newest_wins=False, side_by_side=side_by_side)
    for number in range(3):
        steps.submit(number)
    assert busy.wait(20)
    assert not steps.stop(0.1), "the second step is busy"
    go.set()
    assert steps.stop(20)
