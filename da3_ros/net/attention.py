"""softmax(q k^T / sqrt(D)) v, by the fastest kernel of the device."""

from __future__ import annotations

import ctypes
import functools
from ctypes import c_int, c_int64, c_void_p
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import da3_ros

LIBRARY = "da3_ros_attention.so"
"""Compiled from attention.cpp, beside the messages."""

HEAD_DIM = 64
"""Channels of a head in all presets, and the only number that attention.cpp knows."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention. q: (B, H, Q, D); k, v: (B, H, L, D) -> (B, H, Q, D)."""
    in_bf16 = q.dtype == torch.bfloat16 and q.device.type == "cpu"
    if in_bf16 and q.shape[-1] == HEAD_DIM and not torch.is_grad_enabled() and OURS_IS_FASTER:
        return attend_bf16(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


SCHEMA = "(Tensor q, Tensor k, Tensor v) -> Tensor"


@torch.library.custom_op("da3_ros::attend", mutates_args=(), device_types="cpu", schema=SCHEMA)
def attend_bf16(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`attend` on a CPU that has `kernel`, in bf16, without gradients, D = HEAD_DIM."""
    if q.dtype != torch.bfloat16 or q.shape[-1] != HEAD_DIM:
        raise ValueError(f"attend_bf16 takes bf16 of {HEAD_DIM} channels; for others use attend")
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    out = _empty_out(q, k, v)
    size = *q.shape[:3], k.shape[2]
    room = torch.empty(kernel().da3_attend_room(*size[:2], size[3]), dtype=torch.uint8)
    tensors = (_Tensor.of(x) for x in (q, k, v, out))
    kernel().da3_attend(*tensors, *size, room.data_ptr(), torch.get_num_threads())
    return out


@attend_bf16.register_fake
def _empty_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """A token's heads lie side by side, as the next layer wants them."""
    return q.new_empty(q.transpose(1, 2).shape).transpose(1, 2)


@functools.cache
def has_bf16_tiles() -> bool:
    """Whether the CPU multiplies bf16 tiles (AMX), which torch's attention makes use of."""
    return bool(_cpu_capabilities().get("amx_bf16"))


@functools.cache
def has_bf16_products() -> bool:
    """Whether the CPU multiplies bf16 numbers faster than fp32 ones."""
    return has_bf16_tiles() or bool(_cpu_capabilities().get("avx512_bf16"))


def _cpu_capabilities() -> dict:
    # Older torch does not tell; fp32 is always right.
    read = getattr(torch.cpu, "get_capabilities", dict)
    return read()


@functools.cache
def kernel() -> ctypes.CDLL | None:
    """attention.cpp as compiled, where the CPU has what it uses; None elsewhere."""
    if not _cpu_capabilities().get("avx512_bf16"):
        return None
    found = (Path(folder, LIBRARY) for folder in da3_ros.__path__)
    path = next((path for path in found if path.is_file()), None)
    if path is None:  # the compiler was too old for it
        return None
    library = ctypes.CDLL(str(path))
    library.da3_attend_room.argtypes = [c_int64] * 3
    library.da3_attend_room.restype = c_int64
    library.da3_attend.argtypes = [_Tensor] * 4 + [c_int64] * 4 + [c_void_p, c_int]
    library.da3_attend.restype = None
    return library


class _Tensor(ctypes.Structure):
    """`Tensor` of attention.cpp."""

    _fields_ = [("data", c_void_p), ("batch", c_int64), ("head", c_int64), ("token", c_int64)]

    @classmethod
    def of(cls, x: Tensor) -> _Tensor:
        return cls(x.data_ptr(), *x.stride()[:3])


OURS_IS_FASTER = kernel() is not None and not has_bf16_tiles()
"""Without tiles, torch's attention is as slow in bf16 as in fp32."""
