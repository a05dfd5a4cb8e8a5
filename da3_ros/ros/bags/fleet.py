"""Many bags, also in pieces: which tasks there are, and what follows when one is done."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from da3_ros.ros.bags.bag_files import BagError
from da3_ros.ros.bags.bag_job import BagJob, Report
from da3_ros.ros.bags.made_of import check_result, finished, made_of
from da3_ros.ros.bags.partial import remove_abandoned
from da3_ros.ros.bags.pools import Pool
from da3_ros.ros.bags.split_bag import SplitBag
from da3_ros.ros.bags.survey import Survey, survey
from da3_ros.ros.bags.tasks import Task, failed


@dataclass(frozen=True)
class Splitting:
    """seconds: of a piece; 0: bags are processed whole. exactly: pieces fit bit for bit."""

    seconds: float = 0.0
    exactly: bool = False


class Fleet:
    """What there is to do for the jobs, and what became of them.

    A job is known by its place in `jobs`. reports: of the jobs that are done. tasks: to begin
    with. surveys: how much will be written, of the jobs that are to do.
    """

    def __init__(self, jobs: Sequence[BagJob], splitting: Splitting = Splitting()):
        self.reports: dict[int, Report] = {}
        self.tasks: list[Task] = []
        self.surveys: dict[int, Survey] = {}
        self._jobs, self._splitting = jobs, splitting
        self._numbers = itertools.count()
        self._place: dict[int, int] = {}
        self._split: dict[int, SplitBag] = {}
        self._left: dict[int, int] = {}
        self._failures: dict[int, str] = {}
        for folder in {job.out for job in jobs}:
            remove_abandoned(folder)
        for place, job in enumerate(jobs):
            try:
                self._plan(place, job)
            except Exception as error:  # of one bag; the others go on
                self.reports[place] = failed(job, error)

    @property
    def images(self) -> int:
        """Images of all bags that are to do."""
        return sum(found.images for found in self.surveys.values())

    def work(self, pool: Pool, tell: Callable[[dict[int, int]], None]) -> list[Report]:
        """Do everything; returns the reports in the order of the jobs. tell: called again and
        again with the images done of each task."""
        try:
            for task in self.tasks:
                pool.submit(task)
            while len(self.reports) < len(self._jobs):
                for task, report in pool.poll():
                    for following in self._done(task, report):
                        pool.submit(following)
                tell(pool.images)
        finally:
            pool.close()
        return [self.reports[place] for place in range(len(self._jobs))]

    def _plan(self, place: int, job: BagJob) -> None:
        made = made_of(job)
        if report := finished(job, made):
            self.reports[place] = report
            return
        check_result(job, made)
        found = survey(job)
        if self._splitting.seconds:
            seconds, exactly = self._splitting.seconds, self._splitting.exactly
            self._split[place] = SplitBag(job, seconds, made, exactly=exactly)
            self.tasks += self._next(place)
        else:
            self.tasks.append(self._task(place, Task(0, job)))
        self.surveys[place] = found

    def _done(self, task: Task, report: Report) -> list[Task]:
        """Take what became of a task; returns those that follow."""
        place = self._place.pop(task.number)
        self._left[place] -= 1
        if not task.piece:
            self.reports[place] = self._finish(place, report)
            return []
        if report.failure:
            self._failures.setdefault(place, report.failure)
        if self._left[place]:
            return []
        if failure := self._failures.get(place):
            self.reports[place] = Report(task.job, failure=failure)
            return []
        try:
            return self._next(place)
        except Exception as error:  # of one bag; the others go on
            self.reports[place] = failed(task.job, error)
            return []

    def _next(self, place: int) -> list[Task]:
        """The pieces that are to do; else the one task that joins them."""
        bag = self._split[place]
        missing = bag.missing()
        if lost := bag.given.intersection(missing):
            raise BagError(
                f"{bag.folder_of(lost.pop())} cannot be read although that piece was processed: "
                "the folder of results must be one that keeps files, and shared by all machines"
            )
        bag.given.update(missing)
        if missing:
            pieces = [Task(0, bag.job, piece, bag.folder_of(piece)) for piece in missing]
            return [self._task(place, task) for task in pieces]
        return [self._task(place, Task(0, bag.job, parts=bag.parts()))]

    def _task(self, place: int, task: Task) -> Task:
        task = replace(task, number=next(self._numbers))
        self._place[task.number] = place
        self._left[place] = self._left.get(place, 0) + 1
        return task

    def _finish(self, place: int, report: Report) -> Report:
        bag = self._split.get(place)
        if bag is None or report.counts is None:
            return report
        bag.remove()
        said = f"processed in {len(bag.pieces)} pieces"
        if bag.joined:
            said += (
                f": at {bag.joined} boundaries what the piece behind had seen did not settle its "
                "frames or metres, and it was processed again with the one before"
            )
        return replace(report, warnings=(*report.warnings, said))
