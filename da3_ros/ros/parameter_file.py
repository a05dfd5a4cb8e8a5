"""Parameter files of ROS, read without a graph and the same on every distribution.

rclpy's own reader is missing on Humble and refuses valid files on Jazzy. What applies to which
node, and what a word without quotes means, are the rules of rcl, tested against its nodes.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import yaml

from da3_ros.core.config import ConfigError
from da3_ros.net.plain_text import LONGEST_PATH, plain

SWITCHES_OF_ROS = ("use_sim_time", "start_type_description_service")
OF_ROS = (*SWITCHES_OF_ROS, "qos_overrides.")
"""Parameters that every node has, whatever it does."""

NODE_NAME = "da3"
"""Of our node unless it is remapped, and of its block in a parameter file."""

LARGEST_FILE = 1 << 20
"""Bytes; those of whole stacks have some ten thousand."""

MOST_NAMED = 8
"""Blocks listed in a sentence."""

WILDCARDS = {"*": r"(/\w+)", "**": r"(/\w+)*"}
"""Parts of a block's name that stand for any one part of a node's full name, or for any number."""


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
    blocks = _blocks(path)
    for name, parameters in blocks:
        if _last(name) not in (NODE_NAME, *WILDCARDS):
            continue
        if not any(part in WILDCARDS for part in name.split("/")):
            named[name] = None
        values.update(_flatten(parameters, path))
    if len(named) > 1:
        raise ConfigError(f"{path} has parameters for {' and '.join(named)}; keep those of one")
    if blocks and not any(_last(name) in (NODE_NAME, *WILDCARDS) for name, _ in blocks):
        raise ConfigError(f"{path} has no block for {NODE_NAME}: it has {_listed(blocks)}")
    return {name: value for name, value in values.items() if not name.startswith(OF_ROS)}


def read_block(path: str | Path, node: str) -> dict:
    """Dotted names and values that the file gives to the node of that full name (/robot1/da3).

    What comes later in the file wins. Raises `ConfigError` in one sentence.
    """
    values: dict = {}
    for name, parameters in _blocks(path):
        if _holds_for(name, node):
            values.update(_flatten(parameters, path))
    return values


def names_node(path: str | Path, node: str) -> bool:
    """Whether a block of the file is for this full name, and not for every node there is.

    Raises `ConfigError` in one sentence.
    """
    return any(_is_named(name, node) for name, _ in _blocks(path))


def named_parameters(path: str | Path, node: str) -> set[str]:
    """Dotted names in the blocks that name this node. Raises `ConfigError` in one sentence."""
    mine = [parameters for name, parameters in _blocks(path) if _is_named(name, node)]
    return {name for parameters in mine for name in _flatten(parameters, path)}


def missing_block(path: str | Path, node: str) -> str:
    """That the file gives nothing to the node of that full name, in a sentence, or nothing.

    Blocks of others are no mistake beside one for every node, unless they look like ours: they
    have our usual name, or that of this node. Raises `ConfigError`.
    """
    blocks = _blocks(path)
    used = [name for name, _ in blocks if _holds_for(name, node)]
    ours = {NODE_NAME, _last(node)}
    if not blocks or any(_is_named(name, node) for name in used):
        return ""
    if used and not any(_last(name) in ours for name, _ in blocks):
        return ""
    held = f"only {' and '.join(used)} holds" if used else "nothing in it holds"
    return (
        f"{plain(str(path), LONGEST_PATH)} has no block for {node}: it has {_listed(blocks)}, and "
        f"{held} for this node; call the block {node}, or /** for every node"
    )


def _blocks(path: str | Path) -> list[tuple[str, dict]]:
    """The full name of each block, and its parameters as they stand there."""
    named = [("/" + name.strip("/"), block) for name, block in _nodes(_load(path), path)]
    return [(re.sub("/+", "/", name), block) for name, block in named if name.strip("/")]


def _listed(blocks: list[tuple[str, dict]]) -> str:
    names = [plain(name) for name, _ in blocks[:MOST_NAMED]]
    more = len(blocks) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _holds_for(block: str, node: str) -> bool:
    """Whether rcl gives a block of that name to the node of that full name."""
    parts = [WILDCARDS.get(part, "/" + re.escape(part)) for part in block.split("/") if part]
    return re.fullmatch("".join(parts), node) is not None


def _is_named(block: str, node: str) -> bool:
    return _last(block) not in WILDCARDS and _holds_for(block, node)


@lru_cache(maxsize=1)
def _parsed(text: bytes) -> object:
    """Of a file several blocks are asked for, one after another. Not to be changed."""
    return yaml.load(text, _Loader)


def _load(path: str | Path) -> object:
    try:
        if not Path(path).is_file():  # a fifo would be waited for, a device has no end
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if (size := Path(path).stat().st_size) > LARGEST_FILE:
            most = LARGEST_FILE >> 10
            raise ConfigError(f"{path} has {size >> 10} kB; a parameter file has at most {most}")
        return _parsed(Path(path).read_bytes())
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
