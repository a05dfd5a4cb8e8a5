"""Where an export of the node goes: a folder of its own below one directory, and nowhere else."""

from __future__ import annotations

import os
import time
from pathlib import Path

from da3_ros.core.export import ExportError

DEFAULT_DIRECTORY = Path.home() / ".ros" / "da3_ros"


def export_folder(directory: str, name: str, stamp_ns: int) -> Path:
    """The folder `name` below `directory` (empty: ~/.ros/da3_ros), not made yet.

    An empty name becomes the UTC time of the stamp. Raises `ExportError` for a name that
    is not a plain folder name.
    """
    if name in (".", "..") or any(c in name for c in "/\\\0"):
        raise ExportError(
            f"name is {name!r}, must be a plain folder name: exports stay below the node's "
            "export.directory"
        )
    return _root(directory) / (name or _from_stamp(stamp_ns))


def check_directory(directory: str) -> None:
    """Raise `ExportError` in one sentence when nothing can be written below `directory`.

    Empty: nobody has asked for exports, so that nothing is checked.
    """
    if not directory:
        return
    root = _root(directory)
    there = next(p for p in (root, *root.absolute().parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "may not be written to" if there.is_dir() else "is no folder"
        raise ExportError(f"export.directory is '{directory}', but {there} {why}; name another one")


def _root(directory: str) -> Path:
    return Path(directory).expanduser() if directory else DEFAULT_DIRECTORY


def _from_stamp(stamp_ns: int) -> str:
    seconds, rest = divmod(stamp_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}"
