"""Depth Anything 3 for robots: posed camera frames in, metric depth out.

Layers, arrows point one way: ``commands -> ros -> {api, synthetic} -> core -> net``.
"""

from __future__ import annotations

from pkgutil import extend_path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from da3_ros.api import DepthAnything3

# The generated msg/ and srv/ modules live in the installed package; a checkout
# on sys.path must find them too.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
__all__ = ["DepthAnything3"]


def __getattr__(name: str):
    """`from da3_ros import DepthAnything3` without torch for those who import messages only."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from da3_ros import api

    return getattr(api, name)
