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

from da3_ros.net.hub import HubError, download
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.net.presets import APACHE, PATCH, PRESETS, Preset, find_preset

CONFIG, WEIGHTS = "config.json", "model.safetensors"

MODELS = Path(__file__).parent.parent / "models"
"""Trained weights that ship with the package, one folder each."""

_SHARED_NORM = re.compile(r"scratch\.output_conv2_aux\.[123]\.2\.(weight|bias)$")
"""Names of the one normalisation that the ray levels share; files store it as level 0."""

OFFICIAL_RES = 504
"""Longest side in px of the pictures that the published weights were trained for."""

_log = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """Weights that are missing, unreadable or do not fit; the message says which and why."""


@dataclass(frozen=True)
class PictureSize:
    """Longest side in px of the pictures that weights were trained for, and the sides (least,
    greatest) between which they are good; None where nobody has measured that."""

    process_res: int = OFFICIAL_RES
    good_between: tuple[int, int] | None = None


@dataclass(frozen=True)
class Weights:
    """Where a network's weights came from. random: never trained, output means nothing."""

    source: str
    license: str
    random: bool
    size: PictureSize = PictureSize()


def load_network(name: str, device: str | torch.device = "cpu") -> Network | NestedNetwork:
    """A network ready for inference, in fp32, with `.preset` and `.weights` (`Weights`).

    name: a preset (random weights, seeded), `da3-demo` (ships with the package), a folder
    with config.json and model.safetensors, or a Hugging Face repository ("owner/name").
    Raises `CheckpointError`.
    """
    folder = _find_folder(name)
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
    size = picture_size(folder)
    with torch.device("meta"):
        network = _build(preset)
    _load_strictly(network, tensors, folder)
    network.weights = Weights(source or str(folder), preset.license, random=False, size=size)
    if preset.license != APACHE:
        _log.warning("%s is licensed %s: not for commercial use", preset.name, preset.license)
    return network.eval().requires_grad_(False)


def known_preset(name: str) -> Preset | None:
    """The preset of a name, as far as this machine knows it without reading weights.

    name: as in `load_network`. Raises `CheckpointError`.
    """
    if folder := find_local_folder(name):
        path = folder / CONFIG
        named = _read_config(folder).get("model_name") if path.is_file() else None
        return _preset_named(str(named), path) if named else None
    repositories = {p.repository.lower(): p for p in PRESETS.values() if p.repository}
    return (repositories | PRESETS).get(name.lower().removesuffix("-1.1"))


def picture_size(name: str | Path) -> PictureSize:
    """The size of a checkpoint on this machine, by its config.json; official for all others.

    name: as in `load_network`. Raises `CheckpointError`.
    """
    folder = find_local_folder(str(name))
    config = _read_config(folder) if folder and (folder / CONFIG).is_file() else {}
    size, between = config.get("process_res", OFFICIAL_RES), config.get("process_res_range")
    numbers = [size, *([size, size] if between is None else between)]
    if len(numbers) != 3 or any(type(n) is not int for n in numbers) or not (
        PATCH <= numbers[1] <= size <= numbers[2]
    ):
        raise CheckpointError(
            f"{folder / CONFIG} has process_res {size!r} and process_res_range {between!r}, must "
            f"be a size in px, at least {PATCH}, and the least and greatest around it"
        )
    return PictureSize(size, between and tuple(between))


def save_checkpoint(
    network: Network | NestedNetwork,
    folder: str | Path,
    dtype: torch.dtype = torch.float32,
    size: PictureSize = PictureSize(),
) -> None:
    """Write config.json and model.safetensors in the official layout, and the size in ours."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        _official(name): value.detach().to("cpu", dtype).contiguous()
        for name, value in network.state_dict().items()
        if not _SHARED_NORM.search(name)
    }
    save_file(tensors, folder / WEIGHTS)
    config = {"model_name": network.preset.name}
    if size != PictureSize():
        config |= {"process_res": size.process_res, "process_res_range": size.good_between}
    (folder / CONFIG).write_text(json.dumps(config) + "\n")


def _build(preset: Preset) -> Network | NestedNetwork:
    return NestedNetwork(preset) if preset.metric_branch else Network(preset)


def find_local_folder(name: str) -> Path | None:
    """The checkpoint folder that is on this machine under that name; None where there is none."""
    if (MODELS / name / WEIGHTS).is_file():
        return MODELS / name
    return Path(name) if Path(name).is_dir() else None


def _find_folder(name: str) -> Path | None:
    """The checkpoint folder of a name; None for a preset that has random weights."""
    if folder := find_local_folder(name):
        return folder
    if Path(name).suffix in (".pt", ".pth", ".bin", ".ckpt", ".pkl"):
        raise CheckpointError(
            f"{name} is a pickle, which can run code when opened; give a folder with "
            f"{CONFIG} and {WEIGHTS}"
        )
    if "/" not in name:
        return None
    try:
        return download(name, (CONFIG, WEIGHTS))
    except HubError as error:
        raise CheckpointError(
            f"could not get '{name}' from the Hugging Face hub ({error}); give a local folder with "
            f"{CONFIG} and {WEIGHTS}, or use the built-in model da3-demo (model:=da3-demo, "
            "-p model.name:=da3-demo, --model da3-demo)"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}; only safetensors checkpoints are loaded")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name).float() for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {_first_line(error)}") from error


def _preset_of(folder: Path, tensors: dict[str, Tensor]) -> Preset:
    """By the name in config.json, or by the shapes where it names none."""
    config = _read_config(folder)
    if "model_name" not in config:
        return _preset_by_shape(folder, tensors)
    return _preset_named(str(config["model_name"]), folder / CONFIG)


def _preset_named(name: str, path: Path) -> Preset:
    """path: of the file that names it."""
    try:
        return find_preset(name)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read_config(folder: Path) -> dict:
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} cannot be read: {_first_line(error)}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{folder / CONFIG} holds no JSON object")
    return config


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


def _load_strictly(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Assign every tensor; a name or shape that does not fit is an error that lists them."""
    names = {_official(name): name for name in network.state_dict()}
    required = {key for key, name in names.items() if not _SHARED_NORM.search(name)}
    wrong = [f"missing {key}" for key in sorted(required - set(tensors))]
    wrong += [f"unexpected {key}" for key in sorted(set(tensors) - set(names))]
    state = {}
    for key, name in names.items():
        stored = key if key in tensors else re.sub(r"(conv2_aux\.)[123]", r"\g<1>0", key)
        value, expected = tensors.get(stored), network.get_parameter(name)
        if value is not None and value.shape != expected.shape:
            wrong.append(f"{key} is {tuple(value.shape)}, must be {tuple(expected.shape)}")
        state[name] = value
    if wrong:
        shown = "; ".join(wrong[:20]) + (f"; and {len(wrong) - 20} more" if len(wrong) > 20 else "")
        raise CheckpointError(f"{folder / WEIGHTS} does not fit {network.preset.name}: {shown}")
    network.load_state_dict(state, assign=True)
