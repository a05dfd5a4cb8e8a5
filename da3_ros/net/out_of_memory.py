"""How torch says that memory is not enough."""

from __future__ import annotations

import torch

SAID = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    # cuDNN tries one engine after the other and does not say what each of them lacked.
    "unable to find an engine to execute this computation",
    # A Jetson has no NVML, which torch asks while it writes the sentence of the error.
    "NVML_SUCCESS == r",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of the memory of a GPU, or of the computer, pinned memory included."""
    return isinstance(error, torch.OutOfMemoryError) or any(s in str(error) for s in SAID)
