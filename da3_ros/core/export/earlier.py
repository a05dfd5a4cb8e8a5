"""What an export may replace: files of an earlier export, and nobody else's.

Files below folders of our own names (`exports`, `depth_vis`, `feat_vis`, ...) count as ours. Names
that other programs use, too, are known by what is in them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from da3_ros.core.export import colmap
from da3_ros.core.export.folder import ExportError, named
from da3_ros.core.export.ply import FIRST_LINES
from da3_ros.core.files.png_mark import is_marked

_LONGEST_TREE = 1 << 20
"""Bytes of a glb file in which its writer is looked for."""


def check_replaceable(folder: str | os.PathLike, files: Iterable[str]) -> None:
    """`ExportError` where a file that no export wrote has the place of one of `files`, or lies in
    the model that they belong to.

    files: patterns below `folder`, as of `check_folder`.
    """
    for pattern in files:
        is_ours = _KNOWN_BY.get(pattern)
        for path in sorted(named(Path(folder), pattern)) if is_ours else ():
            if path.is_file() and not _is(is_ours, path):
                raise ExportError(
                    f"export_dir is '{folder}', but '{path}' is not of an earlier export, and "
                    "would be replaced or mixed with new files; move it, or export to another "
                    "folder"
                )


def check_inputs_stay(
    folder: str | os.PathLike, files: Iterable[str], images: Iterable[object]
) -> None:
    """`ExportError` where one of the given images has the place of one of `files`.

    images: as of `inference`; PIL images know the file that they were opened from.
    """
    given = {os.path.realpath(path) for path in map(_file_of, images) if path}
    for pattern in files if given else ():
        for path in sorted(named(Path(folder), pattern)):
            if os.path.realpath(path) in given:
                raise ExportError(
                    f"export_dir is '{folder}', but the given image '{path}' has the name of a "
                    "file to write; export to another folder"
                )


def _file_of(image: object) -> str | os.PathLike | None:
    path = image if isinstance(image, (str, os.PathLike)) else getattr(image, "filename", None)
    return path if isinstance(path, (str, os.PathLike)) else None


def _is(is_ours: Callable[[Path], bool], path: Path) -> bool:
    try:
        return is_ours(path)
    except OSError:
        return False


def _start(path: Path, length: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(length)


def _is_cloud(path: Path) -> bool:
    return _start(path, len(FIRST_LINES)) == FIRST_LINES


def _is_scene(path: Path) -> bool:
    """Ours, or of the published package, in the place of which we stand."""
    tree = _start(path, _LONGEST_TREE)
    return b'"generator":"da3_ros"' in tree or b'"hf_alignment"' in tree


def _is_preview(path: Path) -> bool:
    return (path.parent / "depth_vis" / "0000.jpg").is_file()


def _is_model_file(path: Path) -> bool:
    """One of the three files of a model with our kind of points: seen once, without an error.

    A model without points can be anybody's. COLMAP adds files of its own when it writes there,
    and trainers a `points3D.ply`, which they take before the new points.
    """
    if path.stem not in colmap.MODEL or path.suffix not in (".bin", ".txt"):
        return False
    cloud = path.with_stem("points3D")
    start = _start(cloud, 8 + colmap.POINT3D.itemsize)
    return _is_record(start) if cloud.suffix == ".bin" else _is_line(start)


def _is_record(start: bytes) -> bool:
    if len(start) < 8 + colmap.POINT3D.itemsize:
        return False
    (first,) = np.frombuffer(start, colmap.POINT3D, offset=8)
    return first["id"] == 1 and first["error"] == 0 and first["track_length"] == 1


def _is_line(start: bytes) -> bool:
    """Of COLMAP's own files the first line is a comment."""
    return start.startswith(b"1 ")


_KNOWN_BY: dict[str, Callable[[Path], bool]] = {
    "points.ply": _is_cloud,
    "scene.glb": _is_scene,
    "scene.jpg": _is_preview,
    colmap.PICTURES: is_marked,
    **dict.fromkeys((*colmap.MODEL_FILES, colmap.CLOUD), _is_model_file),
}
