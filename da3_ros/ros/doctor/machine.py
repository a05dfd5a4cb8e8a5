"""Checks of the machine: GPU, weights, transport of large messages."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from da3_ros.core.config import Config
from da3_ros.core.load_model import ModelError, find_device
from da3_ros.net.attention import has_bf16_products, has_bf16_tiles, kernel
from da3_ros.net.engine.manifest import EngineError, is_engine, read_manifest
from da3_ros.net.model_folder import CONFIG, MODELS_FOLDER, WEIGHTS, find_local_folder
from da3_ros.net.presets import PRESETS, find_preset
from da3_ros.ros.doctor.findings import Finding, error, ok, warn
from da3_ros.ros.transport import (
    LEAST_SHARED_MEMORY,
    SHARED_MEMORY,
    USERS_CHOICE,
    find_profile,
    free_shared_memory,
)


def check_machine(config: Config) -> list[Finding]:
    """All checks of this file."""
    return [check_device(config), check_model(config), check_transport()]


def check_device(config: Config) -> Finding:
    """The device of the parameters is there, and fast."""
    try:
        device = find_device(config.model.device)
    except ModelError as problem:
        return error("device", str(problem), "set model.device: auto, or install torch with CUDA")
    if device.type == "cpu":
        what = f"no GPU is used; the CPU has {os.cpu_count()} cores"
        fix = (
            "the official models at full size take a second or more per window: lower "
            "model.process_res or window.size, or use a GPU; da3-demo is fast enough"
        )
        if has_bf16_products() and not has_bf16_tiles() and kernel() is None:
            what += "; da3_ros was built without its own attention for them"
            fix = f"build it with g++ 10 or newer; {fix}"
        return warn("device", what, fix)
    name, memory = torch.cuda.get_device_name(device), torch.cuda.mem_get_info(device)
    return ok("device", f"{name}, {memory[0] >> 20} of {memory[1] >> 20} MB free")


def check_model(config: Config) -> Finding:
    """The weights of the parameters, or their engine, are on this machine."""
    name = config.model.name
    folder = find_local_folder(name)
    if folder is None:
        return _check_repository(name) if "/" in name else _check_preset(name)
    if config.model.backend == "onnxruntime" or is_engine(folder):
        return _check_engine(folder, config.model.backend)
    if folder.parent == MODELS_FOLDER:
        return ok("model", f"{name}, ships with da3_ros")
    lacking = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
    if lacking:
        what = f"folder {name} has no {' and no '.join(lacking)}"
        return error("model", what, "copy both files of the checkpoint into it")
    return ok("model", f"folder {name}")


def _check_engine(folder: Path, backend: str) -> Finding:
    if backend == "torch":
        return error("model", f"folder {folder} is an engine", "set model.backend: onnxruntime")
    try:
        made = read_manifest(folder)
    except EngineError as problem:
        return error("model", str(problem), "for a checkpoint leave out model.backend")
    what = f"engine {folder} of {made.source}: {made.views} views, {made.width}x{made.height} px"
    return ok("model", what)


def _check_preset(name: str) -> Finding:
    try:
        find_preset(name)
    except ValueError:
        what = f"{name} is not a folder, preset or repository"
        return error("model", what, f"use one of {', '.join(PRESETS)}, a folder, or owner/name")
    what = f"{name} is a preset with random weights: its depth means nothing"
    return warn("model", what, "name a repository or a checkpoint folder in model.name")


def _check_repository(name: str) -> Finding:
    try:
        cached = try_to_load_from_cache(name, WEIGHTS)
    except HFValidationError:  # a path, or more slashes than a repository has
        return _check_preset(name)
    if isinstance(cached, str):
        return ok("model", f"{name}, in the cache of the Hugging Face hub")
    what = f"{name} is not on this machine and would be downloaded when the node starts"
    fix = f"hf download {name}, while there is a network; to try things out: model.name da3-demo"
    return warn("model", what, fix)


def check_transport() -> Finding:
    """Images and clouds fit through the shared memory of Fast DDS."""
    chosen = [name for name in USERS_CHOICE if os.environ.get(name)]
    if chosen:
        return ok("transport", f"chosen by {chosen[0]}")
    free = free_shared_memory()
    if free < LEAST_SHARED_MEMORY:
        what = f"{SHARED_MEMORY} has {free >> 20} MB free: messages over 512 kB will be lost"
        return error("transport", what, "give the container more: docker run --shm-size=1g")
    try:
        profile = find_profile()
    except FileNotFoundError as problem:
        return error("transport", str(problem), "pip install --force-reinstall da3_ros")
    return ok("transport", f"{profile.name}, {free >> 20} MB of shared memory free")
