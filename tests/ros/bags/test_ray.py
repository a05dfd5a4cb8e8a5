"""The same command on a Ray cluster of two workers: the same table, the same results."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from bag_files import files, write_parameters
from graph import Process
from long_bag import PARAMETERS, stretch
from processes import command_line, descendants, is_running, wait_until

from da3_ros.commands.process import FleetOptions, print_table, process_all
from da3_ros.core.config import ConfigError
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.bags.fleet import Fleet, Splitting
from da3_ros.ros.bags.made_of import RECORD
from da3_ros.ros.bags.ray_pool import RayOptions, RayPool
from da3_ros.ros.demo.bag import write_demo_bag

# Set before Ray is imported, and inherited by the cluster; with a token nobody else uses it.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2}

FRAMES = 24
SPLIT = Splitting(6.0, exactly=True)
DEADLINE = 200.0


class Cluster(NamedTuple):
    address: str
    pid: int

    def workers(self):
        """Processes of it that work on a task of ours now."""
        return [pid for pid in descendants(self.pid) if "ray::_work" in command_line(pid)]


@pytest.fixture(scope="module")
def cluster():
    """With it ends whatever it has started."""
    script = Path(__file__).with_name("ray_cluster.py")
    process = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    lines = (line.split() for line in process.stdout)
    yield Cluster(next(w[1] for w in lines if w[:1] == ["address"]), process.pid)
    family = descendants(process.pid)
    process.stdin.close()
    assert process.wait(60) == 0
    wait_until(lambda: not any(map(is_running, family)), "all of Ray's processes end", 30)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Two short ones, a long one, and one that is none any more."""
    folder = tmp_path_factory.mktemp("bags")
    write_demo_bag(folder / "first", frames=FRAMES)
    stretch(folder / "first", folder / "long", 5)
    stretch(folder / "first", folder / "last", 1)
    (folder / "broken").mkdir()
    (folder / "broken" / "broken.mcap").write_bytes(b"\x89MCAP0\r\nnothing more")
    return [folder / name for name in ("first", "broken", "long", "last")]


@pytest.fixture(scope="module")
def without_ray(bags, tmp_path_factory):
    out = tmp_path_factory.mktemp("without")
    return process_all([BagJob(bag, out, PARAMETERS) for bag in bags])


def kill_one(cluster, killed):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and not killed:
        for pid in cluster.workers()[:1]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        time.sleep(0.05)


def test_the_same_as_without_whatever_happens_to_a_worker(
    cluster, bags, without_ray, tmp_path, capsys
):
    """One bag is none, one is long and in pieces, and one worker is killed while it works."""
    killed = []
    killer = threading.Thread(target=kill_one, args=(cluster, killed))
    killer.start()
    jobs = [BagJob(bag, tmp_path, PARAMETERS) for bag in bags]
    reports = process_all(jobs, FleetOptions(1, SPLIT, RayOptions(cluster.address)))
    killer.join(timeout=60)
    assert len(killed) == 1
    for report, other in zip(reports, without_ray, strict=True):
        assert (report.counts, report.failure) == (other.counts, other.failure)
        if not report.failure:
            records = [json.loads((r.job.result / RECORD).read_text()) for r in (report, other)]
            assert records[0] == records[1]
            assert files(report.job.result) == files(other.job.result)
    assert [bool(report.failure) for report in reports] == [False, True, False, False]
    capsys.readouterr()
    tables = []
    for some in (reports, without_ray):
        print_table(some)
        said = capsys.readouterr().out.replace(str(some[0].job.out), "OUT")
        tables.append([line for line in said.splitlines() if "processed in" not in line])
    assert tables[0] == tables[1]


@contextmanager
def halted(pid):
    """A process stands still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_run_that_was_stopped_leaves_nothing_running_and_goes_on(
    cluster, bags, without_ray, tmp_path
):
    out, params = tmp_path / "out", write_parameters(tmp_path / "params.yaml", PARAMETERS)
    arguments = ("--out", str(out), "--params", str(params), "--split", "6", "--deterministic")
    run = Process("da3_ros.commands.process", str(bags[2]), *arguments, "--ray", cluster.address)
    wait_until(cluster.workers, "a piece begins", DEADLINE)
    with halted(cluster.workers()[0]):  # so that the run cannot end before it is stopped
        wait_until(lambda: [*out.glob(".pieces-*/[0-9]*/piece.json")], "a piece is done", DEADLINE)
        run.send(signal.SIGINT)
    assert run.wait(60) == 130
    assert run.matching("^stopped: bags that were not finished left nothing behind")
    wait_until(lambda: not cluster.workers(), "tasks end with the command", 30)
    assert not list(out.glob(".pieces-*/.partial-*/*"))
    job = BagJob(bags[2], out, PARAMETERS)
    fleet = Fleet([job], SPLIT)
    assert fleet.tasks[0].parts or len(fleet.tasks) < 2
    (report,) = fleet.work(RayPool(RayOptions(cluster.address)), lambda images: None)
    assert report.failure == "" and files(job.result) == files(without_ray[2].job.result)


def test_a_task_for_which_no_node_is_large_enough(cluster, bags, tmp_path):
    job = BagJob(bags[0], tmp_path, PARAMETERS)
    with pytest.raises(ConfigError, match="a task wants 64 CPUs and 0 GPUs, and no node"):
        process_all([job], FleetOptions(ray=RayOptions(cluster.address, 64)))


def test_a_cluster_that_is_not_there(bags, tmp_path):
    job = BagJob(bags[0], tmp_path, PARAMETERS)
    with pytest.raises(ConfigError, match=r"--ray 127.0.0.1:1: nothing answers there \("):
        process_all([job], FleetOptions(ray=RayOptions("127.0.0.1:1")))


def test_without_ray_its_extra_is_named(bags, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    job = BagJob(bags[0], tmp_path, PARAMETERS)
    with pytest.raises(ConfigError, match="pip install ray"):
        process_all([job], FleetOptions(ray=RayOptions()))
