"""The presets of Depth Anything 3 as data: sizes, layers, licenses, repositories."""

from __future__ import annotations

from dataclasses import dataclass, replace

from da3_ros.net.plain_text import plain

PATCH = 14
"""Edge of an image patch in pixels; image sides are multiples of it."""

APACHE = "Apache-2.0"
NON_COMMERCIAL = "CC BY-NC 4.0"


@dataclass(frozen=True)
class BackboneConfig:
    """A ViT. Blocks from `alternate_from` on attend locally (even) and globally (odd)."""

    dim: int
    depth: int
    heads: int
    out_layers: tuple[int, int, int, int]
    alternate_from: int | None
    swiglu: bool = False


@dataclass(frozen=True)
class HeadConfig:
    """A DPT decoder: width of its fusion chain and of its four input levels."""

    features: int
    out_channels: tuple[int, int, int, int]


@dataclass(frozen=True)
class Preset:
    """One network. `any_view` ones see several views, poses and rays; the others one image.

    metric: depth times mean(fx, fy) / 300 is in metres.
    metric_branch: the network that gives the nested model its metric scale.
    """

    name: str
    backbone: BackboneConfig
    head: HeadConfig
    license: str
    repository: str
    any_view: bool = True
    gaussians: bool = False
    metric: bool = False
    camera_blocks: int = 4
    metric_branch: Preset | None = None


_SMALL = BackboneConfig(384, 12, 6, (5, 7, 9, 11), alternate_from=4)
_BASE = BackboneConfig(768, 12, 12, (5, 7, 9, 11), alternate_from=4)
_LARGE = BackboneConfig(1024, 24, 16, (11, 15, 19, 23), alternate_from=8)
_GIANT = BackboneConfig(1536, 40, 24, (19, 27, 33, 39), alternate_from=13, swiglu=True)
_ONE_VIEW = BackboneConfig(1024, 24, 16, (4, 11, 17, 23), alternate_from=None)
_WIDE = HeadConfig(256, (256, 512, 1024, 1024))

_DEMO = Preset(
    "da3-demo",
    BackboneConfig(192, 8, 3, (2, 3, 5, 7), alternate_from=2),
    HeadConfig(32, (24, 48, 96, 192)),
    APACHE,
    "",
    camera_blocks=1,
)
_GIANT_PRESET = Preset(
    "da3-giant", _GIANT, _WIDE, NON_COMMERCIAL, "depth-anything/DA3-GIANT", gaussians=True
)
_METRIC = Preset(
    "da3metric-large",
    _ONE_VIEW,
    _WIDE,
    APACHE,
    "depth-anything/DA3METRIC-LARGE",
    any_view=False,
    metric=True,
)

_ALL = (
    _DEMO,
    Preset(
        "da3-small", _SMALL, HeadConfig(64, (48, 96, 192, 384)), APACHE, "depth-anything/DA3-SMALL"
    ),
    Preset(
        "da3-base", _BASE, HeadConfig(128, (96, 192, 384, 768)), APACHE, "depth-anything/DA3-BASE"
    ),
    Preset("da3-large", _LARGE, _WIDE, NON_COMMERCIAL, "depth-anything/DA3-LARGE"),
    _GIANT_PRESET,
    Preset(
        "da3mono-large", _ONE_VIEW, _WIDE, APACHE, "depth-anything/DA3MONO-LARGE", any_view=False
    ),
    _METRIC,
    replace(
        _GIANT_PRESET,
        name="da3nested-giant-large",
        repository="depth-anything/DA3NESTED-GIANT-LARGE",
        metric=True,
        metric_branch=_METRIC,
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
"""Preset name -> preset."""

_RETRAINED = ("da3-large", "da3-giant", "da3nested-giant-large")
ALIASES: dict[str, str] = {f"{name}-1.1": name for name in _RETRAINED}
"""Names of retrained weights (1.1) with the same architecture."""


def find_preset(name: str) -> Preset:
    """Preset by name or alias, any case; `ValueError` lists the names there are."""
    key = name.lower()
    key = ALIASES.get(key, key)
    if key not in PRESETS:
        known = ", ".join([*PRESETS, *ALIASES])
        raise ValueError(f"unknown preset '{plain(name)}'; there are {known}")
    return PRESETS[key]
