"""da3_process: bags in, bags with depth out, as fast as the machine goes and without a graph.

Each result is OUT/<name of the bag>: a rosbag2 (MCAP) with the topics of the live node, and
exports/ inside it. Every window is processed; twice the same bytes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import traceback
from collections import Counter, deque
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch
from tqdm import tqdm

from da3_ros.core.config import ConfigError, from_dict
from da3_ros.core.export import ExportError
from da3_ros.core.export.running import split_all_formats
from da3_ros.core.files.disk import in_words
from da3_ros.core.load_model import ModelError
from da3_ros.core.scene.mesh import MeshError
from da3_ros.net.plain_text import LONGEST_SENTENCE, plain
from da3_ros.ros.bags.bag import BagError
from da3_ros.ros.bags.process_bag import BagJob, Report, process_bag
from da3_ros.ros.bags.survey import survey
from da3_ros.ros.bags.topic_options import add_topic_options, chosen_topics
from da3_ros.ros.parameter_file import read_parameter_file
from da3_ros.ros.parameters import foreign_parameters

TOPICS = ("depth/image", "depth/camera_info", "confidence/image", "points", "image_rect")
TOPICS += ("camera_pose", "camera_poses", "path")
POLL = 0.2
EXPECTED = (BagError, ConfigError, ModelError, MeshError, OSError)
"""Reasons for which one bag fails; anything else is a bug, with its traceback."""
LARGE = 2_000_000_000
"""Bytes of a result from which on its size is said beforehand."""


def main() -> int:
    """Entry point of da3_process. Returns the exit code: 0 when every bag was processed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        jobs, at_once = parse_arguments(sys.argv[1:])
        reports = process_all(jobs, at_once)
    except (ConfigError, ExportError) as error:
        print(f"da3_process: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped: bags that were not finished left nothing behind", file=sys.stderr)
        return 130
    print_table(reports)
    return int(any(report.failure for report in reports))


def parse_arguments(arguments: list[str]) -> tuple[list[BagJob], int]:
    """One job per bag, and how many run at once. Raises `ConfigError` and `ExportError`."""
    parser = argparse.ArgumentParser("da3_process", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("bags", nargs="+", type=Path, metavar="BAG", help="rosbag2: folder, .mcap or .db3 file")
    add("--out", type=Path, required=True, help="folder of the results, one folder per bag")
    add("--params", type=Path, metavar="FILE", help="parameter file of the node")
    add("--model", help="parameter model.name")
    add("--export", default="", metavar="FORMATS", help="files of the end: glb-mesh_ply")
    add("--leave-out", nargs="+", default=[], choices=TOPICS, help="topics that are not written")
    add_topic_options(parser)
    add("--jobs", type=int, default=1, metavar="N", help="bags processed at once")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}, must be at least 1")
    for bag in options.bags:
        if ":=" in str(bag) and not bag.exists():
            parser.error(f"{bag} is no bag; parameters are read from a file: --params FILE")
    parameters = read_parameters(options.params) if options.params else {}
    if options.model:
        parameters["model.name"] = options.model
    from_dict(parameters)
    if options.export:
        split_all_formats(options.export)
    leave_out, choice = tuple(options.leave_out), chosen_topics(options)
    jobs = [
        BagJob(bag, options.out, parameters, options.export, leave_out, choice)
        for bag in options.bags
    ]
    names = Counter(job.name for job in jobs)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        parser.error(f"two bags are named {twice[0]}; give them different --out folders")
    return jobs, options.jobs


def read_parameters(path: Path) -> dict:
    """Parameters of the node in a file; names those of others. Raises `ConfigError`."""
    values = read_parameter_file(path)
    foreign = foreign_parameters(values, [])
    for name in foreign:
        print(f"da3_process: parameter {name} is for another node; it is ignored", file=sys.stderr)
    return {name: value for name, value in values.items() if name not in foreign}


