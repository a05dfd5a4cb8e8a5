"""Where an export of the node goes: a folder of its own below one directory, and nowhere else."""

from __future__ import annotations

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
    root = Path(directory).expanduser() if directory else DEFAULT_DIRECTORY
    return root / (name or _from_stamp(stamp_ns))


def _from_stamp(stamp_ns: int) -> str:
    seconds, rest = divmod(stamp_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}"
