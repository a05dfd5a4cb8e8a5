"""da3_process: bags in, bags with depth out, as fast as the machine goes and without a graph.

Each result is OUT/<name of the bag>: a rosbag2 (MCAP) with the topics of the live node, and
exports/ inside it. Every window is processed; twice the same bytes.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from da3_ros.core.config import ConfigError, from_dict
from da3_ros.core.exit_codes import INTERRUPTED
from da3_ros.core.export import ExportError
from da3_ros.core.export.running import split_all_formats
from da3_ros.net.plain_text import LONGEST_PATH, LONGEST_SENTENCE, plain
from da3_ros.ros.bags.bag_files import SUFFIXES
from da3_ros.ros.bags.bag_job import BagJob, Report
from da3_ros.ros.bags.fleet import Fleet, Splitting
from da3_ros.ros.bags.pools import OwnProcess, Pool, Processes
from da3_ros.ros.bags.ray_pool import RayOptions, RayPool
from da3_ros.ros.outputs.topics import WRITTEN
from da3_ros.ros.parameter_file import read_parameter_file
from da3_ros.ros.parameters import foreign_parameters, of_another_node
from da3_ros.ros.topics.topic_options import (
    add_anchor_options,
    add_topic_options,
    chosen_topics,
)

LONGEST_PIECE = 1e9
"""Seconds, 30 years."""

LARGE = 2_000_000_000
"""Bytes of a result from which on its size is said beforehand."""


@dataclass(frozen=True)
class FleetOptions:
    """How bags are processed. at_once: processes on this machine. ray: None: without it."""

    at_once: int = 1
    splitting: Splitting = Splitting()
    ray: RayOptions | None = None


def main() -> int:
    """Entry point of da3_process. Returns the exit code: 0 when every bag was processed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        reports = process_all(*parse_arguments(sys.argv[1:]))
    except (ConfigError, ExportError) as error:
        print(f"da3_process: {plain(str(error), LONGEST_SENTENCE)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped: bags that were not finished left nothing behind", file=sys.stderr)
        return INTERRUPTED
    print_table(reports)
    return int(any(report.failure for report in reports))


def parse_arguments(arguments: list[str]) -> tuple[list[BagJob], FleetOptions]:
    """One job per bag, and how they are processed. Raises `ConfigError` and `ExportError`."""
    parser = argparse.ArgumentParser("da3_process", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("bags", nargs="+", type=Path, metavar="BAG", help="rosbag2: folder, .mcap or .db3 file")
    add("--out", type=Path, required=True, help="folder of the results, one folder per bag")
    add("--params", type=Path, metavar="FILE", help="parameter file of the node")
    add("--model", help="parameter model.name")
    add("--export", default="", metavar="FORMATS", help="files at the end: glb-mesh_ply")
    left_out = f"topics that are not written, of {', '.join(WRITTEN)}"
    add("--leave-out", nargs="+", default=[], choices=WRITTEN, metavar="TOPIC", help=left_out)
    add("--zstd", action="store_true", help="compress the results: smaller, slower to write")
    add_topic_options(parser)
    add_anchor_options(parser)
    _add_ways(parser)
    options = parser.parse_args(arguments)
    ways = _ways(parser, options)
    for bag in options.bags:
        if ":=" in str(bag) and not bag.exists():
            parser.error(f"{bag} is not a bag; parameters are read from a file: --params FILE")
    parameters = read_parameters(options.params) if options.params else {}
    if options.model:
        parameters["model.name"] = options.model
    from_dict(parameters)
    if options.export:
        split_all_formats(options.export)
    leave_out, choice = tuple(options.leave_out), chosen_topics(options)
    jobs = [
        BagJob(bag, options.out, parameters, options.export, leave_out, choice, options.zstd)
        for bag in options.bags
    ]
    names = Counter(job.name for job in jobs)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        parser.error(f"two bags are named {twice[0]}; give them different --out folders")
    return jobs, ways


def _add_ways(parser: argparse.ArgumentParser) -> None:
    """How the work is shared out."""
    add = parser.add_argument
    add("--jobs", type=int, default=1, metavar="N", help="bags or pieces at once (%(default)s)")
    add("--split", type=float, metavar="SECONDS", help="process bags in pieces of this length")
    add("--deterministic", action="store_true", help="pieces fit bit for bit, or are put together")
    where = "on a Ray cluster (host:port), on the one of this machine, or a local one"
    add("--ray", nargs="?", const="", metavar="ADDRESS", help=f"process {where}")
    add("--cpus-per-task", type=int, default=1, metavar="N", help="of --ray (%(default)s)")
    add("--gpus-per-task", type=float, metavar="N", help="of --ray; default: 1 where there are any")


def _ways(parser: argparse.ArgumentParser, options: argparse.Namespace) -> FleetOptions:
    """What was chosen of `_add_ways`."""
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}, must be at least 1")
    if options.split is not None and not 1 <= options.split <= LONGEST_PIECE:
        parser.error(
            f"--split is {options.split:g}, must be at least 1 second, at most {LONGEST_PIECE:g}"
        )
    if options.cpus_per_task < 1:
        parser.error(f"--cpus-per-task is {options.cpus_per_task}, must be at least 1")
    if options.gpus_per_task is not None and not 0 <= options.gpus_per_task < float("inf"):
        parser.error(f"--gpus-per-task is {options.gpus_per_task:g}, must be 0 or more")
    if options.ray is None:
        if options.cpus_per_task != 1 or options.gpus_per_task is not None:
            parser.error("--cpus-per-task and --gpus-per-task belong to --ray")
        ray = None
    else:
        if options.jobs > 1:
            parser.error("--jobs is for one machine without --ray; Ray counts CPUs and GPUs")
        if options.ray and (Path(options.ray).suffix in SUFFIXES or Path(options.ray).exists()):
            parser.error(f"--ray {options.ray} is not an address: name bags before --ray")
        ray = RayOptions(options.ray, options.cpus_per_task, options.gpus_per_task)
    splitting = Splitting(options.split or 0.0, options.deterministic)
    return FleetOptions(options.jobs, splitting, ray)


