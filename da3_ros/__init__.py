"""Depth Anything 3 for robots: posed camera frames in, metric depth out.

Layers, arrows point one way: ``commands -> ros -> {api, synthetic} -> core -> net``.
"""

from pkgutil import extend_path

# The generated msg/ and srv/ modules live in the installed package; a checkout
# on sys.path must find them too.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
