"""Networks from official checkpoints: config.json + model.safetensors, loaded strictly."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from da3_ros.net import eight_bit
from da3_ros.net.hub import HubError, download
from da3_ros.net.model_folder import (
    CONFIG,
    WEIGHTS,
    CheckpointError,
    PictureSize,
    find_local_folder,
    preset_named,
    read_config,
    trained_size,
)
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.net.plain_text import first_line, plain
from da3_ros.net.presets import APACHE, PRESETS, Preset, find_preset
from da3_ros.net.weights_file import find_weights

LONGEST_NAME = 1000
"""Characters of a model's name; systems end at about 4096 of a path, 255 of a file."""

DTYPES = ("F64", "F32", "F16", "BF16")
"""Types of weights that are read, as safetensors calls them; all become fp32. And I8, where the
file has scales for it (`eight_bit`)."""

_SHARED_NORM = re.compile(r"scratch\.output_conv2_aux\.[123]\.2\.(weight|bias)$")
"""Names of the one normalisation that the ray levels share; files store it as level 0."""

_EXACT = re.compile(r"(^|\.)cam_(enc|dec)\.")
"""Names of weights that are not stored in 8 bits: metres rest on the cameras, and changed by 1.5 %
with these rounded, by 0.3 % without."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """Where a network's weights came from. random: never trained, output means nothing."""

    source: str
    license: str
    random: bool
    size: PictureSize = PictureSize()


def load_network(name: str, device: str | torch.device = "cpu") -> Network | NestedNetwork:
    """A network ready for inference, in fp32, with `.preset` and `.weights` (`Weights`).

    Nothing is read from its file later: that may be replaced, cut or removed.

    name: a preset (random weights, seeded), `da3-demo` (ships with the package), a folder
    with config.json and model.safetensors, or a Hugging Face repository ("owner/name").
    Raises `CheckpointError`, and `ValueError` for a word that is no preset.
    """
    name = str(name)
    folder = find_folder(name)
    if folder is None:
        network = random_network(find_preset(name))
    else:
        network = load_checkpoint(folder, source=name)
    return network.to(device)


def random_network(preset: Preset, seed: int = 0) -> Network | NestedNetwork:
    """A network with seeded random weights: right shapes, meaningless output."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _build(preset)
    network.weights = Weights(f"{preset.name} (random weights)", APACHE, random=True)
    return network.eval().requires_grad_(False)


def load_checkpoint(
    folder: str | Path, *, preset: Preset | None = None, source: str | None = None
) -> Network | NestedNetwork:
    """A network from a local checkpoint folder; `preset` overrides what config.json names."""
    folder = Path(folder)
    tensors = _read_tensors(folder)
    preset = preset or _preset_of(folder, tensors)
    size = trained_size(folder)
    network = network_from(tensors, preset, folder / WEIGHTS)
    network.weights = Weights(source or str(folder), preset.license, random=False, size=size)
    warn_of_license(preset.name, preset.license)
    return network


def warn_of_license(name: str, license: str) -> None:
    """Log it where weights are not for commercial use. name: of their preset."""
    if license != APACHE:
        _log.warning("%s is licensed %s: not for commercial use", name, license)


def network_from(
    tensors: dict[str, Tensor], preset: Preset, path: str | Path
) -> Network | NestedNetwork:
    """A network that holds these very tensors, by their official names; path: they came from."""
    with torch.device("meta"):
        network = _build(preset)
    _load_strictly(network, tensors, path)
    return network.eval().requires_grad_(False)


def save_checkpoint(
    network: Network | NestedNetwork,
    folder: str | Path,
    dtype: torch.dtype = torch.float32,
    size: PictureSize = PictureSize(),
) -> None:
    """Write config.json and model.safetensors in the official layout, and the size in ours.

    dtype: of all weights; `torch.int8` is `eight_bit`, with the cameras, on which metres rest,
    and all that is not a matrix in fp16.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if not _SHARED_NORM.search(name):
            tensors |= _stored(name, value.detach().cpu(), dtype)
    save_file(tensors, folder / WEIGHTS)
    config = {"model_name": network.preset.name}
    if size != PictureSize():
        config |= {"process_res": size.process_res, "process_res_range": size.good_between}
    (folder / CONFIG).write_text(json.dumps(config) + "\n")


