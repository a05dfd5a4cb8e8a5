"""softmax(q k^T) v, by the fastest kernel of the device."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_BLOCK = 256
"""Queries at a time; fewer make the products inefficient."""

BLOCK_SCORES = 2**19
"""Scores at a time where the sequence is short enough; they stay in the cache."""

MIN_BLOCKED_TOKENS = 512
"""Shorter sequences fit in the cache anyway."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention. q: (B, H, Q, D); k, v: (B, H, L, D) -> (B, H, Q, D)."""
    slow = q.dtype == torch.bfloat16 and q.device.type == "cpu" and not has_bf16_tiles()
    if slow and k.shape[2] >= MIN_BLOCKED_TOKENS and not torch.is_grad_enabled():
        return _attend_in_blocks(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


@functools.cache
def has_bf16_tiles() -> bool:
    """Whether the CPU multiplies bf16 tiles (AMX), which the fused kernel makes use of.

    Without them the fused kernel works in fp32 speed, and plain bf16 matrix products over
    blocks of queries are twice as fast.
    """
    return bool(_cpu_capabilities().get("amx_bf16"))


@functools.cache
def has_bf16_products() -> bool:
    """Whether the CPU multiplies bf16 numbers faster than fp32 ones."""
    return has_bf16_tiles() or bool(_cpu_capabilities().get("avx512_bf16"))


def _cpu_capabilities() -> dict:
    # Older torch does not tell; fp32 is always right.
    read = getattr(torch.cpu, "get_capabilities", dict)
    return read()


def _attend_in_blocks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every thread takes heads of its own: threads that share a product wait for each other."""
    out = torch.empty(q.shape, dtype=q.dtype)
    heads = [x.flatten(0, 1) for x in (q * q.shape[-1] ** -0.5, k, v, out)]
    threads = min(torch.get_num_threads(), len(heads[0]))
    run = _single_threads(threads).map if threads > 1 else map
    for _ in run(_attend_head, *heads):
        pass
    return out


def _attend_head(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    """One head at a time, so that its keys and values stay in the cache as well."""
    with torch.inference_mode():  # a mode is a thread's own
        key = key.T.contiguous()
        block = min(len(query), max(LEAST_BLOCK, BLOCK_SCORES // len(value)))
        room = query.new_empty(block, len(value))
        for queries, result in zip(query.split(block), out.split(block)):
            weights = room[: len(queries)]
            torch.mm(queries, key, out=weights)
            torch.softmax(weights, dim=-1, out=weights)
            torch.mm(weights, value, out=result)


@functools.cache
def _single_threads(count: int) -> ThreadPoolExecutor:
    """Threads in which torch uses one core each."""
    everywhere = torch.get_num_threads()
    ready = Barrier(count + 1)

    def start():
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(count, "attention", initializer=start)
    for _ in range(count):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(everywhere)  # part of the setting is the process's, not the thread's
    return pool
