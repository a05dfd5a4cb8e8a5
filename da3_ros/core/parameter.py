"""Parameters: meaning, unit, bounds and the check of a value; and blocks of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from da3_ros.net.plain_text import LONGEST_PATH, plain

LONGEST_TEXT = 4096
"""Characters of a text; systems end at about as many of a path."""


class ConfigError(ValueError):
    """A parameter value outside what the parameter allows."""


def parameter(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """A dataclass field with its meaning, unit, inclusive bounds or choices.

    live: may change while the node is active; the others need a restart of the node
    (deactivate, cleanup, configure).
    """
    about = Parameter("", default, meaning, unit, low, high, choices, live)
    return field(default=default, metadata={"about": about})


def parameter_at_start(default: Any, meaning: str) -> Any:
    """The same, but set only when the node is started, by nobody on the graph: it says which part
    of the disk they may reach.
    """
    return field(
        default=default, metadata={"about": Parameter("", default, meaning, at_start=True)}
    )


@dataclass(frozen=True)
class Parameter:
    """What is known about one parameter; `name` is dotted (`window.size`)."""

    name: str
    default: Any
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    at_start: bool = False

    def check(self, value: Any) -> Any:
        """Return the value in the default's type, or raise `ConfigError` in one sentence."""
        kind = type(self.default)
        if (kind, type(value)) in ((float, int), (tuple, list)):
            value = self._converted(kind, value)
        if type(value) is not kind:
            wanted = "list" if kind is tuple else kind.__name__
            raise ConfigError(f"{self.name} is {_shown(value)}, must be of type {wanted}")
        if kind is str:
            self._check_text(value)
        if self.choices and value not in self.choices:
            wanted = ", ".join(self.choices)
            raise ConfigError(f"{self.name} is '{plain(value)}', must be one of {wanted}")
        # Written so that NaN fails too.
        if self.low is not None and not value >= self.low:
            raise ConfigError(self._beyond(value, f"at least {self.low}"))
        if self.high is not None and not value <= self.high:
            raise ConfigError(self._beyond(value, f"at most {self.high}"))
        return value

    def _converted(self, kind: type, value: Any) -> Any:
        try:
            return kind(value)
        except OverflowError as error:
            raise ConfigError(self._beyond(value, f"at most {self.high}")) from error

    def _check_text(self, text: str) -> None:
        """It goes into topics, paths and sentences."""
        if len(text) > LONGEST_TEXT or any(c < " " or c == "\x7f" for c in text):
            raise ConfigError(
                f"{self.name} is {_shown(text)}, must have at most {LONGEST_TEXT} characters and "
                "none that controls a terminal"
            )

    def _beyond(self, value: Any, wanted: str) -> str:
        return f"{self.name} is {_shown(value)}, must be {wanted} {self.unit}".rstrip()


def _shown(value: Any) -> str:
    return plain(repr(value), LONGEST_PATH)


class ParameterBlock:
    """Base of the dataclasses of parameters: every value is checked at birth, in the default's
    type afterwards. `size` of WindowConfig is the parameter `window.size`.
    """

    def __post_init__(self):
        name = type(self).__name__.removesuffix("Config").lower()
        for f in dataclasses.fields(self):
            if about := f.metadata.get("about"):
                about = dataclasses.replace(about, name=f"{name}.{f.name}".lstrip("."))
                object.__setattr__(self, f.name, about.check(getattr(self, f.name)))
        self.check_together()

    def check_together(self) -> None:
        """What the bounds of single values cannot say; a block overrides this beside its fields.

        Raises `ConfigError` in one sentence when values contradict each other.
        """


def declared(config: type, prefix: str = "") -> Iterator[Parameter]:
    """Every parameter of a block and the blocks in it, with its dotted name."""
    for f in dataclasses.fields(config):
        if "about" in f.metadata:
            yield dataclasses.replace(f.metadata["about"], name=prefix + f.name)
        else:
            yield from declared(f.default_factory, f"{prefix}{f.name}.")


def build(config: type, values: dict[str, Any], prefix: str = "") -> Any:
    """A block with the blocks in it, from dotted names. Raises `ConfigError`."""
    arguments = {}
    for f in dataclasses.fields(config):
        name = prefix + f.name
        if "about" not in f.metadata:
            arguments[f.name] = build(f.default_factory, values, f"{name}.")
        elif name in values:
            arguments[f.name] = values[name]
    return config(**arguments)
