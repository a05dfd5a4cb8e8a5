"""The parameters of core/config.py as ROS parameters: declared, checked, changed together.

The node is created with `automatically_declare_parameters_from_overrides`, so that values
of the wrong type reach our own check, which names parameter, value and bound.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from da3_ros.core.config import (
    Config,
    ConfigError,
    Parameter,
    from_dict,
    parameters,
    unknown_parameter,
)
from da3_ros.core.live_config import LiveConfig
from da3_ros.net.plain_text import LONGEST_PATH, plain
from da3_ros.ros.parameter_file import (
    NODE_NAME,
    OF_ROS,
    SWITCHES_OF_ROS,
    missing_block,
    named_parameters,
)
from da3_ros.ros.qos_overrides import check_overrides

KNOWN = {about.name: about for about in parameters()}
BLOCKS = {name.split(".")[0] for name in KNOWN}
LAST_PARTS = {name.rpartition(".")[2] for name in KNOWN}


def declare_parameters(node: Node) -> Config:
    """Declare every parameter with description and range; returns their values.

    Raises `ConfigError` in one sentence when a value given at start is not allowed.
    """
    _check_ros(node)
    given = {name: node.get_parameter(name).value for name in KNOWN if node.has_parameter(name)}
    config = from_dict(given)
    values = as_dict(config)
    for about in KNOWN.values():
        if about.name in given:
            node.undeclare_parameter(about.name)
        node.declare_parameter(
            about.name, values[about.name], descriptor(about), ignore_override=True
        )
    return config


def _check_ros(node: Node) -> None:
    """Of the parameters that every node has, those whose wrong values ROS does not refuse."""
    check_overrides({n: p.value for n, p in node.get_parameters_by_prefix("").items()})
    for name in SWITCHES_OF_ROS:
        value = node.get_parameter(name).value if node.has_parameter(name) else None
        if value is not None and not isinstance(value, bool):
            shown = plain(repr(value), LONGEST_PATH)
            raise ConfigError(f"{name} is {shown}, must be true or false")


def foreign_parameters(
    names: Iterable[str], arguments: Sequence[str], node: str = f"/{NODE_NAME}"
) -> list[str]:
    """Of the names given to the node those that are meant for others.

    A file may hold parameters of several nodes in one block. arguments: the command line, all
    of which is meant for this node. node: its full name. Raises `ConfigError` for a misspelt name:
    one from the command line, one in a block of ours, one that looks like ours, or one of ours
    without its block in what a file gives to this very node.
    """
    unknown = sorted(n for n in names if n not in KNOWN and not n.startswith(OF_ROS))
    ours = {*_named_on(arguments), *(n for n in unknown if n.split(".")[0] in BLOCKS)}
    ours |= {n for n in _named_in_files(arguments, node) if n in LAST_PARTS}
    sentences = {n: unknown_parameter(n) for n in unknown}
    # `enabled` or `max_depth`, where every node may read it, is many a node's.
    ours |= {n for n, s in sentences.items() if s.endswith("?") and n not in LAST_PARTS}
    misspelt = [s for n, s in sentences.items() if n in ours]
    if misspelt:
        raise ConfigError("; ".join(misspelt))
    return unknown


def of_another_node(name: str) -> str:
    """That a name of `foreign_parameters` is not ours, and what may be meant, in a sentence."""
    ours = [known for known in KNOWN if known.endswith(f".{name}")]
    hint = f" (if {' or '.join(ours)} is meant, write all of it)" if ours else ""
    return f"parameter {plain(name)} is for another node; it is ignored{hint}"


def missing_blocks(arguments: Sequence[str], node: str) -> list[str]:
    """A sentence for each parameter file on the command line that has nothing for this node.

    node: its full name.
    """
    return [s for s in _of_files(arguments, missing_block, node) if s]


def _named_in_files(arguments: Sequence[str], node: str) -> set[str]:
    return set().union(*_of_files(arguments, named_parameters, node))


def _of_files(arguments: Sequence[str], read: Callable, node: str) -> Iterator:
    """What is read of the parameter files on the command line that ROS has taken."""
    for flag, path in itertools.pairwise(arguments):
        if flag == "--params-file":
            with contextlib.suppress(ConfigError):  # larger than others, or a pipe: nothing is said
                yield read(path, node)


def _named_on(arguments: Sequence[str]) -> Iterator[str]:
    """Names in ``-p [node:]name:=value``."""
    for flag, rule in itertools.pairwise(arguments):
        if flag in ("-p", "--param"):
            yield rule.partition(":=")[0].rpartition(":")[2]


def descriptor(about: Parameter) -> ParameterDescriptor:
    """rcl_interfaces/ParameterDescriptor with meaning, unit, range and choices."""
    msg = ParameterDescriptor(name=about.name, description=about.meaning)
    if about.unit:
        msg.description += f" [{about.unit}]"
    constraints = []
    if about.choices:
        constraints.append(f"one of: {', '.join(about.choices)}")
    if about.at_start:
        constraints.append("set only when the node is started")
    elif not about.live:
        constraints.append("changes only while the node is unconfigured")
    msg.additional_constraints = "; ".join(constraints)
    if about.low is not None and about.high is not None:
        _set_range(msg, about)
    return msg


def _set_range(msg: ParameterDescriptor, about: Parameter) -> None:
    if isinstance(about.default, float):
        bounds = FloatingPointRange(from_value=float(about.low), to_value=float(about.high))
        msg.floating_point_range = [bounds]
    else:
        msg.integer_range = [IntegerRange(from_value=about.low, to_value=about.high, step=1)]


def as_dict(config: Config) -> dict:
    """Dotted names and values of a config."""
    values = {}
    for name in KNOWN:
        value = config
        for part in name.split("."):
            value = getattr(value, part)
        values[name] = list(value) if isinstance(value, tuple) else value
    return values


class _UnknownParameter(ParameterNotDeclaredException):
    """As rclpy's, which leaves the name out."""

    def __str__(self) -> str:
        return "; ".join(map(unknown_parameter, self.parameters))

    def __init__(self, names: list[str]):
        super().__init__(names)
        self.parameters = names


