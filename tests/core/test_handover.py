"""What is remembered at a boundary: everything, and nothing else."""

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core.camera_model import CameraModel
from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, FrameCounts
from da3_ros.core.handover import Handover, digest

CAMERA = CameraModel(4, 2, np.diag([4.0, 4.0, 1.0]))


def frame(stamp_ns=1, x=0.0):
    T = np.eye(4)
    T[0, 3] = x
    return Frame("camera", stamp_ns, np.zeros((2, 4, 3), np.uint8), CAMERA, T)


@dataclass
class Memory:
    held: deque = field(default_factory=deque)
    values: dict = field(default_factory=dict)


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
LEAVES |= st.floats(allow_nan=False)


@given(LEAVES, LEAVES)
def test_any_difference_is_seen_wherever_it_lies(a, b):
    for wrap in (
        lambda x: Memory(deque([1, x])),
        lambda x: Memory(values={"a": [x]}),
        lambda x: Slotted((x,)),
        lambda x: OrderedDict(a=x),
    ):
        same = type(a) is type(b) and repr(a) == repr(b)
        assert (digest(wrap(a)) == digest(wrap(b))) == same


def test_arrays_frames_and_weak_references():
    array = np.arange(4.0)
    assert digest(array) == digest(array.copy()) != digest(array.astype(np.float32))
    assert digest(array) != digest(array.reshape(2, 2))
    assert digest(frame()) == digest(frame()) != digest(frame(x=1e-9))
    assert digest(frame()) != digest(replace(frame(), T_world_odom=np.eye(4)))
    first, second = frame(1), frame(2)
    tracks = WeakKeyDictionary({first: [1], second: [2]})
    turned = WeakKeyDictionary({second: [2], first: [1]})
    assert digest(tracks) == digest(turned) != digest(WeakKeyDictionary({first: [1]}))


def test_order_counts_where_it_means_something():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(OrderedDict(a=1, b=2)) != digest(OrderedDict(b=2, a=1))
    assert digest([1, 2]) != digest([2, 1]) and digest({1, 2}) == digest({2, 1})
    assert digest([[1], [2]]) != digest([[1, 2]])


def test_what_is_left_out_does_not_count():
    assert digest(Memory(deque([Lock()]))) == digest(Memory(deque([Lock()])))
    a, b = Memory(deque([Slotted(1)])), Memory(deque([Slotted(2)]))
    assert digest(a) != digest(b) and digest(a, leave_out=(Slotted,)) == digest(
        b, leave_out=(Slotted,)
    )


def test_pieces_fit():
    whole = Handover("f", "m", 2.0)
    assert whole.fits(Handover("f", "m", 2.0), exactly=True)
    assert not whole.fits(Handover("f", "n", 2.0), exactly=True)
    assert whole.fits(Handover("f", "n", 2.015), exactly=False)
    assert not whole.fits(Handover("f", "m", 2.03), exactly=False)
    assert not whole.fits(Handover("g", "m", 2.0), exactly=False)
    unknown = Handover("f", "m", math.nan)
    assert unknown.fits(unknown, exactly=False) and not unknown.fits(whole, exactly=False)
    assert not Handover("f", "m", None).fits(whole, exactly=False)


@pytest.mark.parametrize("cut", [0, 2, 5])
def test_counts_of_pieces_add_up(cut):
    counts, events = FrameCounts(), 5
    at_cut = counts.counts()
    for k in range(events):
        if k == cut:
            at_cut = counts.counts()
        counts.receive(("c", k))
        counts.queue([("c", k)])
        if k % 2:
            counts.publish([("c", k)])
        else:
            counts.drop(("c", k), Drop.NO_POSE)
    if cut == events:
        at_cut = counts.counts()
    whole = counts.counts()
    assert at_cut + (whole - at_cut) == whole
    assert whole.dropped["no_pose"] == 3 and whole.published == 2


def test_equal_configs_are_alike_and_others_are_not():
    one, same, other = (from_dict(v).scale for v in ({}, {}, {"scale.max_age": 1.0}))
    assert digest(one) == digest(same) != digest(other)
