"""Which files a bag consists of, also where it was cut off or its folder is incomplete."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

import yaml

from da3_ros.ros.topics.topic_error import TopicError

SUFFIXES = (".mcap", ".db3")
COMPRESSED = ".zstd"
"""Second suffix of a file that was compressed as a whole."""
METADATA = "metadata.yaml"
LARGEST_METADATA = 4 << 20
"""Bytes; those of a thousand files have some hundred thousand."""


class BagError(TopicError):
    """A bag that is missing, broken, or holds nothing of use."""


@dataclass(frozen=True)
class BagFiles:
    """Files of one bag in the order they were written. notes: what is odd, in sentences."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def find_files(path: Path) -> BagFiles:
    """The files of a bag. path: its folder, or one of its files alone.

    Raises `BagError` when there is nothing to read.
    """
    if not os.path.exists(path):  # whatever the name: false where it cannot be one
        raise BagError(f"cannot open bag {path}: it does not exist")
    if not path.is_dir():
        # A fifo would be waited for, a device has no end.
        if not (path.is_file() and is_bag_file(path)):
            raise BagError(f"cannot open bag {path}: a bag is a folder, a .mcap or a .db3 file")
        return BagFiles((path,))
    named = (p for p in path.iterdir() if is_bag_file(p))
    present = sorted((p for p in named if p.is_file()), key=_natural)
    if not present:
        raise BagError(f"cannot open bag {path}: the folder holds no .mcap or .db3 file")
    listed = _listed(path / METADATA)
    if listed is None:
        return BagFiles(tuple(present), (_no_metadata(path, len(present)),))
    return _compare(path, listed, present)


def is_bag_file(path: Path) -> bool:
    """Whether it has the name of a file of a bag: .mcap or .db3, perhaps with .zstd behind it."""
    return Path(_without_zstd(path.name)).suffix in SUFFIXES


def _compare(folder: Path, listed: list[str], present: list[Path]) -> BagFiles:
    """The files that metadata.yaml lists, as far as they are there."""
    by_name = {_without_zstd(p.name): p for p in present}
    found = {n: by_name[_without_zstd(n)] for n in listed if _without_zstd(n) in by_name}
    if not found:
        raise BagError(
            f"cannot open bag {folder}: none of the files in its {METADATA} is there "
            f"({', '.join(listed) or 'it lists none'}); ros2 bag reindex {folder} lists what is"
        )
    notes = [
        f"{METADATA} of {folder} lists {name}, which is not there: its part of the bag is missing"
        for name in listed
        if name not in found
    ]
    notes += [
        f"{p.name} lies in {folder} but its {METADATA} does not list it: it is not read "
        f"(ros2 bag reindex {folder} adds it)"
        for p in present
        if p not in found.values()
    ]
    return BagFiles(tuple(found.values()), tuple(notes))


def _listed(metadata: Path) -> list[str] | None:
    """File names; None where there is no metadata.yaml, or none that can be read."""
    try:
        if not metadata.is_file() or metadata.stat().st_size > LARGEST_METADATA:
            return None
        # Texts only: no invalid dates, and no merges, of which 300 bytes are a billion.
        content = yaml.load(metadata.read_text(), yaml.BaseLoader)
        names = content["rosbag2_bagfile_information"]["relative_file_paths"]
        return [PurePath(name).name for name in names]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, yaml.YAMLError):
        return None


def _no_metadata(folder: Path, count: int) -> str:
    what = "the file in it is" if count == 1 else f"the {count} files in it are"
    return (
        f"{folder} has no complete {METADATA}: {what} read as one bag "
        f"(ros2 bag reindex {folder} writes it)"
    )


def _without_zstd(name: str) -> str:
    return name.removesuffix(COMPRESSED)


def _natural(path: Path) -> list:
    """Sorts run_2 before run_10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
