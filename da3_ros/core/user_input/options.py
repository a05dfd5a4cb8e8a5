"""Options that users set: each is declared once, with its default, what it may be and its meaning.

A class of options is a frozen dataclass whose fields are made by `option`. It checks itself when
it is made: an `Options` object that exists is right. Documents (`print_options`) and the command
line are made of the same fields.
"""

from __future__ import annotations

import json
import math
import numbers
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from da3_ros.net.plain_text import plain

LONGEST_SHOWN = 60
"""Characters of a wrong value that a sentence repeats."""


class OptionError(ValueError):
    """A value that an option cannot have: names the option, what was given and what is wanted."""


class _Refused(Exception):
    """What a value must be; `Kind.check` puts name and value in front of it."""


class Kind:
    """What an option may be. `str(kind)` says it in words."""

    def check(self, name: str, value: Any) -> Any:
        """The value in its plain Python type, or `OptionError`."""
        try:
            return self.take(value)
        except _Refused as refused:
            raise OptionError(f"{name} is {shown(value)}, must be {refused}") from None

    def take(self, value: Any) -> Any:
        """The value in its plain Python type, or `_Refused`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Flag(Kind):
    """True or False; 1 and 0 count."""

    def __str__(self) -> str:
        return "True or False"

    def take(self, value: Any) -> bool:
        if not isinstance(value, (bool, np.bool_, numbers.Integral)) or value not in (0, 1):
            raise _Refused(str(self))
        return bool(value)


@dataclass(frozen=True)
class Number(Kind):
    """A finite number between two bounds, which belong to it; above: a bound that does not."""

    low: float | None = None
    high: float | None = None
    unit: str = ""
    above: float | None = None

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"{self._noun()} from {self.low:.10g} to {self.high:.10g} {self.unit}".rstrip()
        return ", ".join([self._noun(), *self._bounds()])

    def _noun(self) -> str:
        return "a number"

    def _bounds(self) -> list[str]:
        bounds = ((self.above, "above"), (self.low, "at least"), (self.high, "at most"))
        return [f"{word} {n:.10g} {self.unit}".strip() for n, word in bounds if n is not None]

    def take(self, value: Any) -> float:
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise _Refused(str(self))
        inside = (
            (self.above is None or value > self.above)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
        )
        if not inside:
            raise _Refused(" and ".join(self._bounds()))
        return float(value)


@dataclass(frozen=True)
class Whole(Number):
    """A whole number between two bounds; 1e6 is one, numpy's are, True is not."""

    def _noun(self) -> str:
        return "a whole number"

    def take(self, value: Any) -> int:
        number = super().take(value)
        if number != int(number):
            raise _Refused(str(self))
        return int(value)


@dataclass(frozen=True)
class OneOf(Kind):
    """One of some words."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(self.values)}"

    def take(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.values:
            raise _Refused(str(self))
        return str(value)


@dataclass(frozen=True)
class Maybe(Kind):
    """What another kind allows, or None."""

    kind: Kind

    def __str__(self) -> str:
        return f"{self.kind} or None"

    def check(self, name: str, value: Any) -> Any:
        return None if value is None else self.kind.check(name, value)


@dataclass(frozen=True)
class ListOf(Kind):
    """A list, tuple or array of one kind; becomes a tuple. None is the empty one."""

    kind: Kind

    def __str__(self) -> str:
        return f"a list, each {self.kind}"

    def check(self, name: str, value: Any) -> tuple:
        if value is None:
            return ()
        if not isinstance(value, (list, tuple, range)) and not getattr(value, "ndim", 0):
            raise OptionError(f"{name} is {shown(value)}, must be {self}")
        for item in value:
            try:
                self.kind.take(item)
            except _Refused as refused:
                raise OptionError(f"{name} holds {shown(item)}, must be {refused}") from None
        return tuple(self.kind.take(item) for item in value)


@dataclass(frozen=True)
class FileName(Kind):
    """A name of one file, without folders."""

    def __str__(self) -> str:
        return "a file name without folders"

    def take(self, value: Any) -> str:
        if not isinstance(value, str) or not is_plain_name(value):
            raise _Refused(str(self))
        return value


@dataclass(frozen=True)
class ImageSize(Kind):
    """(height, width) px."""

    highest: int

    def __str__(self) -> str:
        return f"(height, width), two whole numbers from 1 to {self.highest} px"

    def take(self, value: Any) -> tuple[int, int]:
        is_list = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 1
        if not is_list or len(value) != 2:
            raise _Refused(str(self))
        side = Whole(1, self.highest)
        try:
            return side.take(value[0]), side.take(value[1])
        except _Refused:
            raise _Refused(str(self)) from None


@dataclass(frozen=True)
class JsonObject(Kind):
    """A dictionary that JSON can hold: text keys, finite numbers."""

    def __str__(self) -> str:
        return "a dictionary that JSON can hold"

    def take(self, value: Any) -> dict:
        try:
            text = json.dumps(value, allow_nan=False) if isinstance(value, dict) else "0"
        except (TypeError, ValueError, RecursionError):
            text = "0"
        if text == "0":
            raise _Refused(str(self))
        return value


@dataclass(frozen=True)
class Of(Kind):
    """An object of one class."""

    type: type

    def __str__(self) -> str:
        return f"a {self.type.__name__}"

    def take(self, value: Any) -> Any:
        if not isinstance(value, self.type):
            raise _Refused(str(self))
        return value


@dataclass(frozen=True)
class Option:
    """What is known about one option."""

    name: str
    default: Any
    kind: Kind
    meaning: str


def option(default: Any, kind: Kind, meaning: str) -> Any:
    """A field of an `Options` class."""
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


@dataclass(frozen=True, eq=False)
class Options:
    """Options of one thing; a subclass adds fields made by `option`."""

    def __post_init__(self):
        for known in self.declared():
            value = known.kind.check(known.name, getattr(self, known.name))
            object.__setattr__(self, known.name, value)

    def check_views(self, count: int) -> None:
        """`OptionError` if the values do not go with a prediction of `count` views."""

    @classmethod
    def declared(cls) -> list[Option]:
        """All options, in the order in which they are declared."""
        return [Option(f.name, f.default, **f.metadata) for f in fields(cls)]


def is_plain_name(name: str) -> bool:
    """Whether it names one file in the folder where it is put, on every system."""
    return (
        name not in ("", ".", "..")
        and len(name.encode(errors="surrogatepass")) <= 200
        and name.isprintable()
        and not any(c in name for c in "/\\")
    )


def shown(value: Any, longest: int = LONGEST_SHOWN) -> str:
    """The value as a sentence repeats it: short, on one line."""
    if getattr(value, "ndim", 0) and hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    try:
        text = " ".join(repr(value).split())
    except (RecursionError, ValueError):
        text = f"a {type(value).__name__}"
    return plain(text, longest)
