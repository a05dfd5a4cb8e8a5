"""Which files of the user's folders are pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Of what is taken from a folder; a file that is named may have any."""

OWN = {"scene.jpg": "scene.glb"}
"""Pictures that an export leaves in its folder, and what lies beside them then."""


def find_pictures(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Files as given, folders as their pictures in alphabetical order; and what was left out of
    each folder, in sentences. Hidden files are passed over: macOS leaves some beside every picture.

    Raises `ValueError` for a folder without pictures.
    """
    found: list[str] = []
    left_out = []
    for path in map(Path, names):
        if not path.is_dir():
            found.append(str(path))
            continue
        shown = sorted(p for p in path.iterdir() if not p.name.startswith("."))
        inside = [p for p in shown if p.suffix.lower() in SUFFIXES and not _is_own(p)]
        if not inside:
            raise ValueError(f"the folder '{path}' holds no pictures ({', '.join(SUFFIXES)})")
        taken = set(inside)
        if others := [p for p in shown if p not in taken]:
            left_out.append(_about(path, others))
        found += map(str, inside)
    return found, left_out


def _is_own(path: Path) -> bool:
    beside = OWN.get(path.name)
    return beside is not None and path.with_name(beside).exists()


def _about(folder: Path, others: list[Path]) -> str:
    folders = sum(p.is_dir() for p in others)
    kinds = sorted({p.name if _is_own(p) else p.suffix or p.name for p in others if not p.is_dir()})
    files = len(others) - folders
    what = [f"{files} file{'s' * (files != 1)} ({', '.join(kinds[:10])})"] * bool(files)
    what += [f"{folders} folder{'s' * (folders != 1)}"] * bool(folders)
    return (
        f"of the folder '{folder}' only {', '.join(SUFFIXES)} are taken; left out: "
        f"{' and '.join(what)}; name what you want, too"
    )
