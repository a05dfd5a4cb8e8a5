"""Put a scene together from metres and yaw angles, one thing at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from da3_ros.synthetic.scene import SyntheticScene

Vector = Sequence[float] | np.ndarray


def yaw_rotation(yaw: float) -> np.ndarray:
    """(3, 3) rotation about world z by `yaw` rad."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


@dataclass(frozen=True, eq=False)
class Look:
    """How a primitive lies and is painted.

    R: (3, 3) its own axes in the world. repeats: of the texture per metre, one number or
    (across, up); turn: rad and offset: (2,) of the texture. tint: factor of its color, one or (3,).
    inside: it is seen from within, as a room is.
    """

    R: np.ndarray = field(default_factory=lambda: np.eye(3))
    repeats: float | Vector = 1.0
    turn: float = 0.0
    offset: Vector = (0.0, 0.0)
    tint: float | Vector = 1.0
    inside: bool = False


class SceneBuilder:
    """Collects primitives and lights; `build` gives the `SyntheticScene` (S = 1)."""

    def __init__(self):
        self.kinds = {"box": [], "cylinder": [], "ball": []}
        self.lights = []
        self.ambient = np.full(3, 0.35)
        self.sky = np.array([[0.8, 0.85, 0.9], [0.3, 0.5, 0.85]])

    def box(self, center: Vector, size: Vector, texture: int, **look) -> None:
        """center, size: (3,) m; full lengths along the box's own axes. look: of a `Look`."""
        self._add("box", center, np.asarray(size, float) / 2, texture, Look(**look))

    def cylinder(self, center: Vector, radius: float, height: float, texture: int, **look) -> None:
        """center: (3,) m, in the middle of its height. look: of a `Look`."""
        half = np.array([radius, radius, height / 2])
        self._add("cylinder", center, half, texture, Look(**look))

    def ball(self, center: Vector, radii: float | Vector, texture: int, **look) -> None:
        """center: (3,) m; radii: one, or along each axis. look: of a `Look`."""
        half = np.broadcast_to(radii, 3).astype(float)
        self._add("ball", center, half, texture, Look(**look))

    def light(self, position: Vector, color: Vector, reach: float) -> None:
        """position: (3,) m. color: (3,). reach: distance in m at which it has fallen to a half."""
        self.lights.append((np.asarray(position, float), np.asarray(color, float), float(reach)))

    def _add(self, kind: str, center: Vector, half: np.ndarray, texture: int, look: Look) -> None:
        c, s = np.cos(look.turn), np.sin(look.turn)
        uv = np.diag(np.broadcast_to(look.repeats, 2)) @ np.array([[c, -s], [s, c]])
        self.kinds[kind].append(
            {
                "A": look.R.T / half[:, None],
                "center": np.asarray(center, float),
                "half": half,
                "inside": float(look.inside),
                "texture": int(texture),
                "uv": uv,
                "uv_offset": np.asarray(look.offset, float),
                "tint": np.broadcast_to(look.tint, 3),
            }
        )

    def is_free(self, point: np.ndarray, margin: float) -> bool:
        """True where no solid is within `margin` m of the point (measured along its own axes)."""
        for parts in self.kinds.values():
            for part in parts:
                local = np.abs(part["A"] @ (point - part["center"])) * part["half"]
                gap = (local - part["half"]).max()
                if (gap > -margin) if part["inside"] else (gap < margin):
                    return False
        return True

    def build(
        self, *, boxes: int | None = None, cylinders: int | None = None, balls: int | None = None
    ) -> SyntheticScene:
        """The scene, each kind padded to the given number of places (None: as many as it has)."""
        wanted = {"box": boxes, "cylinder": cylinders, "ball": balls}
        counts = {k: len(v) if wanted[k] is None else wanted[k] for k, v in self.kinds.items()}
        parts = [p for k, v in self.kinds.items() for p in _padded(v, counts[k], k)]
        columns = {name: _column([p[name] for p in parts]) for name in NOTHING}
        position, color, reach = zip(*self.lights)
        return SyntheticScene(
            **columns,
            light=_column(position),
            light_color=_column(color),
            light_reach=_column(reach),
            ambient=_column(self.ambient),
            sky=_column(self.sky),
            boxes=counts["box"],
            cylinders=counts["cylinder"],
        )


NOTHING = {
    "A": np.eye(3) * 1e4,
    "center": np.array([0.0, 0.0, -1e3]),
    "half": np.full(3, 1e-4),
    "inside": 0.0,
    "texture": 0,
    "uv": np.eye(2),
    "uv_offset": np.zeros(2),
    "tint": np.ones(3),
}
"""A primitive that no ray meets: a tenth of a millimetre, a kilometre down."""


def _padded(parts: list[dict], count: int, kind: str) -> list[dict]:
    if len(parts) > count:
        raise ValueError(f"{len(parts)} primitives of kind {kind}, but only {count} places")
    return parts + [NOTHING] * (count - len(parts))


def _column(values: Sequence) -> torch.Tensor:
    array = np.asarray(values)
    kind = torch.int64 if array.dtype.kind == "i" else torch.float32
    return torch.as_tensor(array, dtype=kind)[None]


def join(scenes: list[SyntheticScene]) -> SyntheticScene:
    """One batch of scenes with equal numbers of primitives and lights."""
    first, *others = scenes
    names = (n for n, v in vars(first).items() if torch.is_tensor(v))
    values = {n: torch.cat([getattr(s, n) for s in scenes]) for n in names}
    return SyntheticScene(**values, boxes=first.boxes, cylinders=first.cylinders)
