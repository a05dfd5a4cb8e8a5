"""Which numbers a network computes with, chosen by device; and compiled code for them.

The residual stream, normalisations, cameras and the last layer of every head are always
fp32; what is lowered are the matrix products and convolutions in between.
"""

from __future__ import annotations

import inspect
import re
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from da3_ros.net.attention import has_bf16_products

PRECISIONS = ("auto", "fp32", "bf16")

VERSIONS = 64
"""Of compiled code; torch's own bound is 8, and what comes beyond runs as it is written."""


class Linear(nn.Linear):
    """Computes in the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        return self._packed(x, "none") if self.weight.is_mkldnn else self._plain(x)

    def pack(self) -> None:
        """Lay the weights out once instead of at every product, a fifth faster on a CPU."""
        if self.weight.device.type == "cpu" and not self.weight.is_mkldnn:
            packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())
            self.weight = nn.Parameter(packed, requires_grad=False)

    def _plain(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def _packed(self, x: Tensor, activation: str) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, activation, [], "none")


class LinearGelu(Linear):
    """Linear, then GELU while the sums are still in registers."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        return self._packed(x, "gelu") if self.weight.is_mkldnn else F.gelu(self._plain(x))


class Conv2d(nn.Conv2d):
    """Computes in the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class ConvTranspose2d(nn.ConvTranspose2d):
    """Computes in the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class LayerNorm(nn.LayerNorm):
    """Of numbers in any type, by fp32 weights; only the processor has kernels that mix the two."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" or x.dtype == self.weight.dtype:
            return super().forward(x)
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class FinalConv(nn.Conv2d):
    """1x1 convolution before an exponential, always fp32: there bf16 would cost a percent."""

    def __init__(self, channels: int, out: int):
        super().__init__(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


def check_precision(precision: str | None) -> str | None:
    """It, if it is one of `PRECISIONS` or None. Raises `ValueError`."""
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f"precision is '{precision}', must be one of {', '.join(PRECISIONS)}")
    return precision


def check_weights_dtype(network: nn.Module) -> None:
    """Raises `ValueError` for a network that was lowered as a whole: what stays exact is not."""
    for module in network.modules():
        if isinstance(module, nn.LayerNorm) and module.weight.dtype != torch.float32:
            raise ValueError(
                f"the model's weights are {str(module.weight.dtype).removeprefix('torch.')}: leave "
                "out half(), bfloat16(), double() and to(dtype), load it again, and give "
                "precision='bf16', which lowers what may be"
            )


def without_autocast(device: torch.device) -> AbstractContextManager:
    """While active, types are as they are, whatever autocast the caller has around it."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def set_precision(network: nn.Module, precision: str) -> torch.dtype:
    """Lower the weights of a loaded network to `precision`; returns the type used.

    `auto` is bf16 where the device multiplies it faster than fp32, fp32 elsewhere.
    Lowered weights do not come back: load the network again for fp32.
    """
    check_precision(precision)
    device = next(network.parameters()).device
    fast = precision == "bf16" or precision == "auto" and _is_bf16_fast(device)
    dtype = torch.bfloat16 if fast else torch.float32
    lower(network, dtype)
    # Torch computes convolutions in TF32 by default, matrix products not.
    torch.backends.cudnn.allow_tf32 = False
    for module in network.modules():
        if isinstance(module, (Conv2d, ConvTranspose2d)):
            module.to(memory_format=torch.channels_last)
    return dtype


def lower(network: nn.Module, dtype: torch.dtype) -> None:
    """Weights of the backbone's products and of the heads' convolutions to `dtype`, for good."""
    for name, module in network.named_modules():
        if _is_lowered(name, module):
            module.to(dtype)


def pack_weights(network: nn.Module) -> None:
    """Lay bf16 weights out as the CPU's matrix product wants them; elsewhere do nothing.

    For good: packed weights cannot be saved, moved, trained or compiled.
    """
    for module in network.modules():
        if isinstance(module, Linear) and module.weight.dtype == torch.bfloat16:
            module.pack()


def compile_stages(network: nn.Module) -> None:
    """torch.compile what the stages spend their time in, when it first runs: blocks and heads.

    The stages themselves stay as they are: they are called with windows of any kind.
    """
    # All blocks count together: one kind of window needs five versions, of a nested model seven.
    versions = max(VERSIONS, torch._dynamo.config.cache_size_limit)
    torch._dynamo.config.cache_size_limit = versions
    # What newer versions of torch are configured to holds in this thread only, and others compile.
    knows_limit = "recompile_limit" in inspect.signature(torch.compile).parameters
    options = {"recompile_limit": versions} if knows_limit else {}
    for name, module in network.named_modules():
        if re.search(r"backbone\.blocks\.\d+$|(^|\.)(head|gs_head)$", name):
            module.compile(**options)


def _is_bf16_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and has_bf16_products()


def _is_lowered(name: str, module: nn.Module) -> bool:
    """The backbone and the heads, but not the cameras."""
    lowered = isinstance(module, (Linear, Conv2d, ConvTranspose2d))
    return lowered and not {"cam_enc", "cam_dec"} & set(name.split("."))
