"""One piece of a bag, processed anywhere, and all pieces joined to what one run writes.

Two runs have looked at each boundary: the piece before it at its end, and the piece behind it
before its beginning. Only where both remember the same there, the pieces fit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path as FilePath

import numpy as np
from nav_msgs.msg import Path

from da3_ros.core.config import Config
from da3_ros.core.export.running import export_scene, split_all_formats, window_origin
from da3_ros.core.files.staging import new_folder
from da3_ros.core.frame_counts import Counts
from da3_ros.core.handover import Handover
from da3_ros.core.scene.scene import Scene
from da3_ros.ros.bags.bag import BagReader, BagWriter
from da3_ros.ros.bags.bag_job import BagJob, Report, Warned, said_once
from da3_ros.ros.bags.bag_node import PATH
from da3_ros.ros.bags.bag_run import BagRun, PathEnds, write_exports
from da3_ros.ros.bags.check_job import check_before_loading
from da3_ros.ros.bags.made_of import check_result, write_record
from da3_ros.ros.bags.partial import partial_folder
from da3_ros.ros.bags.pieces import Piece
from da3_ros.ros.bags.process_bag import EXPORTS, OpenBag, Progress
from da3_ros.ros.outputs.publishers import PATH_LENGTH
from da3_ros.ros.topics.message_types import message_class

RECORD = "piece.json"
MAP = "map.npz"
"""Beside the bag of a piece."""


@dataclass(frozen=True)
class PieceRecord:
    """What is known of a piece that is done.

    before, after: what its run remembered where it began to write, and at its end. now_ns: when it
    wrote last. metadata, origin: of the newest window of the last piece, for exports.
    """

    counts: Counts
    warnings: list[Warned]
    before: Handover | None
    after: Handover
    path: PathEnds
    now_ns: int
    failure: str = ""
    metadata: dict = field(default_factory=dict)
    origin: list[float] | None = None

    def write(self, folder: FilePath) -> None:
        """Put it beside the bag of the piece."""
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def read(folder: FilePath) -> PieceRecord | None:
        """Of a piece; None where it is not done, or where a crash has left half a record."""
        try:
            values = json.loads((folder / RECORD).read_text())
            values["counts"] = Counts(**values["counts"])
            values["before"] = values["before"] and Handover(**values["before"])
            values["after"] = Handover(**values["after"])
            values["path"] = PathEnds(*values["path"])
            values["warnings"] = [Warned(*warned) for warned in values["warnings"]]
            return PieceRecord(**values)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None


def process_piece(
    job: BagJob, piece: Piece, folder: FilePath, progress: Progress = lambda images: None
) -> None:
    """Write the piece into `folder`, whole or not at all. Raises what `process_bag` raises."""
    with OpenBag(job) as bag:
        check_before_loading(bag.config, job.out, job.formats)
        if PieceRecord.read(folder) is None:  # what is there in its place is not a whole piece
            shutil.rmtree(folder, ignore_errors=True)
        with partial_folder(folder) as place:
            with BagWriter(place, zstd=job.zstd) as out:
                run, node = bag.run(piece, out, progress)
                now_ns = node.now_ns
                node.close()
            record = PieceRecord(
                counts=run.counts,
                warnings=bag.warnings(run),
                before=run.before,
                after=run.handover(),
                path=run.path,
                now_ns=now_ns,
            )
            if job.formats:
                record = _export(job, piece, record, run, place)
            record.write(place)


def _export(
    job: BagJob, piece: Piece, record: PieceRecord, run: BagRun, folder: FilePath
) -> PieceRecord:
    """The map of any piece; of the last one what shows the newest window."""
    windows, meshes = split_all_formats(job.formats)
    if meshes:
        run.scene.save_map(folder / MAP)
    if piece.stop_ns is not None:
        return record
    source = run.source()
    origin = window_origin(source.newest)
    return replace(
        record,
        failure=write_exports("-".join(windows), folder / EXPORTS, source) if windows else "",
        metadata=source.metadata(),
        origin=None if origin is None else origin.tolist(),
    )


def join_pieces(
    job: BagJob, pieces: Sequence[tuple[FilePath, PieceRecord]], config: Config, made: dict
) -> Report:
    """Write the result of all pieces, in order: their bags as one, the maps as one.

    Raises `BagError`, `OSError` and `MeshError`.
    """
    check_result(job, made)
    folders, records = [folder for folder, _ in pieces], [record for _, record in pieces]
    counts = records[0].counts
    for record in records[1:]:
        counts = counts + record.counts
    with partial_folder(job.result) as folder:
        with BagWriter(folder, zstd=job.zstd) as out:
            _copy(folders, records, out)
        failure = records[-1].failure or _join_exports(job, folders, records[-1], config, folder)
        warnings = said_once(warned for record in records for warned in record.warnings)
        report = Report(job, counts, warnings, failure)
        write_record(folder, report, made)
    return report


def _copy(folders: Sequence[FilePath], records: Sequence[PieceRecord], out: BagWriter) -> None:
    """All messages but the paths, which become one."""
    path, is_over = Path(), False
    for folder, record in zip(folders, records):
        with BagReader(folder) as bag:
            classes = {c.id: message_class(c.msgtype) for c in bag.connections}
            others = [c for c in bag.connections if c.topic != PATH]
            for connection, time_ns, raw in bag.raw_messages(others) if others else ():
                out.write_raw(connection.topic, time_ns, classes[connection.id], raw)
            for _, _, part in bag.messages(PATH):
                before = path.poses if record.path.continues and not is_over else []
                path = Path(header=part.header, poses=[*before, *part.poses][-PATH_LENGTH:])
                is_over = False
        is_over = is_over or record.path.is_over
    if path.poses:
        out.write(PATH, records[-1].now_ns, path)


def _join_exports(
    job: BagJob,
    folders: Sequence[FilePath],
    last: PieceRecord,
    config: Config,
    folder: FilePath,
) -> str:
    """Exports of the last piece, and meshes of the maps of all; returns why not, or nothing."""
    source = folders[-1] / EXPORTS
    if not job.formats:
        return ""
    try:
        with new_folder(folder / EXPORTS) as stage:
            if source.exists():
                shutil.copytree(source, stage.path, dirs_exist_ok=True)
            if split_all_formats(job.formats)[1]:
                origin = None if last.origin is None else np.array(last.origin)
                scene = _join_maps(folders, config)
                export_scene(job.formats, stage.path, scene, last.metadata, origin)
    except ValueError as error:
        return f"export: {error}"
    return ""


def _join_maps(folders: Sequence[FilePath], config: Config) -> Scene:
    scene = Scene(config.scene)
    for folder in folders:
        scene.add_map(folder / MAP)
    return scene
