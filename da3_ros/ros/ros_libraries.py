"""Says in one sentence which library of ROS cannot work here, before it is imported.

One of them ends the process with a segmentation fault, another with an error that names
neither itself nor the cure. Nothing is imported here: all is told by what lies on the disk.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

from da3_ros.core.broken_library import BrokenLibrary

NUMPY_2 = b"numpy._core._multiarray_umath"
"""What a compiled module asks numpy 2 for; one that was built for numpy 1 does not know it."""


def check_ros_libraries() -> None:
    """Raise `BrokenLibrary` for what is known to fail."""
    numpy = _version("numpy")
    cv_bridge, transforms3d = _version("cv_bridge"), _version("transforms3d")
    if cv_bridge and cv_bridge < (2,):
        raise BrokenLibrary(
            f"PyPI's cv-bridge {_dotted(cv_bridge)} is of ROS 1: pip uninstall cv-bridge, then "
            "install da3_ros again"
        )
    if numpy >= (2,) and (binary := _built_for_numpy_1()):
        raise BrokenLibrary(
            f"cv_bridge was built for numpy 1 and would crash beside numpy {_dotted(numpy)}: "
            f'pip install "numpy<2" ({binary})'
        )
    needed = (0, 4, 2) if numpy >= (2,) else (0, 4)
    if transforms3d and numpy >= (1, 24) and transforms3d < needed:
        raise BrokenLibrary(
            f"tf_transformations cannot use transforms3d {_dotted(transforms3d)} beside numpy "
            f'{_dotted(numpy)}: pip install "transforms3d>={_dotted(needed)}"'
        )


def _built_for_numpy_1() -> Path | None:
    """The compiled half of cv_bridge if numpy 2 cannot load it."""
    spec = importlib.util.find_spec("cv_bridge")
    for folder in (spec and spec.submodule_search_locations) or ():
        for binary in Path(folder, "boost").glob("cv_bridge_boost*.so"):
            if NUMPY_2 not in binary.read_bytes():
                return binary
    return None


def _version(distribution: str) -> tuple[int, ...]:
    """(1, 26, 4) of "1.26.4rc1"; () where it is not installed."""
    try:
        text = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(map(int, re.findall(r"\d+", text)[:3]))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
