"""Which mesh files somebody on the graph may ask for: those below one folder."""

from __future__ import annotations

from pathlib import Path

from da3_ros.core.scene.mesh import MeshError
from da3_ros.net.plain_text import LONGEST_PATH, plain


def allowed_mesh(path: str, folder: Path) -> Path:
    """The file `path`, absolute or from `folder` on, links followed. It need not exist.

    Raises `MeshError` when that is not below `folder`: whether there is such a file is not said.
    """
    try:
        root = folder.expanduser().resolve()
        wanted = (root / path).resolve()
        is_below = wanted.is_relative_to(root)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise MeshError(f"'{plain(path, LONGEST_PATH)}' cannot be a path: {error}") from error
    if not is_below:
        raise MeshError(
            f"'{plain(path, LONGEST_PATH)}' is not below {folder}: put the file there, or name "
            "its folder in scene.mesh_directory when the node is started"
        )
    return wanted