def process_all(jobs: list[BagJob], at_once: int = 1) -> list[Report]:
    """Process every bag; the failure of one is reported and the others go on."""
    reports: dict[int, Report] = {}
    total = 0
    for index, job in enumerate(jobs):
        try:
            found = survey(job)
        except BagError as error:
            reports[index] = Report(job, failure=str(error))
            continue
        total += found.images
        if found.size > LARGE:
            print(f"{job.name}: {found} to {job.result}; --leave-out writes less")
    good = {index: job for index, job in enumerate(jobs) if index not in reports}
    with tqdm(total=total, unit=" images", smoothing=0.1, dynamic_ncols=True) as bar:
        if len(good) > 1:
            reports |= _process_apart(good, at_once, bar)
        else:
            reports |= {i: try_bag(j, lambda n: bar.update(n - bar.n)) for i, j in good.items()}
    return [reports[index] for index in range(len(jobs))]


def try_bag(job: BagJob, progress=lambda images: None) -> Report:
    """`process_bag`, with a failure as a report."""
    try:
        return process_bag(job, progress)
    except EXPECTED as error:
        return Report(job, failure=in_words(error, "its results", job.out))
    except Exception as error:  # a bug here must not cost the table of the other bags
        traceback.print_exc()
        return Report(job, failure=f"internal error, see above: {type(error).__name__}: {error}")


def _process_apart(jobs: dict[int, BagJob], at_once: int, bar: tqdm) -> dict[int, Report]:
    """One process per bag: what kills one leaves the others alone."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([process_bag.__module__])  # torch is imported once
    images = context.Value("q", 0)
    threads = max(1, (os.cpu_count() or 1) // at_once)
    waiting, running, reports = deque(jobs), {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                arguments = (jobs[index], threads, images, sender)
                process = context.Process(target=_work, args=arguments)
                process.start()
                sender.close()  # the child's end is now the only one: its death is heard
                running[receiver] = index, process
            for receiver in wait(list(running), POLL):
                index, process = running.pop(receiver)
                reports[index] = _receive(receiver, process, jobs[index])
            if images.value > bar.n:
                bar.update(images.value - bar.n)
    finally:
        _end(process for _, process in running.values())
    return reports


def _work(job: BagJob, threads: int, images, sender: Connection) -> None:
    """What the process of one bag runs."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    torch.set_num_threads(min(threads, torch.get_num_threads()))

    def progress(done: int) -> None:
        with images.get_lock():
            images.value += 1

    try:
        sender.send(try_bag(job, progress))
    except KeyboardInterrupt:
        sys.exit(130)


def _receive(receiver: Connection, process, job: BagJob) -> Report:
    try:
        report = receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode
        report = Report(job, failure=f"its process ended with code {code}; see the output above")
    process.join()
    return report


def _end(processes) -> None:
    processes = list(processes)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def print_table(reports: list[Report]) -> None:
    """One row per bag, then what each had to complain about."""
    width = max(len("bag"), *(len(report.job.name) for report in reports))
    print(f"\n{'bag':<{width}}  frames in  windows  published  dropped  result")
    for report in reports:
        counts = report.counts
        numbers = ("-",) * 4
        if counts:
            dropped = sum(counts.dropped.values())
            numbers = counts.received, counts.windows, counts.published, dropped
        row = "{:>9}  {:>7}  {:>9}  {:>7}".format(*numbers)
        result = (
            f"FAILED: {plain(report.failure, LONGEST_SENTENCE)}"
            if report.failure
            else report.job.result
        )
        print(f"{report.job.name:<{width}}  {row}  {result}")
    for report in reports:
        _print_details(report)


def _print_details(report: Report) -> None:
    counts = report.counts
    reasons = {r: n for r, n in counts.dropped.items() if n} if counts else {}
    if reasons or report.warnings:
        print(f"\n{report.job.name}")
    for reason, count in reasons.items():
        print(f"  dropped: {reason:<20} {count}")
    for sentence in report.warnings:
        print(f"  {plain(sentence, LONGEST_SENTENCE)}")


if __name__ == "__main__":
    sys.exit(main())
