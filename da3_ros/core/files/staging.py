"""Several files that appear together: written into a hidden folder, moved when all are whole.

A process that is killed leaves at most the hidden folder, whose name begins with `UNFINISHED`.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

UNFINISHED = ".unfinished-"


@dataclass(eq=False)
class Stage:
    """Where to write, and after the block, what became of it.

    path: the hidden folder. files: the files at their places. replaced: the files that they
    stand in for. left: older files of the same kinds that stay beside them.
    """

    path: Path
    files: list[Path] = field(default_factory=list)
    replaced: list[Path] = field(default_factory=list)
    left: int = 0


@contextmanager
def staged(folder: Path, whole: Iterable[str] = ()) -> Iterator[Stage]:
    """Write below `stage.path`; when the block succeeds, all files move below `folder`.

    whole: patterns below `folder`, as of `Path.glob`; files there that are not written anew go.
    When it raises, nothing is left of it, nor of the folders that were made for it. Raises
    `OSError` where a link leads out of `folder` or a folder has the name of a file.
    """
    made = _make(folder)
    stage = Stage(folder / f"{UNFINISHED}{uuid.uuid4().hex[:8]}")
    try:
        stage.path.mkdir()
        yield stage
        _move(stage, folder, whole)
        made = []
    finally:
        shutil.rmtree(stage.path, ignore_errors=True)
        for path in made:
            with suppress(OSError):  # somebody else has put something there
                path.rmdir()


@contextmanager
def new_folder(wanted: Path) -> Iterator[Stage]:
    """Write below `stage.path`; when the block succeeds, that becomes the folder `wanted`.

    Where there is something of that name, links too, the folder is called `wanted`-2, -3 and
    so on: nothing is replaced, no link is followed. `stage.files` and `stage.path` are then
    the final ones. When the block raises, nothing is left.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    hidden = wanted.with_name(f"{UNFINISHED}{uuid.uuid4().hex[:8]}")
    stage = Stage(hidden)
    try:
        hidden.mkdir()
        yield stage
        names = sorted(path.relative_to(hidden) for path in hidden.rglob("*") if path.is_file())
        stage.path = _rename(hidden, wanted)
        stage.files = [stage.path / name for name in names]
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _make(folder: Path) -> list[Path]:
    """The folders that had to be made, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _move(stage: Stage, folder: Path, whole: Iterable[str]) -> None:
    sources = sorted(path for path in stage.path.rglob("*") if path.is_file())
    targets = [folder / path.relative_to(stage.path) for path in sources]
    for path in targets:
        _check_place(path, folder)
    stage.files = targets
    parts = {path for pattern in whole for path in folder.glob(pattern)} - set(targets)
    stage.replaced = [path for path in (*targets, *sorted(parts)) if path.exists()]
    kinds = {(path.parent, path.suffix) for path in targets if path.parent != folder}
    beside = {p for f, suffix in kinds if f.is_dir() for p in f.iterdir() if p.suffix == suffix}
    stage.left = len(beside - set(targets) - parts)
    for source, target in zip(sources, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
    for path in parts:
        path.unlink()


def _check_place(path: Path, folder: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        raise OSError(f"'{path}' is a folder, where a file has to be; remove it")
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise OSError(f"'{path.parent}' is a link that leads out of '{folder}'; remove the link")


def _rename(hidden: Path, wanted: Path) -> Path:
    """Give the folder the first free name; two processes cannot take the same."""
    for number in count(1):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if os.path.lexists(path):
            continue
        try:
            os.rename(hidden, path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            return path
    raise AssertionError("numbers do not end")
