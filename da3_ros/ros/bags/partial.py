"""Results appear whole: written into a hidden folder, moved into place at the end.

A process that is killed leaves its hidden folder behind. Its lock is gone with it, and so the next
run knows that the folder is nobody's.
"""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".partial-"
LOCK = "lock"


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """A folder of the same name elsewhere below the parent, moved into place at the end."""
    hidden = path.parent / f"{PREFIX}{uuid.uuid4().hex[:8]}"
    hidden.mkdir(parents=True)
    try:
        with _locked(hidden):
            yield hidden / path.name
            (hidden / path.name).rename(path)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Take away what killed processes have left below a folder of results."""
    for lock in (*folder.glob(f"{PREFIX}*/{LOCK}"), *folder.glob(f".*/{PREFIX}*/{LOCK}")):
        with suppress(OSError), lock.open("w") as file:  # held: its process is alive
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Its file appears only when it is locked: until then, and where there are no locks, nobody takes
    the folder away.
    """
    new = folder / "new"
    with new.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: nobody will take the folder away
            new.unlink()
        else:
            new.rename(folder / LOCK)
        yield
