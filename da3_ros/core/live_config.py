"""The parameters of now."""

from __future__ import annotations

from da3_ros.core.config import Config


class LiveConfig:
    """Holds the config, which may be replaced at any time.

    Objects keep the holder, never a copy: they read `config` at the moment of use.
    """

    def __init__(self, config: Config):
        self.config = config
