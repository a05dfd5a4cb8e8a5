"""softmax(q k^T) v, by the fastest kernel of the device."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention. q: (B, H, Q, D); k, v: (B, H, L, D) -> (B, H, Q, D)."""
    return F.scaled_dot_product_attention(q, k, v)
