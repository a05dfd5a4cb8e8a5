"""Message types by name, as a bag gives it: a bag does not choose which code runs."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path

TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)")
"""What rosidl allows as the names of a package and of a message."""


def message_class(name: str) -> type | None:
    """Class of a message type such as `sensor_msgs/msg/Image`; None when not installed.

    Nothing is imported but packages of interfaces.
    """
    parts = TYPE.fullmatch(name)
    if not (parts and _has_messages(parts[1])):
        return None
    try:
        return getattr(importlib.import_module(f"{parts[1]}.msg"), parts[2], None)
    except ImportError:
        return None


def type_name(cls: type) -> str:
    """`sensor_msgs/msg/Image` of a message class."""
    return f"{cls.__module__.split('.')[0]}/msg/{cls.__name__}"


def _has_messages(package: str) -> bool:
    """Whether a Python package holds what rosidl makes, such as `msg/_image.py`; found without
    importing anything.
    """
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module that was loaded without a spec
        return False
    # The path of one that is loaded: a checkout of da3_ros has its messages elsewhere.
    loaded = getattr(sys.modules.get(package), "__path__", None)
    folders = loaded or (spec and spec.submodule_search_locations) or ()
    return any(any(Path(folder).glob("msg/_[a-z]*.py")) for folder in folders)
