"""How torch says that memory is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch ran out of the memory of a GPU, or of the computer, pinned memory included; or
    numpy did."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, torch.OutOfMemoryError) or any(s in str(error) for s in SAID)


@contextmanager
def named_if_out_of_memory(sentence: str) -> Iterator[None]:
    """Where memory is not enough, `torch.OutOfMemoryError` says the sentence, whatever the device;
    other errors pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise torch.OutOfMemoryError(f"out of memory: {sentence}") from error
