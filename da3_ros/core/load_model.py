"""The network on its device, warm: what "configure" takes its time for."""

from __future__ import annotations

import gc
import logging
import os
from pathlib import Path

import torch

from da3_ros.core.config import Config
from da3_ros.core.load_engine import load_engine
from da3_ros.core.process_res import process_res
from da3_ros.core.warm_up import warm_up
from da3_ros.net.checkpoint import load_network
from da3_ros.net.cuda_graphs import GraphedNetwork, RecordingError
from da3_ros.net.engine.engine import Engine
from da3_ros.net.model_folder import CheckpointError, known_preset
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.net.out_of_memory import is_out_of_memory
from da3_ros.net.precision import compile_stages, pack_weights, set_precision
from da3_ros.net.presets import PATCH, Preset
from da3_ros.net.weights_file import check_no_engine

_log = logging.getLogger(__name__)


class ModelError(RuntimeError):
    """The network cannot be had as the parameters say; one sentence."""


def load_model(config: Config) -> Network | NestedNetwork | Engine:
    """Load, place and warm up the network, or its engine. Raises `ModelError`."""
    try:
        return _load(config)
    except RecordingError as error:
        raise ModelError(str(error)) from error
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"model.name is '{config.model.name}': it does not fit into the memory of the device, "
            "not even with a small window; take a smaller model, or free memory"
        ) from error


def _load(config: Config) -> Network | NestedNetwork | Engine:
    device, name = find_device(config.model.device), config.model.name
    if config.model.cuda_graphs and device.type != "cuda":
        raise ModelError(
            f"model.cuda_graphs is true, which is for CUDA devices, and the device is {device}: "
            "leave it out"
        )
    if name.startswith(("/", ".", "~")) and not os.path.isdir(name):
        raise ModelError(f"model.name is '{name}': there is no such folder")
    is_for_runtime = config.model.backend == "onnxruntime"
    try:
        network = load_engine(config, device) if is_for_runtime else _load_torch(config, device)
    except (CheckpointError, ValueError) as error:
        raise ModelError(f"model.name is '{name}': {error}") from error
    _check_views(config, network.preset)
    return network if is_for_runtime else _made_ready(network, config)


def _load_torch(config: Config, device: torch.device) -> Network | NestedNetwork:
    name = config.model.name
    check_no_engine(Path(name))
    if preset := known_preset(name):  # before the hub and the weights
        _check_views(config, preset)
    return load_network(name, device)


def _made_ready(network: Network | NestedNetwork, config: Config):
    """In its precision, looked at, compiled or recorded, warm."""
    set_precision(network, config.model.precision)
    _check_output(network, config.model.name)
    if config.model.compile:
        compile_stages(network)
    else:
        pack_weights(network)
    if config.model.cuda_graphs:
        network = GraphedNetwork(network)
    _warm_up(network, config)
    return network


def find_device(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda[:n]` to a device that is there. Raises `ModelError`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"model.device is '{name}', must be auto, cpu, cuda or cuda:N") from error
    # Torch knows more by name than it was built for, and than the node has been run on.
    there = {
        "cpu": lambda: True,
        "cuda": lambda: True,
        "mps": torch.backends.mps.is_available,
        "xpu": torch.xpu.is_available,
    }
    if device.type not in there:
        raise ModelError(f"model.device is '{name}', must be auto, cpu, cuda or cuda:N")
    if not there[device.type]():
        raise ModelError(f"model.device is '{name}', but torch sees no {device.type} device here")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ModelError(f"model.device is '{name}', but torch sees {count} CUDA devices")
    return device


def free_memory() -> None:
    """Give what a dropped network held back to the device."""
    gc.collect()
    torch.cuda.empty_cache()


def _check_views(config: Config, preset: Preset) -> None:
    """With poses depth is in metres or unknown: refuse what would stay unknown for ever."""
    if config.pose.source == "none" or preset.metric:
        return
    another = "take a metric model (depth-anything/DA3METRIC-LARGE), or set pose.source to none"
    source = config.scale.source
    if source == "cameras" and not preset.any_view:
        raise ModelError(
            f"{preset.name} sees no poses, so that scale.source 'cameras' says nothing about its "
            f"unit: set scale.source to auto, {another}"
        )
    if source != "anchors" and config.window.size * len(config.input.cameras) < 2:
        raise ModelError(
            f"window.size is 1, and metres of {preset.name} come from several views of one window: "
            f"set window.size to 2 or more, or scale.source to anchors; {another}"
        )


def _check_output(network: Network | NestedNetwork, name: str) -> None:
    """Weights can be finite one by one and worthless together: look at a small grey picture."""
    nested = isinstance(network, NestedNetwork)
    device = next(network.parameters()).device
    picture = torch.zeros(1, 1, 3, 4 * PATCH, 4 * PATCH, device=device)
    for branch in (network.da3, network.da3_metric) if nested else (network,):
        with torch.inference_mode():
            depth = branch(picture).depth
        if not depth.isfinite().all():
            raise ModelError(
                f"model.name is '{name}': its depth of a grey picture is NaN or infinite; the "
                "weights are damaged, get them again"
            )


def _warm_up(network: Network | NestedNetwork, config: Config) -> None:
    """What does not fit into memory is said here, not on the way."""
    compiled = ", compiled: this takes minutes" if config.model.compile else ""
    views = config.window.size * len(config.input.cameras)
    side = process_res(config, network)
    _log.info("warming up with a window of %d views, %d px%s", views, side, compiled)
    if limit := warm_up(network, config).limit:
        _log.warning("%s", limit)
