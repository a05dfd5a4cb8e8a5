"""What one piece of a recording hands to the next: where two runs go on in the same way.

A run that begins in the middle of a recording is the same as one from its beginning as soon as
both remember the same. What they remember is looked at itself, attribute by attribute, so that
nothing new that somebody makes the pipeline remember can be left out by mistake.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter
from weakref import WeakKeyDictionary

import numpy as np

from da3_ros.core.frame import Frame
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.scale.anchors import AnchorStore

CLOSE = 0.01
"""Share by which depth may differ where bits may."""


@dataclass(frozen=True)
class Handover:
    """What is remembered at one moment. frames: digest of what decides which frames are looked
    at, how and where. metres: digest of what decides their metres. depth: median of the newest
    window's first map; None before the first window, NaN where it is unknown.
    """

    frames: str
    metres: str
    depth: float | None

    @staticmethod
    def of(memory: tuple[tuple, tuple], newest: WindowDepth | None, *others: object) -> Handover:
        """memory: of a `Runner`. others: what decides on frames besides."""
        frames, metres = memory
        depth = None if newest is None else _middle(newest.depth[0])
        return Handover(digest(frames, others), digest(metres, leave_out=(AnchorStore,)), depth)

    def fits(self, other: Handover, *, exactly: bool) -> bool:
        """Whether two runs go on alike: bit for bit, or with the same frames and close metres."""
        if exactly:
            return (self.frames, self.metres) == (other.frames, other.metres)
        return self.frames == other.frames and _are_close(self.depth, other.depth)


def _middle(depth: np.ndarray) -> float:
    """Median of what is known of a map; NaN where nothing is."""
    known = depth[np.isfinite(depth)]
    return float(np.median(known)) if len(known) else np.nan


def _are_close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=CLOSE) or (math.isnan(a) and math.isnan(b))


def digest(*roots: object, leave_out: tuple[type, ...] = ()) -> str:
    """Of everything that is reached from `roots`: values, arrays, frames by name and pose.

    leave_out: kinds of objects that do not count.
    """
    sha = hashlib.sha256()
    for part in _Walk(leave_out).of(roots):
        sha.update(part if isinstance(part, bytes) else part.encode())
        sha.update(b"\0")
    return sha.hexdigest()


class _Walk:
    """Yields the parts of a value, whatever its kind; trees only, no circles."""

    def __init__(self, leave_out: tuple[type, ...]):
        self._leave_out = leave_out

    def of(self, value: object) -> Iterator[str | bytes]:
        yield type(value).__qualname__
        if isinstance(value, self._leave_out):
            return
        if isinstance(value, Frame):
            yield repr(value.key)
            placed = value.T_world_cam, value.T_world_odom, value.centre
            yield from map(_bytes, (value.camera.K, *placed))
        elif isinstance(value, (np.ndarray, np.generic)):
            yield repr((value.dtype.str, np.shape(value)))
            yield _bytes(value)
        elif isinstance(value, (Mapping, WeakKeyDictionary)):
            yield from self._of_mapping(value)
        elif isinstance(value, (list, tuple, deque)):
            yield repr(len(value))
            for held in value:
                yield from self.of(held)
        elif isinstance(value, Set):
            yield repr(sorted(map(repr, value)))
        elif value is None or isinstance(value, (int, float, str, bytes, Enum)):
            yield repr(value)
        else:
            yield from self._of_object(value)

    def _of_mapping(self, value: Mapping | WeakKeyDictionary) -> Iterator[str | bytes]:
        named = [(repr(k.key if isinstance(k, Frame) else k), held) for k, held in value.items()]
        for name, held in named if isinstance(value, OrderedDict) else sorted(named, key=_name):
            yield name
            yield from self.of(held)

    def _of_object(self, value: object) -> Iterator[str | bytes]:
        """Its attributes; a lock has none."""
        slots = (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
        yield from self.of({name: getattr(value, name, None) for name in slots})
        yield from self.of(getattr(value, "__dict__", {}))


_name = itemgetter(0)


def _bytes(values) -> bytes:
    return b"" if values is None else np.ascontiguousarray(values).tobytes()
