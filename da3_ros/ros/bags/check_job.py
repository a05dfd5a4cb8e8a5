"""What would fail after the weights are loaded, or after hours, fails at once."""

from __future__ import annotations

from pathlib import Path

from da3_ros.core.config import Config
from da3_ros.core.export.folder import ExportError, check_folder
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
    try:
        check_folder(out, (), "--out")
    except ExportError as error:
        raise BagError(str(error)) from error
    try:
        preset = known_preset(config.model.name)
        if formats and preset:
            check_network(formats, preset)
    except ExportError as error:
        raise BagError(f"export: {error}") from error
    except CheckpointError as error:
        raise BagError(f"model.name is '{config.model.name}': {error}") from error
