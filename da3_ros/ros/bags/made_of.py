"""What a result was made from: how a run that was interrupted knows what is done already.

Beside each result lies a record of the bag's files, the parameters, the weights and the version.
A result is recognised by all of it, never by its name alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import da3_ros
from da3_ros.core.body_mask import mask_file
from da3_ros.core.config import from_dict
from da3_ros.core.frame_counts import Counts
from da3_ros.net.checkpoint import find_folder
from da3_ros.net.engine.manifest import MANIFEST, file_hash, is_engine
from da3_ros.net.model_folder import CheckpointError, find_local_folder
from da3_ros.net.weights_file import find_weights
from da3_ros.ros.bags.bag import BagError
from da3_ros.ros.bags.bag_files import METADATA, find_files, is_bag_file
from da3_ros.ros.bags.bag_job import BagJob, Report

RECORD = "da3_process.json"
"""In the folder of a result; readers of bags ignore it."""

WORDS = {
    "version": "another version of da3_ros",
    "bag": "another bag, or one that has changed",
    "weights": "other weights",
    "parameters": "other parameters",
    "files": "another file that a parameter names",
    "topics": "other topics",
    "formats": "other exports",
    "leave_out": "other topics left out",
    "zstd": "another compression",
}
"""What differs, by its name in the record."""


def made_of(job: BagJob) -> dict:
    """All that decides what the result of a job is, as JSON. Raises `BagError`, `OSError`."""
    config = from_dict(job.parameters)
    files = [*find_files(job.bag).paths, *job.bag.glob(METADATA)]
    mask, mesh = config.input.mask, config.scene.mesh
    paths = [mask_file(mask, camera) for camera in config.input.cameras if mask]
    paths += [Path(mesh)] if mesh else []
    return {
        "version": da3_ros.__version__,
        "bag": sorted([f.name, (s := f.stat()).st_size, s.st_mtime_ns] for f in files),
        "weights": weights_digest(config.model.name),
        "parameters": _through_json(job.parameters),
        "files": {str(path): _sha256(path) for path in paths if path.is_file()},
        "topics": _through_json(asdict(job.choice)),
        "formats": job.formats,
        "leave_out": sorted(job.leave_out),
        "zstd": job.zstd,
    }


def weights_digest(name: str) -> str:
    """SHA-256 of the weights of a model, or of what an engine says of itself, which holds that of
    its graphs; its name where the weights are random.

    Raises `BagError` where they are not there and cannot be had.
    """
    try:
        folder = find_local_folder(name) or _from_hub(name)
        if folder is None:
            return name.lower()
        # Not all files of an engine: TensorRT leaves there what it has built.
        is_of_engine = is_engine(folder)
        files = sorted(folder.rglob(MANIFEST)) if is_of_engine else [find_weights(folder)]
    except CheckpointError as error:
        raise BagError(f"model.name is '{name}': {error}") from error
    return "-".join(map(_sha256, files))


@lru_cache(maxsize=16)
def _from_hub(name: str) -> Path | None:
    """Asked once, not for every bag."""
    return find_folder(name)


def name_of(made: dict) -> str:
    """A short name of what is made from this."""
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def check_result(job: BagJob, made: dict) -> None:
    """Raise `BagError` where there is a result already, saying what it was made from."""
    if job.result.exists():
        record = _read(job.result)
        why = _difference(record, made) or _damage(job.result, record)
        raise BagError(f"{job.result} exists already{why}; remove it or choose another folder")


def finished(job: BagJob, made: dict) -> Report | None:
    """The report of a result that is there already and whole, if it was made from the same."""
    record = _read(job.result)
    if not record or record.get("made_of") != made or record.get("failure"):
        return None
    if _damage(job.result, record):
        return None
    warnings = "it was there already, made from the same", *record["warnings"]
    return Report(job, Counts(**record["counts"]), warnings)


def write_record(folder: Path, report: Report, made: dict) -> None:
    """Put the record into the folder of a result, as its last file. made: as of when the work
    began."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    content = {
        "made_of": made,
        "counts": asdict(report.counts),
        "warnings": list(report.warnings),
        "failure": report.failure,
        "wrote": {str(path.relative_to(folder)): path.stat().st_size for path in files},
    }
    (folder / RECORD).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def _difference(record: dict | None, made: dict) -> str:
    if not record:
        return ""
    before = record.get("made_of", {})
    differ = [words for name, words in WORDS.items() if before.get(name) != made[name]]
    return f", made from {' and '.join(differ)}" if differ else ""


def _damage(folder: Path, record: dict | None) -> str:
    """What was lost since. Other files than the bag's may change: reindexing writes one anew."""
    wrote = record.get("wrote", {}) if record else {}
    for name, size in wrote.items():
        path = folder / name
        if not path.is_file():
            return f", without its file {name}"
        if is_bag_file(path) and path.stat().st_size != size:
            return f", but its file {name} has not the size it was written with"
    return ""


def _read(folder: Path) -> dict | None:
    """The record of a result; None where there is none of ours."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _through_json(values: dict) -> dict:
    """As it comes back from JSON."""
    return json.loads(json.dumps(values, sort_keys=True))


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _sha256_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256_of(path: Path, size: int, mtime_ns: int) -> str:
    return file_hash(path)
