"""One graph in ONNX Runtime: torch tensors in and out, on the processor, a GPU, or both."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from torch import Tensor

from da3_ros.net.engine.manifest import EngineError
from da3_ros.net.plain_text import first_line

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""Our names of ONNX Runtime's execution providers."""

ON_GPU = ("cuda", "tensorrt")

TENSORRT_CACHE = "tensorrt"
"""Folder in the engine's: TensorRT takes minutes to build what it then finds there."""


def import_runtime():
    """The module onnxruntime. Raises `EngineError`."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            "engines run in ONNX Runtime, which is not installed: pip install onnxruntime "
            "(for a GPU: pip install onnxruntime-gpu)"
        ) from error
    return onnxruntime


def find_provider(name: str) -> str:
    """The provider that `auto` means here, or the one named. Raises `EngineError`."""
    available = import_runtime().get_available_providers()
    if name == "auto":
        return "cuda" if PROVIDERS["cuda"] in available else "cpu"
    if PROVIDERS[name] not in available:
        known = [ours for ours, theirs in PROVIDERS.items() if theirs in available]
        raise EngineError(
            f"the provider '{name}' is not in this onnxruntime, which has {', '.join(known)}; "
            "install onnxruntime-gpu for cuda and tensorrt, onnxruntime-openvino for openvino"
        )
    return name


class Session:
    """A graph of fixed shapes. `provider` is a key of `PROVIDERS` that is there."""

    def __init__(self, path: Path, provider: str, device: torch.device, *, precision: str):
        self._device = device
        self._runtime = import_runtime()
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        if provider == "tensorrt" and precision == "fp32":
            os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # the provider has no option for it
        wanted = _with_fallbacks(provider, path.parent, device.index or 0, precision)
        try:
            self._session = self._runtime.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # ONNX Runtime's errors have no class in common
            raise EngineError(f"{path} cannot be loaded: {first_line(error)}") from error
        if self._session.get_providers()[0] != PROVIDERS[provider]:
            raise EngineError(
                f"onnxruntime could not start the provider '{provider}' on this machine: its "
                "libraries are missing or of another version"
            )
        self.inputs = [i.name for i in self._session.get_inputs()]
        self._shapes = {o.name: tuple(o.shape) for o in self._session.get_outputs()}

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        """Outputs in order, float32; the inputs in order, float32, of the graph's shapes."""
        binding = self._session.io_binding()
        given = [x.to(self._device, torch.float32).contiguous() for x in tensors]
        for name, x in zip(self.inputs, given, strict=True):
            binding.bind_input(*self._place(name, x))
        found = [torch.empty(s, device=self._device) for s in self._shapes.values()]
        for name, x in zip(self._shapes, found):
            binding.bind_output(*self._place(name, x))
        if self._device.type == "cuda":  # ONNX Runtime has a stream of its own
            torch.cuda.current_stream(self._device).synchronize()
        self._session.run_with_iobinding(binding)
        return found

    def _place(self, name: str, x: Tensor) -> tuple:
        """Where a tensor is, as a binding takes it."""
        return name, x.device.type, x.device.index or 0, "float32", tuple(x.shape), x.data_ptr()


def _with_fallbacks(provider: str, folder: Path, index: int, precision: str) -> list:
    """Providers with options, the wanted one first; others take what it cannot do."""
    cuda = (PROVIDERS["cuda"], {"device_id": index, "use_tf32": int(precision != "fp32")})
    tensorrt = {
        "device_id": index,
        "trt_fp16_enable": precision == "fp16",
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(folder / TENSORRT_CACHE),
    }
    # OpenVINO would compute in bf16 by itself where the processor has it.
    exact = {"CPU": {"INFERENCE_PRECISION_HINT": "f32"}} if precision == "fp32" else {}
    openvino = {
        "device_type": "CPU",
        "num_of_threads": str(torch.get_num_threads()),
        "load_config": json.dumps(exact),
    }
    chains = {
        "cpu": [],
        "openvino": [(PROVIDERS["openvino"], openvino)],
        "cuda": [cuda],
        "tensorrt": [(PROVIDERS["tensorrt"], tensorrt), cuda],
    }
    return [*chains[provider], PROVIDERS["cpu"]]
