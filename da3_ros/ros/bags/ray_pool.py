"""Tasks on a Ray cluster, or on a local one that lives as long as the command.

Ray (https://docs.ray.io) is the extra `cluster`, and imported here only.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

import torch

from da3_ros.core.config import ConfigError
from da3_ros.net.plain_text import first_line
from da3_ros.ros.bags.bag_job import Report
from da3_ros.ros.bags.pools import POLL
from da3_ros.ros.bags.tasks import Task, try_task

RETRIES = 2
"""How often a task is tried again whose worker or node was lost."""
GRACE = 5.0
"""Seconds that tasks have to end by themselves when the command is stopped."""
TELL_EVERY = 0.5
"""Seconds between two reports of a task on its images."""


@dataclass(frozen=True)
class RayOptions:
    """address: of a cluster; empty: the one that runs on this machine, or a local one. gpus: per
    task; None: one where the cluster has any."""

    address: str = ""
    cpus: int = 1
    gpus: float | None = None


class RayPool:
    """Each task is a remote function with the CPUs and GPUs it was promised.

    Raises `ConfigError` in one sentence: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, options: RayOptions):
        self._ray = _start(options.address)
        self.images: dict[int, int] = {}
        gpus = options.gpus
        if gpus is None:
            gpus = 1 if self._ray.cluster_resources().get("GPU") else 0
        self._check(options.cpus, gpus)
        self._count = self._ray.remote(num_cpus=0, max_restarts=-1)(ImageCount).remote()
        work = self._ray.remote(num_cpus=options.cpus, num_gpus=gpus, max_retries=RETRIES)(_work)
        self._work = lambda task: work.remote(task, options.cpus, self._count)
        self._running: dict[object, Task] = {}

    def submit(self, task: Task) -> None:
        """Put a task behind the others."""
        self._running[self._work(task)] = task

    def poll(self) -> list[tuple[Task, Report]]:
        """Wait a moment; returns the tasks that are done by then."""
        done, _ = self._ray.wait(list(self._running), timeout=POLL)
        with suppress(self._ray.exceptions.RayError):  # its node was lost; it counts anew
            self.images = self._ray.get(self._count.all.remote(), timeout=GRACE)
        return [(self._running[ref], self._result(ref)) for ref in done]

    def close(self) -> None:
        """Cancel what is still running, and leave the cluster."""
        for ref in self._running:
            self._ray.cancel(ref, force=False)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE)
        self._running.clear()
        self._ray.shutdown()

    def _result(self, ref) -> Report:
        task = self._running.pop(ref)
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return Report(task.job, failure=f"{type(error).__name__}: {first_line(error)}")

    def _check(self, cpus: int, gpus: float) -> None:
        """A task that fits on no node would wait for ever."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(n.get("CPU", 0) >= cpus and n.get("GPU", 0) >= gpus for n in nodes):
            most = max((n.get("CPU", 0) for n in nodes), default=0)
            self._ray.shutdown()
            raise ConfigError(
                f"a task wants {cpus} CPUs and {gpus:g} GPUs, and no node of the cluster has them "
                f"(the largest has {most:g} CPUs): lower --cpus-per-task or --gpus-per-task"
            )


class ImageCount:
    """How many images of each task are done, by the task's number; one for the whole cluster."""

    def __init__(self):
        self._images: dict[int, int] = {}

    def note(self, number: int, images: int) -> None:
        """Take the count of one task; one that is tried again begins at 0."""
        self._images[number] = images

    def all(self) -> dict[int, int]:
        """Of all tasks."""
        return self._images


def _start(address: str):
    """Connected `ray`. Raises `ConfigError`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--ray needs Ray: pip install ray") from error
    _knock(address)
    try:
        ray.init(address or None, include_dashboard=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--ray {address}: {_last_line(error)}") from error
    return ray


def _knock(address: str) -> None:
    """Ask whether anything is there: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if "/" in address or not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=GRACE).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"--ray {address}: nothing answers there ({error})") from error


def _work(task: Task, cpus: int, count) -> Report:
    """What a worker of the cluster runs."""
    torch.set_num_threads(cpus)
    told = time.monotonic()

    def progress(images: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            count.note.remote(task.number, images)

    return try_task(task, progress)


def _last_line(error: Exception) -> str:
    """The last line of a message of Ray; those before it tell how it came about."""
    return next(reversed(str(error).strip().splitlines()), type(error).__name__).strip()
