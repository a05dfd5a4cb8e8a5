"""A bag that is processed in pieces: which are still to do, and whether they fit."""

from __future__ import annotations

import shutil
from pathlib import Path

from da3_ros.ros.bags.bag import BagError
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.bags.made_of import name_of
from da3_ros.ros.bags.pieces import Piece, cut, put_together
from da3_ros.ros.bags.process_bag import OpenBag
from da3_ros.ros.bags.process_piece import PieceRecord

FOLDER = ".pieces-"
"""Begins the name of the hidden folder of pieces, below the folder of results."""

NO_POSES = (
    "--split needs poses: without them each window depends on the one before it; process the bag "
    "without --split"
)


class SplitBag:
    """The pieces of one bag. made: what the result is made from; the pieces lie in a folder of
    that name, where another run finds those that are done.

    exactly: pieces must fit bit for bit. joined: boundaries where two became one. given: pieces
    that somebody works on or has worked on. Raises `BagError` for a bag that cannot be split.
    """

    def __init__(self, job: BagJob, seconds: float, made: dict, *, exactly: bool):
        self.job = job
        self.folder = job.out / f"{FOLDER}{job.name}-{name_of(made)}"
        self.pieces = _cut(job, seconds)
        self.joined = 0
        self.given: set[Piece] = set()
        self._exactly = exactly

    def folder_of(self, piece: Piece) -> Path:
        """Where a piece is, or will be."""
        return self.folder / piece.name

    def missing(self) -> list[Piece]:
        """Pieces that are still to do. Where two that are done do not fit, they are one piece
        from now on, which is to do. Nothing is missing: all of them fit.
        """
        records = [PieceRecord.read(self.folder_of(piece)) for piece in self.pieces]
        missing = [piece for piece, record in zip(self.pieces, records) if record is None]
        if missing:
            return missing
        misfits = [
            not before.after.fits(behind.before, exactly=self._exactly)
            for before, behind in zip(records, records[1:])
        ]
        if not any(misfits):
            return []
        self.joined += sum(misfits)
        self.pieces = put_together(self.pieces, misfits)
        return self.missing()

    def parts(self) -> tuple[Path, ...]:
        """Folders of all pieces, in order."""
        return tuple(map(self.folder_of, self.pieces))

    def remove(self) -> None:
        """The result is there: the pieces are needed no more."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _cut(job: BagJob, seconds: float) -> tuple[Piece, ...]:
    with OpenBag(job) as bag:
        if bag.config.pose.source == "none":
            raise BagError(NO_POSES)
        span, images = bag.span, bag.images
    length = (span.stop_ns - span.start_ns) / 1e9
    if length / seconds > max(images, 1):
        raise BagError(
            f"--split {seconds:g} makes more pieces than the {images} images of the bag, whose "
            f"recording times span {length / 86400:.2f} days; give longer pieces"
        )
    return cut(span, seconds)
