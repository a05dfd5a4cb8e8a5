"""What an engine's folder says of itself: engine.json, beside its graphs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from da3_ros.net.engine.precisions import ENGINE_PRECISIONS
from da3_ros.net.model_folder import LARGEST_RES, CheckpointError, preset_named, read_config
from da3_ros.net.plain_text import plain
from da3_ros.net.presets import PATCH, find_preset

MANIFEST = "engine.json"
ENCODE, AGGREGATE, DECODE = "encode.onnx", "aggregate.onnx", "decode.onnx"
EXPECTED = "expected.safetensors"
"""What torch says of the built-in window."""

METRIC_FOLDER = "metric"
"""Of the nested model's metric branch, an engine of its own in the engine's folder."""

FORMAT = 1


class EngineError(CheckpointError):
    """An engine that is missing, damaged, of another size, or off; one sentence."""


@dataclass(frozen=True)
class Manifest:
    """views: of every window. height, width: px, of its pictures. process_res: px, the longer
    side that makes pictures of `image_size` (width, height) that large. license: of the weights.
    weights_sha256: of the tensors the graphs were made of. files: name -> sha256.
    """

    preset: str
    source: str
    license: str
    random: bool
    weights_sha256: str
    precision: str
    views: int
    height: int
    width: int
    process_res: int
    image_size: tuple[int, int]
    opset: int
    torch: str
    files: dict[str, str]
    format: int = FORMAT

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) px of the pictures."""
        return self.height, self.width

    def write(self, folder: Path) -> None:
        """Into the folder of the graphs."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        (folder / MANIFEST).write_text(text + "\n")


def is_engine(folder: Path) -> bool:
    """Whether `da3 export-onnx` has made this folder."""
    return os.path.isfile(folder / MANIFEST)  # whatever the name: false where it cannot be one


def read_manifest(folder: Path) -> Manifest:
    """The manifest, its files looked at. Raises `EngineError`."""
    path = folder / MANIFEST
    if not is_engine(folder):
        raise EngineError(
            f"'{plain(str(folder))}' is not the folder of an engine (it has no {MANIFEST}); make "
            "one with: da3 export-onnx --model MODEL --out FOLDER"
        )
    try:
        values = read_config(path)
        manifest = _checked(values, path)
        _check_sound(manifest, folder)
    except CheckpointError as error:
        raise EngineError(str(error)) from error
    for name, expected in manifest.files.items():
        if not (folder / name).is_file() or file_hash(folder / name) != expected:
            raise EngineError(
                f"{folder / name} is not the file that {MANIFEST} names: export again"
            )
    return manifest


def _checked(values: dict, path: Path) -> Manifest:
    if values.get("format") != FORMAT:
        raise EngineError(
            f"{path} has format {values.get('format')!r}, must be {FORMAT}: export the engine "
            "again with this version"
        )
    kinds = {f.name: f.type.split("[")[0] for f in dataclasses.fields(Manifest)}
    for name, kind in kinds.items():
        given = type(values.get(name)).__name__.replace("list", "tuple")
        if given != kind:
            raise EngineError(f"{path}: {name} is {plain(repr(values.get(name)))}, must be {kind}")
    preset_named(values["preset"], path)
    known = {name: values[name] for name in kinds}
    return Manifest(**known | {"image_size": tuple(values["image_size"])})


def _check_sound(manifest: Manifest, folder: Path) -> None:
    """Its numbers can be, and it vouches for the files that are read.

    Those are then regular files: a fifo would be waited for.
    """
    needed = {ENCODE, DECODE} if folder.name == METRIC_FOLDER else {ENCODE, DECODE, EXPECTED}
    needed |= {AGGREGATE} if find_preset(manifest.preset).any_view else set()
    sizes = (*manifest.size, manifest.process_res)
    wrong = {
        "files": not needed <= manifest.files.keys(),
        "size": not all(PATCH <= side <= LARGEST_RES for side in sizes),
        "views": manifest.views < 1,
        "precision": manifest.precision not in ENGINE_PRECISIONS,
        "source": plain(manifest.source, len(manifest.source)) != manifest.source,
        "license": plain(manifest.license) != manifest.license,
    }
    if named := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise EngineError(f"{folder}: what engine.json says of {', '.join(named)} is impossible")


def file_hash(path: Path) -> str:
    """sha256 of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
