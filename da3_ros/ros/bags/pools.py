"""Where tasks are worked on: in this process, or each in one of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Protocol

import torch

from da3_ros.core.exit_codes import INTERRUPTED
from da3_ros.ros.bags import tasks
from da3_ros.ros.bags.bag_job import Report
from da3_ros.ros.bags.tasks import Task, try_task

POLL = 0.2
"""Seconds that one wait for news lasts, at most."""


class Pool(Protocol):
    """Works on tasks, several at once. images: those done, by the number of the task."""

    images: dict[int, int]

    def submit(self, task: Task) -> None:
        """Put a task behind the others."""

    def poll(self) -> list[tuple[Task, Report]]:
        """Wait a moment; returns the tasks that are done by then."""

    def close(self) -> None:
        """End what is still running; nothing of it stays behind."""


class OwnProcess:
    """Tasks in this process, one after the other. tell: called with `images` while one runs."""

    def __init__(self, tell: Callable[[dict[int, int]], None]):
        self.images: dict[int, int] = {}
        self._tell = tell
        self._waiting: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """Put a task behind the others."""
        self._waiting.append(task)

    def poll(self) -> list[tuple[Task, Report]]:
        """Do the next task, to its end."""
        task = self._waiting.popleft()
        return [(task, try_task(task, lambda images: self._note(task, images)))]

    def close(self) -> None:
        """Nothing runs."""

    def _note(self, task: Task, images: int) -> None:
        self.images[task.number] = images
        self._tell(self.images)


class Processes:
    """One process per task: what kills one leaves the others alone."""

    def __init__(self, at_once: int):
        self.images: dict[int, int] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([tasks.__name__])  # torch is imported once
        self._at_once = at_once
        self._threads = max(1, (os.cpu_count() or 1) // at_once)
        self._waiting: deque[Task] = deque()
        self._running: dict[Connection, tuple[Task, multiprocessing.Process]] = {}
        self._not_started: list[tuple[Task, Report]] = []

    def submit(self, task: Task) -> None:
        """Put a task behind the others."""
        self._waiting.append(task)
        self._start()

    def poll(self) -> list[tuple[Task, Report]]:
        """Wait a moment; returns the tasks that are done by then."""
        done, self._not_started = self._not_started, []
        for receiver in wait(list(self._running), POLL):
            task, process = self._running[receiver]
            news = self._receive(receiver, process, task)
            if isinstance(news, int):
                self.images[task.number] = news
            else:
                del self._running[receiver]
                process.join()
                done.append((task, news))
        self._start()
        return done

    def close(self) -> None:
        """End the processes; they take away what they have begun."""
        processes = [process for _, process in self._running.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._at_once:
            task = self._waiting.popleft()
            receiver, sender = self._context.Pipe(duplex=False)
            process = self._context.Process(target=_work, args=(task, self._threads, sender))
            _start_fork_server()
            try:
                process.start()
            except (OSError, EOFError) as error:  # it, or the fork server, has been killed by then
                receiver.close()
                why = f"its process could not be started: {str(error) or type(error).__name__}"
                self._not_started.append((task, Report(task.job, failure=why)))
            else:
                self._running[receiver] = task, process
            finally:
                sender.close()  # the child's end is now the only one: its death is heard

    def _receive(self, receiver: Connection, process, task: Task) -> Report | int:
        try:
            return receiver.recv()
        except EOFError:
            process.join()
            why = f"its process ended with code {process.exitcode}; see the output above"
            return Report(task.job, failure=why)


def _start_fork_server() -> None:
    """Start it in the root folder, unless it runs: it looks for modules in its working directory
    first of all, where strangers may have put some. What it forks works where this process does,
    which has no other thread that asks where it is.
    """
    here = os.getcwd()
    os.chdir("/")
    try:
        forkserver.ensure_running()
    finally:
        os.chdir(here)


def _work(task: Task, threads: int, sender: Connection) -> None:
    """What the process of one task runs."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    try:
        sender.send(try_task(task, sender.send))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _end_with_parent() -> None:
    """End this process when the command ends, however that happens: the fork server, its parent,
    lives as long as this process does."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
