"""What can be said of one parameter: meaning, unit, bounds; and the check of a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata={"about": about})
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class Parameter:
    """What is known about one parameter; `name` is dotted (`window.size`)."""

    name: str
    default: Any
    meaning: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool

    def check(self, value: Any) -> Any:
        """Return the value in the default's type, or raise `ConfigError` in one sentence."""
        if isinstance(self.default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(self.default):
            raise ConfigError(
                f"{self.name} is {value!r}, must be of type {type(self.default).__name__}"
            )
        if self.choices and value not in self.choices:
            raise ConfigError(f"{self.name} is '{value}', must be one of {', '.join(self.choices)}")
        # Written so that NaN fails too.
        if self.low is not None and not value >= self.low:
            raise ConfigError(
                f"{self.name} is {value}, must be at least {self.low} {self.unit}".rstrip()
            )
        if self.high is not None and not value <= self.high:
            raise ConfigError(
                f"{self.name} is {value}, must be at most {self.high} {self.unit}".rstrip()
            )
        return value