def _stored(name: str, value: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """What a file holds of one weight."""
    key = _official(name)
    if dtype != torch.int8:
        return {key: value.to(dtype).contiguous()}
    if _EXACT.search(name) or not eight_bit.is_worth_it(value):
        return {key: value.half().contiguous()}
    counts, scale = eight_bit.to_eight_bit(value)
    return {key: counts.contiguous(), key + eight_bit.SCALE: scale}


def _build(preset: Preset) -> Network | NestedNetwork:
    return NestedNetwork(preset) if preset.metric_branch else Network(preset)


def find_folder(name: str) -> Path | None:
    """The checkpoint folder of a name, downloaded if need be; None for a preset that has random
    weights. Raises `CheckpointError`."""
    _check_name(name)
    if folder := find_local_folder(name):
        return folder
    if Path(name).suffix in (".pt", ".pth", ".bin", ".ckpt", ".pkl"):
        raise CheckpointError(
            f"{name} is a pickle, which can run code when opened; give a folder with "
            f"{CONFIG} and {WEIGHTS}"
        )
    if name.startswith(("/", ".", "~")):
        raise CheckpointError(f"'{plain(name)}' is not a folder")
    if "/" not in name:
        return None
    try:
        return download(name, (CONFIG, WEIGHTS))
    except HubError as error:
        raise CheckpointError(
            f"could not get '{plain(name)}' from the Hugging Face hub ({error}); give a local "
            f"folder with {CONFIG} and {WEIGHTS}, or use the built-in model da3-demo "
            "(model:=da3-demo, -p model.name:=da3-demo, --model da3-demo)"
        ) from error


def _check_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise CheckpointError(
            f"the model's name is {plain(repr(name))}, must be a preset, a folder or a Hugging "
            f"Face repository in 1 to {LONGEST_NAME} printable characters"
        )


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    path = find_weights(folder)
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            scaled = {n for n in names if n + eight_bit.SCALE in names}
            scales = {n: file.get_tensor(n + eight_bit.SCALE) for n in scaled}
            weights = sorted(names - {n + eight_bit.SCALE for n in scaled})
            return {n: _read_tensor(file, n, path, scales.get(n)) for n in weights}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {first_line(error)}") from error


def _read_tensor(file, name: str, path: Path, scale: Tensor | None) -> Tensor:
    """One tensor as fp32, copied: the file's memory may change or go away under a mapped one."""
    dtype = file.get_slice(name).get_dtype()
    if dtype not in (DTYPES if scale is None else ("I8",)):
        raise CheckpointError(
            f"{path}: {plain(name)} is of type {dtype}; weights are {', '.join(DTYPES)}, or I8, "
            "and only that, with scales"
        )
    value = file.get_tensor(name).to(torch.float32, copy=True)
    if scale is not None:
        try:
            value = eight_bit.from_eight_bit(value, scale)
        except ValueError as error:
            raise CheckpointError(f"{path}: {plain(name)} has {error}") from error
    # The sum is quick and finite in a sound file; only else is every value looked at.
    if not value.sum().isfinite() and not value.isfinite().all():
        raise CheckpointError(
            f"{path}: {plain(name)} holds NaN or infinity; the file is damaged, get it again"
        )
    return value


def _preset_of(folder: Path, tensors: dict[str, Tensor]) -> Preset:
    """By the name in config.json, or by the shapes where it names none."""
    config = read_config(folder / CONFIG)
    if "model_name" not in config:
        return _preset_by_shape(folder, tensors)
    return preset_named(config["model_name"], folder / CONFIG)


def _preset_by_shape(folder: Path, tensors: dict[str, Tensor]) -> Preset:
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    fitting = []
    for preset in PRESETS.values():
        with torch.device("meta"):
            expected = _build(preset).state_dict()
        names = {
            _official(n): tuple(t.shape) for n, t in expected.items() if not _SHARED_NORM.search(n)
        }
        if shapes == names:
            fitting.append(preset)
    if len(fitting) != 1:
        raise CheckpointError(
            f'{folder / CONFIG} has no "model_name" and the tensors fit '
            f"{' and '.join(p.name for p in fitting) or 'no preset'}; add the model_name"
        )
    return fitting[0]


def _official(name: str) -> str:
    """Our parameter name as published checkpoints write it."""
    return "model." + re.sub(r"^((?:da3|da3_metric)\.)?backbone\.", r"\1backbone.pretrained.", name)


def _load_strictly(network: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Assign every tensor; a name or shape that does not fit is an error that lists them."""
    names = {_official(name): name for name in network.state_dict()}
    required = {key for key, name in names.items() if not _SHARED_NORM.search(name)}
    wrong = [f"missing {key}" for key in sorted(required - set(tensors))]
    wrong += [f"unexpected {plain(key)}" for key in sorted(set(tensors) - set(names))]
    state = {}
    for key, name in names.items():
        stored = key if key in tensors else re.sub(r"(conv2_aux\.)[123]", r"\g<1>0", key)
        value, expected = tensors.get(stored), network.get_parameter(name)
        if value is not None and value.shape != expected.shape:
            wrong.append(f"{key} is {tuple(value.shape)}, must be {tuple(expected.shape)}")
        state[name] = value
    if wrong:
        shown = "; ".join(wrong[:20]) + (f"; and {len(wrong) - 20} more" if len(wrong) > 20 else "")
        raise CheckpointError(f"{path} does not fit {network.preset.name}: {shown}")
    network.load_state_dict(state, assign=True)
