"""The form of a question and of its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from tools.eval_weights.measure import Measured, Way, measure, summary
from tools.eval_weights.recording import Dataset, Take

WINDOWS_SEED = 7


@dataclass(frozen=True)
class Row:
    """One line of a table: `label` names its curve, `at` its place on it."""

    label: str
    at: float | str
    numbers: dict[str, float | str]


@dataclass(frozen=True)
class Subject:
    """What is asked about: a network, on one dataset. windows: of each line. views: of a window
    where a job does not vary them. values: parameters for all."""

    network: Network | NestedNetwork
    dataset: Dataset
    windows: int
    views: int
    values: dict

    def takes(self, views: int, gap: int = 1) -> list[Take]:
        return self.dataset.takes(self.windows, views, gap)

    def mean(
        self,
        takes: Sequence[Take],
        way: Way,
        given: Callable[[Take], np.ndarray] | None = None,
    ) -> dict[str, float | str]:
        """Means over windows. given: the poses (N, 4, 4) that the network gets of a take."""
        return summary(self.look(takes, way, given))

    def look(
        self,
        takes: Sequence[Take],
        way: Way,
        given: Callable[[Take], np.ndarray] | None = None,
    ) -> list[Measured]:
        way = way.having(self.values)
        return [
            measure(self.network, take.shots(), way, None if given is None else given(take))
            for take in takes
        ]


@dataclass(frozen=True)
class Job:
    """A question. axis: of `Row.at`. columns: numbers of the table, in order; drawn: those of the
    plot. missing: why it cannot be asked of a subject; empty where it can."""

    name: str
    title: str
    text: str
    axis: str
    columns: tuple[str, ...]
    drawn: tuple[str, ...]
    run: Callable[[Subject], list[Row]]
    missing: Callable[[Subject], str]


METRES = ("abs_rel", "delta1", "scale_error", "aligned", "coverage", "rests_on")


LEAST_STEP = 0.005
"""m from picture to picture; below, no window of a few views says anything about metres."""


def needs_motion(subject: Subject) -> str:
    """`Job.missing` of a job that looks at posed windows of as many views as the subject says."""
    if subject.dataset.step < LEAST_STEP:
        return "the camera stands still"
    return needs_pictures(subject.views)(subject)


def needs_pictures(count: int) -> Callable[[Subject], str]:
    """`Job.missing` of a job that looks at `count` successive pictures."""

    def missing(subject: Subject) -> str:
        if subject.takes(count):
            return ""
        return f"no recording has {count} pictures with a pose"

    return missing
