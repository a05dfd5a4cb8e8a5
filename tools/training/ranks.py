"""Several processes that train one network, each on windows of its own (torchrun)."""

from __future__ import annotations

import os

import torch
from torch import distributed


class Ranks:
    """This process among those of torchrun; alone without it.

    All ranks have equal weights and take equal steps, on the mean of their gradients.
    """

    def __init__(self, device: str):
        self.count = int(os.environ.get("WORLD_SIZE", 1))
        self.rank = int(os.environ.get("RANK", 0))
        self.device = f"cuda:{self.rank}" if device == "cuda" and self.count > 1 else device
        if self.count > 1:
            distributed.init_process_group("nccl" if device == "cuda" else "gloo")

    @property
    def is_first(self) -> bool:
        """The one that evaluates and writes."""
        return self.rank == 0

    def share(self, tensors) -> None:
        """All ranks get the first one's."""
        for tensor in tensors if self.count > 1 else ():
            distributed.broadcast(tensor, 0)

    def mean_gradients(self, parameters) -> None:
        """In place. All ranks must have done the same kind of work: who has no gradient here has
        none there."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.count > 1:
            flat = self._mean(torch.cat([g.flatten() for g in gradients]))
            for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
                gradient.copy_(mean.view_as(gradient))

    def mean_number(self, value: float) -> float:
        """The same on all ranks."""
        if self.count == 1:
            return value
        return float(self._mean(torch.tensor(value, device=self.device)))

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        distributed.all_reduce(values)
        return values / self.count
