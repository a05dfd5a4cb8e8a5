"""Where files may go: the folder of an export, and of the node below one directory."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from da3_ros.core.files.home import from_home
from da3_ros.core.files.staging import UNFINISHED
from da3_ros.core.user_input.options import is_plain_name, shown

DEFAULT_DIRECTORY = Path.home() / ".ros" / "da3_ros"


class ExportError(ValueError):
    """What cannot be exported, or not to that place (format, option, folder); one sentence."""


class FailedExportError(ExportError, OSError):
    """Files that could not be written (a full disk), after the network has run; none is left.

    prediction: the `Prediction` that was to be written, for `da3_ros.core.export.export`.
    """

    def __init__(self, words: str, prediction: object):
        super().__init__(words)
        self.prediction = prediction

    def __reduce__(self) -> tuple:
        """For pickle, which brings it from one process to another."""
        return type(self), (str(self), self.prediction)


def check_folder(folder: str | os.PathLike, files: Sequence[str], name: str = "export_dir") -> None:
    """`ExportError` if `files` cannot be written below `folder`.

    files: patterns as of `Path.glob`. A file in the place of a folder, a folder in the place of
    a file, a place where nothing can be made, or a link that leads out of `folder`. What can be
    made is tried with a hidden folder that goes again.
    """
    if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
        raise ExportError(f"{name} is {shown(folder)}, must be the path of a folder")
    try:
        _check_made(Path(folder), name)
        for pattern in files:
            for parent in reversed(PurePath(pattern).parents):
                for path in named(Path(folder), parent):
                    if not _is_one_of(path, folder, files):
                        _check_inside(Path(folder), path, name)
            for path in named(Path(folder), PurePath(pattern)):
                _check_no_folder(Path(folder), path, name)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        if isinstance(error, ExportError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise ExportError(
            f"{name} is {shown(str(folder))}, which is not possible: {reason}"
        ) from error


def named(folder: Path, pattern: PurePath) -> Iterable[Path]:
    """What is there of a pattern; a path without a pattern also when it is not there."""
    return folder.glob(str(pattern)) if "*" in str(pattern) else [folder / pattern]


def _is_one_of(path: Path, folder: str | os.PathLike, files: Sequence[str]) -> bool:
    """A file with a name of `files`, which another pattern finds in the place of a folder."""
    name = path.relative_to(folder)
    return path.is_file() and any(name.match(p) for p in files if "*" in p)


def _check_made(folder: Path, name: str) -> None:
    """The nearest part of the path that is there has to be a folder that takes new folders."""
    there = next(path for path in (folder, *folder.absolute().parents) if _is_there(path))
    if there.is_symlink() and not there.exists():
        raise ExportError(
            f"{name} is '{folder}', but '{there}' is a link to '{os.readlink(there)}', which is "
            "not there; make that folder, or remove the link"
        )
    if not there.is_dir():
        raise ExportError(f"{name} is '{folder}', but '{there}' is a file, not a folder")
    # Permissions alone do not tell: /proc is root's to write to, and takes no folder.
    trial = there / f"{UNFINISHED}{uuid.uuid4().hex[:8]}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise ExportError(
            f"{name} is '{folder}', but '{there}' may not be written to: {error.strerror}"
        ) from error


def _check_no_folder(folder: Path, path: Path, name: str) -> None:
    if path.is_dir() and not path.is_symlink():
        raise ExportError(
            f"{name} is '{folder}', but '{path}' is a folder, where a file has to be; remove it"
        )


def _is_there(path: Path) -> bool:
    """Also for a link that leads nowhere; invalid names raise `OSError`."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_inside(folder: Path, path: Path, name: str) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ExportError(
            f"{name} is '{folder}', but '{path}' is a link that leads out of it; remove the link"
        )
    _check_made(path, name)
    if path.exists() and path.stat().st_dev != folder.stat().st_dev:
        raise ExportError(
            f"{name} is '{folder}', but '{path}' is on another disk, where files cannot appear "
            "together with the others; export to another folder"
        )


def export_folder(directory: str, name: str, stamp_ns: int) -> Path:
    """The folder `name` below `directory` (empty: ~/.ros/da3_ros), not made yet.

    An empty name becomes the UTC time of the stamp. Raises `ExportError` for a name that
    is not a plain folder name.
    """
    if name and not is_plain_name(name):
        raise ExportError(
            f"name is {shown(name)}, must be a plain folder name: exports stay below the node's "
            "export.directory"
        )
    return export_root(directory) / (name or _from_stamp(stamp_ns))


def check_directory(directory: str) -> None:
    """Raise `ExportError` in one sentence when nothing can be written below `directory`.

    Empty: nobody has asked for exports, so that nothing is checked.
    """
    if directory:
        check_folder(export_root(directory), (), "export.directory")


def export_root(directory: str) -> Path:
    """The folder that the parameter export.directory names."""
    return Path(from_home(directory)) if directory else DEFAULT_DIRECTORY


def _from_stamp(stamp_ns: int) -> str:
    seconds, rest = divmod(stamp_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}"
