"""Processes for tasks: what kills one leaves the others alone."""

import os
from collections import deque

from da3_ros.ros.bags.pools import Processes
from da3_ros.ros.bags.tasks import Task


class Deadly:
    """Ends the process that reads it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_a_process_that_ends_before_it_has_its_task_fails_that_task():
    """More than a pipe holds: the end comes while the task is still being written."""
    pool = Processes(1)
    tasks = [Task(number, (Deadly(), bytes(1 << 22))) for number in range(2)]
    for task in tasks:
        pool.submit(task)
    done = deque()
    while len(done) < len(tasks):
        done += pool.poll()
    pool.close()
    assert [task.number for task, _ in done] == [0, 1]
    assert all("could not be started: [Errno 32]" in report.failure for _, report in done)
