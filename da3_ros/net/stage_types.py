"""What the stages of the network hand to each other, and what comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from da3_ros.net.gaussians import Gaussians


@dataclass(frozen=True)
class EncodedViews:
    """Views after the per-view blocks; join single frames with `stack`.

    tokens: (B, N, T, C). class_tokens: (B, N, C). size: (height, width) of the images.
    features: layer -> (B, N, P, C). levels: of a one-view network, four (B, N, P, C).
    """

    tokens: Tensor
    class_tokens: Tensor
    size: tuple[int, int]
    features: dict[int, Tensor] = field(default_factory=dict)
    levels: tuple[Tensor, ...] = ()

    @staticmethod
    def stack(views: Sequence[EncodedViews]) -> EncodedViews:
        """One window from separately encoded frames, in the order given."""
        sizes = {v.size for v in views}
        if len(sizes) != 1:
            raise ValueError(f"views of one window must have one size, got {sorted(sizes)}")
        return EncodedViews(
            torch.cat([v.tokens for v in views], dim=1),
            torch.cat([v.class_tokens for v in views], dim=1),
            views[0].size,
            {k: torch.cat([v.features[k] for v in views], dim=1) for k in views[0].features},
            tuple(torch.cat(level, dim=1) for level in zip(*(v.levels for v in views))),
        )

    def split(self) -> list[EncodedViews]:
        """The inverse of `stack`: views (B, 1, ...), copied, so that one can be freed alone."""
        count = self.tokens.shape[1]
        return [self] if count == 1 else [self._view(i) for i in range(count)]

    def _view(self, i: int) -> EncodedViews:
        return EncodedViews(
            self.tokens[:, i : i + 1].clone(),
            self.class_tokens[:, i : i + 1].clone(),
            self.size,
            {k: x[:, i : i + 1].clone() for k, x in self.features.items()},
            tuple(x[:, i : i + 1].clone() for x in self.levels),
        )


@dataclass(frozen=True)
class Features:
    """A window after the cross-view blocks, views in input order.

    levels: four (B, M, P, 2C) of `views`. camera_tokens: (B, N, 2C) of all views, or None.
    features: layer -> (B, N, P, C).
    """

    levels: tuple[Tensor, ...]
    camera_tokens: Tensor | None
    views: tuple[int, ...]
    size: tuple[int, int]
    features: dict[int, Tensor]


@dataclass(frozen=True)
class NetOutput:
    """Raw maps of M decoded views and cameras of all N, in the network's own scale.

    depth (B, M, h, w) along z; conf (B, M, h, w) > 1; T_cam_ref (B, N, 3, 4) reference to
    camera and K (B, N, 3, 3) px, as predicted; ray (B, M, h', w', 6) and ray_conf; sky
    (B, M, h, w) at least 0; gaussians; aux: "feat_layer_X" -> (B, N, h/14, w/14, C);
    scale_factor (B,): metres per any-view unit, already applied (nested model); NaN: unknown.
    """

    depth: Tensor
    conf: Tensor | None = None
    T_cam_ref: Tensor | None = None
    K: Tensor | None = None
    ray: Tensor | None = None
    ray_conf: Tensor | None = None
    sky: Tensor | None = None
    gaussians: Gaussians | None = None
    aux: dict[str, Tensor] = field(default_factory=dict)
    scale_factor: Tensor | None = None

    def on_host(self) -> NetOutput:
        """The same in the memory of the computer; a GPU is waited for once, not once a map."""
        copied = map_tensors(self, lambda x: x.to("cpu", non_blocking=True))
        if self.depth.device.type == "cuda":
            torch.cuda.current_stream(self.depth.device).synchronize()
        return copied


def first_scene(maps: Tensor | None) -> np.ndarray | None:
    """(...) float32 of the first scene of a batch (B, ...), in the memory of the computer."""
    return None if maps is None else maps[0].float().cpu().numpy()


def map_tensors(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same tuples, dictionaries and dataclasses with every tensor changed."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, tuple):
        return tuple(map_tensors(v, change) for v in values)
    if isinstance(values, dict):
        return {k: map_tensors(v, change) for k, v in values.items()}
    if is_dataclass(values):
        fields = {f.name: getattr(values, f.name) for f in dataclasses.fields(values)}
        return type(values)(**map_tensors(fields, change))
    return values