def read_parameters(path: Path) -> dict:
    """Parameters of the node in a file; names those of others. Raises `ConfigError`."""
    values = read_parameter_file(path)
    foreign = foreign_parameters(values, ["--params-file", str(path)])
    for name in foreign:
        print(f"da3_process: {of_another_node(name)}", file=sys.stderr)
    return {name: value for name, value in values.items() if name not in foreign}


def process_all(jobs: list[BagJob], options: FleetOptions = FleetOptions()) -> list[Report]:
    """Process every bag; the failure of one is reported and the others go on.

    Raises `ConfigError` where Ray cannot be had.
    """
    fleet = Fleet(jobs, options.splitting)
    for place, found in fleet.surveys.items():
        if found.size > LARGE:
            job = jobs[place]
            print(f"{plain(job.name)}: {found} to {job.result}; --leave-out writes less")
    with tqdm(total=fleet.images, unit=" images", smoothing=0.1, dynamic_ncols=True) as bar:

        def tell(images: dict[int, int]) -> None:
            done = min(sum(images.values()), fleet.images)
            if done != bar.n:
                bar.update(done - bar.n)

        return fleet.work(_pool(fleet, options, tell), tell)


def _pool(fleet: Fleet, options: FleetOptions, tell: Callable[[dict[int, int]], None]) -> Pool:
    """One bag alone stays in this process."""
    if options.ray and fleet.tasks:
        return RayPool(options.ray)
    if len(fleet.tasks) > 1 or options.splitting.seconds:
        return Processes(options.at_once)
    return OwnProcess(tell)


def print_table(reports: list[Report]) -> None:
    """One row per bag, then what each had to complain about."""
    width = max(len("bag"), *(len(plain(report.job.name)) for report in reports))
    print(f"\n{'bag':<{width}}  frames in  windows  published  dropped  result")
    for report in reports:
        counts = report.counts
        numbers = ("-",) * 4
        if counts:
            dropped = sum(counts.dropped.values())
            numbers = counts.received, counts.windows, counts.published, dropped
        row = "{:>9}  {:>7}  {:>9}  {:>7}".format(*numbers)
        failure = plain(report.failure, LONGEST_SENTENCE)
        result = f"FAILED: {failure}" if failure else plain(str(report.job.result), LONGEST_PATH)
        print(f"{plain(report.job.name):<{width}}  {row}  {result}")
    for report in reports:
        _print_details(report)


def _print_details(report: Report) -> None:
    counts = report.counts
    reasons = {r: n for r, n in counts.dropped.items() if n} if counts else {}
    if reasons or report.warnings:
        print(f"\n{plain(report.job.name)}")
    for reason, count in reasons.items():
        print(f"  dropped: {reason:<20} {count}")
    for sentence in report.warnings:
        print(f"  {plain(sentence, LONGEST_SENTENCE)}")


if __name__ == "__main__":
    sys.exit(main())
