"""`qos_overrides.TOPIC.publisher.POLICY`: rclpy is silent about wrong ones, or fails on them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, ReliabilityPolicy

from da3_ros.core.parameter import ConfigError
from da3_ros.net.plain_text import LONGEST_PATH, plain

PREFIX = "qos_overrides."
NAMED = {"history": HistoryPolicy, "reliability": ReliabilityPolicy}
POLICIES = ("depth", *NAMED)
"""Those that every one of our publishers and subscriptions offers."""


def check_overrides(values: Mapping[str, object]) -> None:
    """Raise `ConfigError` in one sentence for a value that the policy cannot have.

    values: by the parameter's name, other parameters among them.
    """
    for name, value in values.items():
        policy = name.rpartition(".")[2]
        if not name.startswith(PREFIX) or policy not in POLICIES:
            continue
        if wanted := _wanted(policy, value):
            shown = plain(repr(value), LONGEST_PATH)
            raise ConfigError(f"{plain(name, LONGEST_PATH)} is {shown}, must be {wanted}")


def unused_overrides(names: list[str], node: Node) -> list[str]:
    """A sentence for each of the parameters that concerns none of the node's topics of now.

    names: those that were given at start.
    """
    topics = {
        "publisher": sorted({p.topic_name for p in node.publishers}),
        "subscription": sorted({s.topic_name for s in node.subscriptions}),
    }
    return [s for name in names if name.startswith(PREFIX) and (s := _unused(name, topics))]


def _wanted(policy: str, value: object) -> str:
    """What the value must be, where it is not."""
    if policy == "depth":
        return "" if type(value) is int and value >= 0 else "a number of messages"
    choices = [word for word in NAMED[policy].short_keys() if word != "unknown"]
    if isinstance(value, str) and value.lower() in choices:
        return ""
    return f"one of {', '.join(choices)}"


def _unused(name: str, topics: dict[str, list[str]]) -> str:
    topic, _, entity = name.removeprefix(PREFIX).partition(".")
    kind, _, policy = entity.partition(".")
    nothing = f"{plain(name, LONGEST_PATH)} changes nothing: "
    if kind not in topics:
        return f"{nothing}its name must be {PREFIX}TOPIC.{' or '.join(topics)}.POLICY"
    if topic not in topics[kind]:
        near = [t for t in topics[kind] if t.startswith(f"{topic}/")]
        near = near or difflib.get_close_matches(topic, topics[kind], 1, cutoff=0.8)
        hint = f"; is {near[0]} meant?" if near else ""
        return f"{nothing}the node has no {kind} of {plain(topic) or 'that name'} now{hint}"
    if policy not in POLICIES:
        return f"{nothing}only {', '.join(POLICIES)} can be overridden"
    return ""
