"""A network becomes a folder of ONNX graphs, checked against torch before it is there."""

from __future__ import annotations

import copy
import hashlib
import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from da3_ros.net.engine.check import BuiltInWindow, answers, errors_of, refuse_if_off
from da3_ros.net.engine.engine import LEVELS, open_engine
from da3_ros.net.engine.graphs import AggregateGraph, DecodeGraph, EncodeGraph
from da3_ros.net.engine.manifest import (
    AGGREGATE,
    DECODE,
    ENCODE,
    EXPECTED,
    METRIC_FOLDER,
    EngineError,
    Manifest,
    file_hash,
)
from da3_ros.net.engine.precisions import ENGINE_PRECISIONS
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.net.precision import lower

OPSET = 20
"""TensorRT 10 and ONNX Runtime 1.17 take it."""

OLDEST_TORCH = (2, 6)
"""Whose exporter makes such graphs."""


@dataclass(frozen=True)
class EngineSize:
    """views: of a window. size: (height, width) px of the network's pictures, which are made of
    camera images of `image_size` (width, height) at `process_res`."""

    views: int
    size: tuple[int, int]
    process_res: int
    image_size: tuple[int, int]


def export_engine(
    network: Network | NestedNetwork,
    folder: Path,
    wanted: EngineSize,
    precision: str = "fp32",
    progress: Callable[[str], None] = lambda what: None,
) -> dict[str, float]:
    """Write the engine of a network in fp32 on the CPU; returns its errors against torch.

    progress: told what is being done. Nothing is left in `folder` when it fails; a folder that
    is there is refused. Raises `EngineError`.
    """
    _import_exporter()
    if folder.exists():
        raise EngineError(f"'{folder}' is there already: give --out a new folder, or remove it")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        window = BuiltInWindow.of(wanted.views, wanted.size, torch.device("cpu"))
        progress("asking torch")
        expected = answers(network, window)
        _write_network(network, partial, wanted, precision, expected, progress)
        progress("comparing with torch")
        found = errors_of(open_engine(partial, "cpu", torch.device("cpu")), partial)
        refuse_if_off(found, precision, "cpu")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return found


def _import_exporter() -> None:
    if tuple(int(n) for n in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        raise EngineError(
            f"engines are exported with torch {'.'.join(map(str, OLDEST_TORCH))} or newer, this is "
            f"{torch.__version__}: export on another machine, the engine runs here all the same"
        )
    try:
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError as error:
        raise EngineError(
            "engines are exported with onnxscript, which is not installed: "
            "pip install onnx onnxruntime onnxscript"
        ) from error


def _write_network(network, folder, wanted, precision, expected, progress) -> None:
    """The graphs, the manifest; of the nested model two engines, one inside the other."""
    branch = network
    if isinstance(network, NestedNetwork):
        branch = network.da3
        metric = folder / METRIC_FOLDER
        metric.mkdir()
        progress("the metric branch")
        _write_branch(network.da3_metric, metric, wanted, precision, network.weights, {}, progress)
    _write_branch(branch, folder, wanted, precision, network.weights, expected, progress)


def _write_branch(network, folder, wanted, precision, weights, expected, progress) -> None:
    digest = weights_hash(network)
    lowered = _as_exported(network, ENGINE_PRECISIONS[precision].dtype)
    for name, module, inputs in _graphs(lowered, wanted):
        progress(name)
        _write_graph(module, inputs, folder / name)
    if expected:
        save_file({k: x.contiguous() for k, x in expected.items()}, folder / EXPECTED)
    files = {p.name: file_hash(p) for p in sorted(folder.iterdir()) if p.is_file()}
    height, width = wanted.size
    Manifest(
        preset=network.preset.name,
        source=weights.source,
        license=network.preset.license,
        random=weights.random,
        weights_sha256=digest,
        precision=precision,
        views=wanted.views,
        height=height,
        width=width,
        process_res=wanted.process_res,
        image_size=wanted.image_size,
        opset=OPSET,
        torch=torch.__version__,
        files=files,
    ).write(folder)


def _graphs(network: Network, wanted: EngineSize):
    """Name, module and inputs of each stage; every one feeds the next."""
    window = BuiltInWindow.of(wanted.views, wanted.size, torch.device("cpu"))
    encode = EncodeGraph(network, wanted.size)
    image = window.images[:, 0]
    with torch.no_grad():
        found = encode(image)
    yield ENCODE, encode, (image,)
    if network.preset.any_view:
        tokens = torch.stack([found[0]] * wanted.views, dim=1)
        cameras = window.cameras
        aggregate = AggregateGraph(network, wanted.views, wanted.size)
        inputs = (tokens, cameras.T_cam_ref, cameras.K, torch.ones(1))
        with torch.no_grad():
            found = [x[:, 0].clone() for x in aggregate(*inputs)[:LEVELS]]
        yield AGGREGATE, aggregate, inputs
    yield DECODE, DecodeGraph(network, wanted.size), tuple(found)


def _write_graph(module: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(), inputs, dynamo=True, opset_version=OPSET, verbose=False
            )
            program.save(path)
    finally:
        log.setLevel(level)


def _as_exported(network: Network, dtype: torch.dtype) -> Network:
    """A copy in that type, for whose graph every change of type is written out."""
    found = copy.deepcopy(network)
    if dtype == torch.float32:
        return found
    lower(found, dtype)
    for module in found.modules():
        if isinstance(module, nn.LayerNorm):
            module.__class__ = _ExactNorm
    return found


class _ExactNorm(nn.LayerNorm):
    """Normalises in fp32 and gives back the type that came in, as torch's kernels do inside."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


def weights_hash(network: nn.Module) -> str:
    """sha256 of all tensors, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
