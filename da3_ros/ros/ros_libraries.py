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

LIBRARIES = ("cv_bridge", "sensor_msgs_py", "tf2_py", "tf_transformations")

NUMPY_2 = b"numpy._core._multiarray_umath"
"""What a compiled module asks numpy 2 for; one that was built for numpy 1 does not know it."""


def check_ros_libraries() -> None:
    """Raise `BrokenLibrary` for what is missing, or known to fail."""
    for library in LIBRARIES:
        if importlib.util.find_spec(library) is None:
            raise BrokenLibrary(
                f"the ROS library {library} is not installed: rosdep install --from-paths src "
                "--ignore-src; with ROS from pip: install da3_ros again"
            )
    numpy = _version("numpy")
    _check_cv_bridge(numpy)
    _check_tf_transformations(numpy)


def _check_cv_bridge(numpy: tuple[int, ...]) -> None:
    version = _version("cv_bridge")
    if version and version < (2,):
        raise BrokenLibrary(
            f"PyPI's cv-bridge {_dotted(version)} is of ROS 1: pip uninstall cv-bridge, then "
            "install da3_ros again"
        )
    for binary in _folder("cv_bridge").glob("boost/cv_bridge_boost*.so"):
        if numpy >= (2,) and NUMPY_2 not in binary.read_bytes():
            raise BrokenLibrary(
                f"cv_bridge was built for numpy 1 and would crash beside numpy {_dotted(numpy)}: "
                f'pip install "numpy<2" ({binary})'
            )


def _check_tf_transformations(numpy: tuple[int, ...]) -> None:
    """ROS's own is built on transforms3d, of which old versions fail with newer numpy."""
    if b"transforms3d" not in (_folder("tf_transformations") / "__init__.py").read_bytes():
        return
    version = _version("transforms3d")
    needed = (0, 4, 2) if numpy >= (2,) else (0, 4)
    if numpy >= (1, 24) and version < needed:
        raise BrokenLibrary(
            f"tf_transformations needs transforms3d {_dotted(needed)} or newer beside numpy "
            f"{_dotted(numpy)}, and finds {_dotted(version) or 'none'}: "
            f'pip install "transforms3d>={_dotted(needed)}"'
        )


def _folder(library: str) -> Path:
    return Path(importlib.util.find_spec(library).origin).parent


def _version(distribution: str) -> tuple[int, ...]:
    """(1, 26, 4) of "1.26.4rc1"; () where it is not installed."""
    try:
        text = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(map(int, re.findall(r"\d+", text)[:3]))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
