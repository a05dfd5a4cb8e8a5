"""SyntheticScene: boxes, cylinders and ellipsoids with their looks, and the lights, as tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch

PRIMITIVE_FIELDS = ("A", "center", "half", "inside", "texture", "uv", "uv_offset", "tint")


@dataclass(frozen=True)
class SyntheticScene:
    """S scenes side by side; world z up, metres.

    The first `boxes` primitives are boxes, the next `cylinders` cylinders (axis: local z), the
    rest ellipsoids. Unused places hold primitives of no size.

    A: (S,P,3,3) world -> unit shape (after subtracting the centre). center: (S,P,3).
    half: (S,P,3) half sizes, m. inside: (S,P) 1.0 where the shape is hollow and seen from within.
    texture: (S,P) long. uv: (S,P,2,2) texture repeats per metre on the surface.
    uv_offset: (S,P,2). tint: (S,P,3).
    light: (S,L,3) position. light_color: (S,L,3). light_reach: (S,L) m, where it falls to a half;
    only the first light throws shadows. ambient: (S,3).
    sky: (S,2,3) color at the horizon and overhead.
    """

    A: torch.Tensor
    center: torch.Tensor
    half: torch.Tensor
    inside: torch.Tensor
    texture: torch.Tensor
    uv: torch.Tensor
    uv_offset: torch.Tensor
    tint: torch.Tensor
    light: torch.Tensor
    light_color: torch.Tensor
    light_reach: torch.Tensor
    ambient: torch.Tensor
    sky: torch.Tensor
    boxes: int
    cylinders: int

    def to(self, device: torch.device | str) -> SyntheticScene:
        """The same scenes on another device."""
        return self._map(lambda x: x.to(device))

    def __getitem__(self, index: int | slice) -> SyntheticScene:
        return self._map(lambda x: x[index])

    def keep(self, wanted: torch.Tensor) -> SyntheticScene:
        """Only the wanted (P,) primitives of a single scene."""
        kept = {n: getattr(self, n)[:, wanted] for n in PRIMITIVE_FIELDS}
        b, c = self.boxes, self.boxes + self.cylinders
        counts = {"boxes": int(wanted[:b].sum()), "cylinders": int(wanted[b:c].sum())}
        return dataclasses.replace(self, **kept, **counts)

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> SyntheticScene:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        tensors = {k: change(v) for k, v in values.items() if torch.is_tensor(v)}
        return dataclasses.replace(self, **tensors)
