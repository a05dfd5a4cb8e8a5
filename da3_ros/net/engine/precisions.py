"""The precisions in which engines are exported, and how exact each of them has to be."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class EnginePrecision:
    """dtype: of products and convolutions. largest_error: of a mean over a map, or of a camera,
    relative to the largest value; beyond it an engine is off.

    Rounding is a thousandth of it. What is meant are runtimes that compile wrong code.
    """

    dtype: torch.dtype
    largest_error: float


ENGINE_PRECISIONS = {
    "fp32": EnginePrecision(torch.float32, 1e-3),
    "fp16": EnginePrecision(torch.float16, 3e-2),
}
"""By the names that `da3 export-onnx --precision` takes."""
