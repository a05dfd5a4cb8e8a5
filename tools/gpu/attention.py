"""Which of torch's kernels for attention is the fastest at the goals, and which one it takes."""

from __future__ import annotations

from contextlib import nullcontext
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from da3_ros.net.attention import HEAD_DIM
from tools.stopwatch import timed

SHAPES = {
    "da3-large, all 8 views": (1, 16, 8 * 973),
    "da3-large, each of 8 views": (8, 16, 973),
    "da3-small, all 4 views": (1, 6, 4 * 973),
}
"""Batch, heads, tokens; at 504x378."""

KERNELS = {
    "torch's choice": None,
    "cuDNN": "CUDNN_ATTENTION",
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
}
RUNS = 5


def measure(device: str, tiny: bool) -> dict[str, dict[str, float | None]]:
    """Shape -> kernel -> ms; None where torch has no such kernel for it."""
    shapes = {"a few tokens": (1, 2, 8)} if tiny else SHAPES
    return {
        name: {kernel: _ms(shape, backend, device) for kernel, backend in KERNELS.items()}
        for name, shape in shapes.items()
    }


def _ms(shape: tuple[int, int, int], backend: str | None, device: str) -> float | None:
    """bf16, a token's heads side by side, as a network has them."""
    batch, heads, tokens = shape
    x = torch.randn(3, batch, tokens, heads, HEAD_DIM, device=device, dtype=torch.bfloat16)
    q, k, v = x.transpose(2, 3)
    try:
        with sdpa_kernel(getattr(SDPBackend, backend)) if backend else nullcontext():
            seconds = [
                timed(lambda: scaled_dot_product_attention(q, k, v), device)[0]
                for _ in range(RUNS + 1)
            ]
    except (RuntimeError, AttributeError):
        return None
    return round(1000 * median(seconds[1:]), 3)


def table(found: dict) -> list[str]:
    """Lines of Markdown."""
    lines = ["", "**Attention in bf16, ms**", "", f"| | {' | '.join(KERNELS)} |"]
    lines += ["|---" * (len(KERNELS) + 1) + "|"]
    for name, ms in found.items():
        cells = ("no" if ms[kernel] is None else str(ms[kernel]) for kernel in KERNELS)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines
