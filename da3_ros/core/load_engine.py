"""An engine in the place of a network, compared with torch before it is used."""

from __future__ import annotations

from pathlib import Path

import torch

from da3_ros.core.config import Config
from da3_ros.net.engine.check import errors_of, refuse_if_off
from da3_ros.net.engine.engine import Engine, open_engine
from da3_ros.net.engine.manifest import EngineError, Manifest, read_manifest
from da3_ros.net.model_folder import CheckpointError
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.plain_text import first_line
from da3_ros.net.presets import find_preset


def load_engine(config: Config, device: torch.device) -> Engine | NestedNetwork:
    """The engine in the folder model.name, ready. Raises `EngineError`.

    It is built here for the provider (TensorRT takes minutes, the first time), runs its built-in
    window, and is refused when it does not say what torch said at its export.
    """
    folder = Path(config.model.name)
    _check_fits(config, read_manifest(folder))
    try:
        return _compared(config, folder, device)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a graph that is not ours makes the runtime raise
        raise EngineError(
            f"the engine does not run: {first_line(error)}; was it changed? Export it again"
        ) from error


def _compared(config: Config, folder: Path, device: torch.device) -> Engine | NestedNetwork:
    engine = open_engine(folder, config.model.provider, device)
    refuse_if_off(errors_of(engine, folder), engine.manifest.precision, config.model.provider)
    return engine


def _check_fits(config: Config, manifest: Manifest) -> None:
    """The parameters ask for what the engine was made for."""
    views = config.window.size * len(config.input.cameras)
    if find_preset(manifest.preset).any_view and views != manifest.views:
        raise EngineError(
            f"window.size {config.window.size} makes windows of {views} views, the engine takes "
            f"{manifest.views}: set window.size to that, or export it with --views {views}"
        )
    if config.model.process_res not in (0, manifest.process_res):
        raise EngineError(
            f"model.process_res is {config.model.process_res}, the engine was made for "
            f"{manifest.process_res} px: leave it out, or export the engine with --res "
            f"{config.model.process_res}"
        )
    if config.model.precision not in ("auto", manifest.precision):
        raise EngineError(
            f"model.precision is {config.model.precision}, the engine was made in "
            f"{manifest.precision}: leave it at auto, or export the engine with --precision"
        )
