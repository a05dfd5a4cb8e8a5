"""What a worker is given: a bag, a piece of one, or pieces to be joined; all plain values."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from da3_ros.core.config import ConfigError
from da3_ros.core.files.disk import in_words
from da3_ros.core.load_model import ModelError
from da3_ros.core.scene.mesh import MeshError
from da3_ros.ros.bags.bag_job import BagJob, Report
from da3_ros.ros.bags.made_of import made_of
from da3_ros.ros.bags.pieces import Piece
from da3_ros.ros.bags.process_bag import OpenBag, Progress, process_bag
from da3_ros.ros.bags.process_piece import PieceRecord, join_pieces, process_piece
from da3_ros.ros.topics.topic_error import TopicError

EXPECTED = (TopicError, ConfigError, ModelError, MeshError, OSError)
"""Reasons for which one bag fails; anything else is a bug, with its traceback."""


@dataclass(frozen=True)
class Task:
    """number: its own. piece: what of the bag is processed into `folder`; None: all of it, or
    `parts`, folders of pieces in order, are joined."""

    number: int
    job: BagJob
    piece: Piece | None = None
    folder: Path | None = None
    parts: tuple[Path, ...] = ()


def try_task(task: Task, progress: Progress = lambda images: None) -> Report:
    """Do it; a failure becomes a report. The report of a piece that was done says nothing else."""
    try:
        return _do(task, progress)
    except Exception as error:  # a bug here must not cost the table of the other bags
        return failed(task.job, error)


def failed(job: BagJob, error: Exception) -> Report:
    """What ended the work on one bag, as its report; of a bug the traceback is printed, too."""
    if isinstance(error, EXPECTED):
        return Report(job, failure=in_words(error, "its results", job.out))
    traceback.print_exception(error)
    return Report(job, failure=f"internal error, see above: {type(error).__name__}: {error}")


def _do(task: Task, progress: Progress) -> Report:
    if task.piece:
        process_piece(task.job, task.piece, task.folder, progress)
        return Report(task.job)
    if not task.parts:
        return process_bag(task.job, progress)
    with OpenBag(task.job) as bag:
        config = bag.config
    parts = [(folder, PieceRecord.read(folder)) for folder in task.parts]
    return join_pieces(task.job, parts, config, made_of(task.job))
