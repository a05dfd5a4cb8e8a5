"""What would fail after the weights are loaded, or after hours, fails at once."""

from __future__ import annotations

from pathlib import Path

from da3_ros.core.body_mask import read_mask
from da3_ros.core.config import Config
from da3_ros.core.export import FEATURES, FORMATS, NEED_GAUSSIANS
from da3_ros.core.export.folder import ExportError, check_folder
from da3_ros.core.export.running import check_network, split_all_formats
from da3_ros.core.scene.mesh import Mesh
from da3_ros.net.engine.manifest import is_engine
from da3_ros.net.model_folder import CheckpointError, known_preset
from da3_ros.ros.bags.bag import BagError


def check_before_loading(config: Config, out: Path, formats: str) -> None:
    """Check files, folders and formats of a job on a bag, without loading the model.

    out: folder of the results. formats: exports of the end, joined with ``-``.
    Raises `BagError`, `ConfigError` and `MeshError` in one sentence.
    """
    for camera in config.input.cameras:
        read_mask(config.input.mask, camera)
    if config.scene.mesh:
        Mesh.load(config.scene.mesh)
    try:
        check_folder(out, (), "--out")
    except ExportError as error:
        raise BagError(str(error)) from error
    try:
        preset = known_preset(config.model.name)
        if formats:
            _check_mesh(formats, config)
            _check_abilities(formats, of_engine=is_engine(Path(config.model.name)))
        if formats and preset:
            check_network(formats, preset)
    except ExportError as error:
        raise BagError(f"export: {error}") from error
    except CheckpointError as error:
        raise BagError(f"model.name is '{config.model.name}': {error}") from error


def _check_abilities(formats: str, *, of_engine: bool) -> None:
    """Formats that need an option, which exports of the end have not, or more than an engine."""
    for name in split_all_formats(formats)[0]:
        if of_engine and name in NEED_GAUSSIANS:
            raise ExportError(
                f"export format '{name}' needs Gaussians, and an engine gives none: use "
                "model.backend torch for that"
            )
        if FEATURES in FORMATS[name].needs:
            raise ExportError(
                f"export format '{name}' needs the option export_feat_layers, which a bag's "
                "exports cannot be given; the running node's export action takes it, and da3 infer"
            )


def _check_mesh(formats: str, config: Config) -> None:
    meshes = split_all_formats(formats)[1]
    if meshes and config.pose.source == "none" and not config.scene.mesh:
        raise ExportError(
            f"export format '{meshes[0]}' needs the scene, which is fused of depth in metres, and "
            "this bag is processed without poses (pose.source: none): leave it out, or give poses"
        )
