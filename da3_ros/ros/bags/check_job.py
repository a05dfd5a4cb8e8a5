"""What would fail after the weights are loaded, or after hours, fails at once."""

from __future__ import annotations

import os
from pathlib import Path

from da3_ros.core.config import Config
from da3_ros.core.export import ExportError
from da3_ros.core.export.running import check_network
from da3_ros.core.scene.mesh import Mesh
from da3_ros.net.model_folder import CheckpointError, known_preset
from da3_ros.ros.bags.bag import BagError


def check_before_loading(config: Config, out: Path, formats: str) -> None:
    """Check files, folders and formats of a job on a bag, without loading the model.

    out: folder of the results. formats: exports of the end, joined with ``-``.
    Raises `BagError` and `MeshError` in one sentence.
    """
    if config.scene.mesh:
        Mesh.load(config.scene.mesh)
    _check_folder(out)
    try:
        preset = known_preset(config.model.name)
        if formats and preset:
            check_network(formats, preset)
    except ExportError as error:
        raise BagError(f"export: {error}") from error
    except CheckpointError as error:
        raise BagError(f"model.name is '{config.model.name}': {error}") from error


def _check_folder(path: Path) -> None:
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise BagError(f"--out is {path}, which cannot be made: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BagError(f"--out is {path}, which may not be written to")
