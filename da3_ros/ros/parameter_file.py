"""Parameter files of ROS, read without a graph and the same on every distribution.

rclpy's own reader is missing on Humble and refuses valid files on Jazzy. What applies to which
node, and what a word without quotes means, are the rules of rcl, tested against its nodes.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from da3_ros.core.config import ConfigError

OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
"""Parameters that every node has, whatever it does."""

NODE_NAME = "da3"
"""Of our node unless it is remapped, and of its block in a parameter file."""

LARGEST_FILE = 1 << 20
"""Bytes; those of whole stacks have some ten thousand."""

WILDCARDS = ("*", "**")


class _Loader(yaml.SafeLoader):
    """YAML as rcl reads it: y and n are truth values, 1e-3 is a number, and nothing is said by
    aliases, with which 300 bytes may hold a billion names."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (&, *) are not read")
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), "yYnN")
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z"), "-+.0123456789"
)
_Loader.bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


def read_parameter_file(path: str | Path) -> dict:
    """Dotted names and values that a ROS parameter file gives to the node, in any namespace.

    What comes later in the file wins. Raises `ConfigError` in one sentence.
    """
    values, named = {}, {}
    for names, parameters in _blocks(path, NODE_NAME):
        if not set(WILDCARDS) & set(names):
            named["/".join(["", *names])] = None
        values.update(parameters)
    if len(named) > 1:
        raise ConfigError(f"{path} has parameters for {' and '.join(named)}; keep those of one")
    return {name: value for name, value in values.items() if not name.startswith(OF_ROS)}


def read_block(path: str | Path, node: str) -> dict:
    """Dotted names and values that the file gives to any node of that name, in any namespace.

    What comes later in the file wins. Raises `ConfigError` in one sentence.
    """
    values: dict = {}
    for _, parameters in _blocks(path, node):
        values.update(parameters)
    return values


def _blocks(path: str | Path, node: str) -> Iterator[tuple[list[str], dict]]:
    """Of each block that a node of that name may take: its namespace and name, part by part, and
    its parameters by dotted name."""
    for name, parameters in _nodes(_load(path), path):
        names = [part for part in name.split("/") if part]
        if names and names[-1] in (node, *WILDCARDS):
            yield names, _flatten(parameters, path)


def _load(path: str | Path) -> object:
    try:
        if not Path(path).is_file():  # a fifo would be waited for, a device has no end
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if (size := Path(path).stat().st_size) > LARGEST_FILE:
            most = LARGEST_FILE >> 10
            raise ConfigError(f"{path} has {size >> 10} kB; a parameter file has at most {most}")
        return yaml.load(Path(path).read_bytes(), _Loader)
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot read the parameter file {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no date, no text
        raise _no_parameter_file(path) from error


def _nodes(tree: object, path: str | Path, name: str = "") -> Iterator[tuple[str, dict]]:
    """Full names and parameters, in the order of the file."""
    if tree is None and not name:  # an empty file
        return
    if not isinstance(tree, dict):
        raise _no_parameter_file(path)
    for key, below in tree.items():
        if key != "ros__parameters":
            yield from _nodes(below, path, f"{name}/{key}")
        elif name and isinstance(below, dict):
            yield name, below
        else:
            raise _no_parameter_file(path)


def _flatten(parameters: dict, path: str | Path, prefix: str = "") -> dict:
    values = {}
    for key, value in parameters.items():
        if value is None:
            raise ConfigError(f'{prefix}{key} has no value in {path}; an empty text is ""')
        if isinstance(value, dict):
            values.update(_flatten(value, path, f"{prefix}{key}."))
        else:
            values[f"{prefix}{key}"] = value
    return values


def _no_parameter_file(path: str | Path) -> ConfigError:
    return ConfigError(
        f"{path} is not a ROS parameter file; it must look like '/**: {{ros__parameters: {{...}}}}'"
    )
