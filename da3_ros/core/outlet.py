"""Where the runner's results and sentences go, as far as it has to know."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from da3_ros.core.prediction import WindowDepth


class Outlet(Protocol):
    """Where results go."""

    def is_wanted(self) -> bool:
        """Whether anybody wants results at all."""

    def publish(self, result: WindowDepth, camera_of: dict[str, str]) -> None:
        """Send one result. camera_of: frame id -> name of the camera."""

    def clear(self) -> None:
        """Forget earlier results."""


class Log(Protocol):
    """Where sentences go. cause: what the sentence is about; each is said once in a while."""

    def debug(self, sentence: str) -> None:
        """Say what changed, to whoever looks closely."""

    def warn(self, cause: Hashable, sentence: str) -> None:
        """Say what is wrong."""

    def fail(self, cause: Hashable, sentence: str, details: str) -> None:
        """Say what failed."""
