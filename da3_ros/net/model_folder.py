"""What a model's folder says before any weights are read: preset and picture size."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from da3_ros.net.plain_text import first_line, plain
from da3_ros.net.presets import PATCH, PRESETS, Preset, find_preset

CONFIG, WEIGHTS = "config.json", "model.safetensors"

MODELS_FOLDER = Path(__file__).parent.parent / "models"
"""Trained weights that ship with the package, one folder each."""

OFFICIAL_RES = 504
"""Longest side in px of the pictures that the published weights were trained for."""

LARGEST_RES = 4032
"""Longest side in px of pictures in the node's network and in engines: beyond it one of them fills
the memory of robots and most other machines."""

LARGEST_WINDOW = 64
"""Pictures that any network sees together."""

LARGEST_CONFIG = 1_000_000
"""Bytes of a config.json; official ones have some hundred."""


class CheckpointError(RuntimeError):
    """Weights that are missing, unreadable or do not fit; the message says which and why."""


@dataclass(frozen=True)
class PictureSize:
    """Longest side in px of the pictures that weights were trained for, and the sides (least,
    greatest) between which they are good; None where nobody has measured that."""

    process_res: int = OFFICIAL_RES
    good_between: tuple[int, int] | None = None


def find_local_folder(name: str) -> Path | None:
    """The checkpoint folder that is on this machine under that name; None where there is none."""
    if name.lower() in PRESETS and (MODELS_FOLDER / name.lower() / WEIGHTS).is_file():
        return MODELS_FOLDER / name.lower()
    return Path(name) if os.path.isdir(name) else None


def known_preset(name: str) -> Preset | None:
    """The preset of a name, as far as this machine knows it without reading weights.

    name: as in `load_network`. Raises `CheckpointError`.
    """
    if folder := find_local_folder(name):
        path = folder / CONFIG
        named = read_config(path).get("model_name") if path.exists() else None
        return preset_named(named, path) if named else None
    repositories = {p.repository.lower(): p for p in PRESETS.values() if p.repository}
    return (repositories | PRESETS).get(name.lower().removesuffix("-1.1"))


def trained_size(name: str | Path) -> PictureSize:
    """The size of a checkpoint on this machine, by its config.json; official for all others.

    name: as in `load_network`. Raises `CheckpointError`.
    """
    folder = find_local_folder(str(name))
    path = folder and folder / CONFIG
    config = read_config(path) if path and path.exists() else {}
    size, between = config.get("process_res", OFFICIAL_RES), config.get("process_res_range")
    bounds = between if isinstance(between, list) else [between or size] * 2
    numbers = [size, *bounds]
    if (
        len(numbers) != 3
        or any(type(n) is not int for n in numbers)
        or not (PATCH <= numbers[1] <= size <= numbers[2] <= LARGEST_RES)
    ):
        raise CheckpointError(
            f"{path} has process_res {plain(repr(size))} and process_res_range "
            f"{plain(repr(between))}, must be a size in px, {PATCH} to {LARGEST_RES}, and the "
            "least and greatest around it"
        )
    return PictureSize(size, between and tuple(between))


def read_config(path: Path) -> dict:
    """The JSON object of the file. Raises `CheckpointError`, at once, whatever the file is."""
    # Looked at first: a fifo would be waited for, a device has no end.
    if not os.path.isfile(path):
        raise CheckpointError(f"{path} cannot be read: there is no such file")
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it is larger than {LARGEST_CONFIG} bytes")
        config = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a JSON object, but {plain(repr(config))}")
    return config


def preset_named(name: object, path: Path) -> Preset:
    """The preset of that name. path: of the file that names it.

    Raises `CheckpointError` for a name that is not a preset, or not text.
    """
    if not isinstance(name, str):
        raise CheckpointError(f"{path}: model_name is {plain(repr(name))}, must be text")
    try:
        return find_preset(name)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