def _as_at_start(node: Node, changes: list[RosParameter]) -> list[RosParameter]:
    """10 is 10.0 where a number with a dot is wanted, as in a file; unknown names have names."""
    if unknown := [change.name for change in changes if not node.has_parameter(change.name)]:
        raise _UnknownParameter(unknown)
    return [
        RosParameter(change.name, value=float(change.value))
        if type(change.value) is int and isinstance(_default(change.name), float)
        else change
        for change in changes
    ]


def _default(name: str) -> object:
    return KNOWN[name].default if name in KNOWN else None


class LiveParameters(LiveConfig):
    """The config of a node; takes changes at run time: all of a request or none."""

    def __init__(self, node: Node, config: Config, *, is_configured: Callable[[], bool]):
        super().__init__(config)
        self._is_configured = is_configured
        if hasattr(node, "add_pre_set_parameters_callback"):  # since Iron
            node.add_pre_set_parameters_callback(partial(_as_at_start, node))
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, changes: list[RosParameter]) -> SetParametersResult:
        ours = {change.name: change.value for change in changes if change.name in KNOWN}
        try:
            config = self._changed(ours)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.config = config
        return SetParametersResult(successful=True)

    def _changed(self, changes: dict) -> Config:
        current = as_dict(self.config)
        given = [n for n in changes if KNOWN[n].at_start and changes[n] != current[n]]
        if given:
            raise ConfigError(f"{', '.join(given)} can only be set when the node is started")
        fixed = [n for n in changes if not KNOWN[n].live and changes[n] != current[n]]
        if fixed and self._is_configured():
            raise ConfigError(
                f"{', '.join(fixed)} cannot change while the node is configured; "
                "deactivate and clean it up first"
            )
        return from_dict({**current, **changes})
