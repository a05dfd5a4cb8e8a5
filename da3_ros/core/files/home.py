"""`~` in the paths that users give."""

from __future__ import annotations

import os


def from_home(path: str | os.PathLike) -> str:
    """With `~` as shells read it; they do not where it stands behind a `=`. A name that begins with
    the `~` of nobody stays as it is, as in shells."""
    return os.path.expanduser(path)
