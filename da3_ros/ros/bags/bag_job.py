"""What is to be done with a bag, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from da3_ros.core.config import from_dict
from da3_ros.core.frame_counts import Counts
from da3_ros.ros.bags.bag_files import COMPRESSED, SUFFIXES
from da3_ros.ros.topics.find_camera import Choice


@dataclass(frozen=True)
class BagJob:
    """A bag to process. Plain values only, so that it can be sent to another process.

    out: folder of results; this one will be `out`/`name`. parameters: dotted names and
    values, as in the parameter file. formats: exports of the end, joined with ``-``.
    leave_out: output topics that are not written. choice: input topics. zstd: compress the result.
    """

    bag: Path
    out: Path
    parameters: dict = field(default_factory=dict)
    formats: str = ""
    leave_out: tuple[str, ...] = ()
    choice: Choice = field(default_factory=Choice)
    zstd: bool = False

    @property
    def name(self) -> str:
        """Name of the bag and of its result."""
        file = Path(self.bag.name.removesuffix(COMPRESSED))
        return file.stem if file.suffix in SUFFIXES else self.bag.resolve().name

    @property
    def wanted(self) -> Choice:
        """The choice, with the fixed frame and the source of poses that the parameters name."""
        return replace(
            self.choice,
            world_frame=self.parameters.get("pose.world_frame", ""),
            pose_source=self.parameters.get("pose.source", ""),
        )

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras; several are a rig."""
        return list(from_dict(self.parameters).input.cameras)

    @property
    def result(self) -> Path:
        """The new bag's folder."""
        return self.out / self.name


@dataclass(frozen=True)
class Report:
    """What became of one bag. warnings: in sentences. failure: why there is no result, or no
    export; else empty."""

    job: BagJob
    counts: Counts | None = None
    warnings: tuple[str, ...] = ()
    failure: str = ""


class Warned(NamedTuple):
    """A sentence about a bag, and what caused it. Sentences of a lower `group` are said first."""

    group: int
    cause: str
    sentence: str


def said_once(warned: Iterable[Warned]) -> tuple[str, ...]:
    """The first sentence of each cause, in order."""
    first: dict[tuple[int, str], str] = {}
    for group, cause, sentence in sorted(warned, key=itemgetter(0)):
        first.setdefault((group, cause), sentence)
    return tuple(dict.fromkeys(first.values()))
