"""Options check themselves when they are made, and say what is wrong by name."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.core.user_input.options import (
    FileName,
    Flag,
    ImageSize,
    JsonObject,
    ListOf,
    Maybe,
    Number,
    OneOf,
    OptionError,
    Options,
    Whole,
    option,
)

ACCEPTED = [
    (Flag(), np.True_, True),
    (Flag(), 0, False),
    (Number(0, 100), np.float32(40), 40.0),
    (Number(0, 100), 100, 100.0),
    (Number(above=0), Fraction(1, 4), 0.25),
    (Number(), np.array(3.5), 3.5),
    (Whole(1), np.int16(3), 3),
    (Whole(1), np.array(7), 7),
    (Whole(0), 1e6, 1_000_000),
    (OneOf(("a", "b")), np.str_("a"), "a"),
    (Maybe(Whole(1)), None, None),
    (Maybe(Whole(1)), np.uint8(2), 2),
    (ListOf(Whole(0)), np.array([3, 1]), (3, 1)),
    (ListOf(Whole(0)), range(2), (0, 1)),
    (ListOf(Whole(0)), None, ()),
    (FileName(), "flight 2", "flight 2"),
    (ImageSize(100), np.array([20, 30]), (20, 30)),
    (ImageSize(100), [20, 30.0], (20, 30)),
    (JsonObject(), {"a": [1, None]}, {"a": [1, None]}),
]


@pytest.mark.parametrize(("kind", "given", "taken"), ACCEPTED)
def test_takes_numpys_kin_as_plain_values(kind, given, taken):
    found = kind.check("x", given)
    assert found == taken and type(found) is type(taken)


REFUSED = [
    (Flag(), "yes", "x is 'yes', must be True or False"),
    (Flag(), 2, "must be True or False"),
    (Flag(), 1.0, "must be True or False"),
    (Number(0, 100, "%"), 150, "x is 150, must be at least 0 % and at most 100 %"),
    (Number(0, 100, "%"), "40", "x is '40', must be a number from 0 to 100 %"),
    (Number(0), float("nan"), "x is nan, must be a number, at least 0"),
    (Number(), np.inf, "x is inf, must be a number"),
    (Number(above=0), 0, "x is 0, must be above 0"),
    (Number(), True, "x is True, must be a number"),
    (Number(), 1 + 0j, "must be a number"),
    (Number(), np.zeros(3), r"x is an array of shape \(3,\), must be a number"),
    (Whole(0), -1, "x is -1, must be at least 0"),
    (Whole(0), 2.5, "x is 2.5, must be a whole number"),
    (Whole(0), float("inf"), "x is inf, must be a whole number"),
    (Whole(0), None, "x is None, must be a whole number"),
    (Whole(0), torch.zeros(2, 2), r"x is an array of shape \(2, 2\)"),
    (OneOf(("a", "b")), "c", "x is 'c', must be one of a, b"),
    (OneOf(("a", "b")), ["a"], r"x is \['a'\], must be one of a, b"),
    (OneOf(("a", "b")), np.array(["a", "b"]), "must be one of a, b"),
    (Maybe(OneOf(("a",))), "c", "must be one of a"),
    (ListOf(Whole(0)), [1, "a"], "x holds 'a', must be a whole number"),
    (ListOf(Whole(0)), [1, -2], "x holds -2, must be at least 0"),
    (ListOf(Whole(0)), 3, "x is 3, must be a list, each a whole number"),
    (ListOf(Whole(0)), "12", "x is '12', must be a list"),
    (ListOf(Whole(0)), np.zeros((2, 2)), r"x holds an array of shape \(2,\)"),
    (FileName(), "../x", "x is '../x', must be a file name without folders"),
    (FileName(), "a\\b", "must be a file name"),
    (FileName(), "a\nb", "must be a file name"),
    (FileName(), "", "x is '', must be a file name"),
    (FileName(), "x" * 300, "x{50}.*, must be a file name"),
    (FileName(), "\ud800", "must be a file name"),
    (ImageSize(100), (0, 0), r"x is \(0, 0\), must be \(height, width\), two whole numbers"),
    (ImageSize(100), 70, "x is 70, must be .height, width."),
    (ImageSize(100), (20, 30, 3), "must be .height, width."),
    (ImageSize(100), (20, np.nan), "must be .height, width."),
    (ImageSize(100), [[1], [2, 3]], "must be .height, width."),
    (JsonObject(), {"a": np.nan}, "x is {'a': nan}, must be a dictionary that JSON can hold"),
    (JsonObject(), {"a": object}, "must be a dictionary that JSON can hold"),
    (JsonObject(), [1], "must be a dictionary that JSON can hold"),
]


@pytest.mark.parametrize(("kind", "given", "said"), REFUSED)
def test_says_in_one_line_what_is_wrong(kind, given, said):
    with pytest.raises(OptionError, match=said) as caught:
        kind.check("x", given)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.binary()
    | st.builds(np.zeros, st.lists(st.integers(0, 3), max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(sorted({k for k, *_ in REFUSED}, key=repr)), ANYTHING)
def test_whatever_comes_is_taken_or_named(kind, value):
    try:
        taken = kind.check("this_option", value)
    except OptionError as error:
        assert str(error).startswith("this_option ")
    else:
        again = kind.check("this_option", taken)
        assert again == taken


def test_a_class_of_options_checks_itself_and_knows_what_it_declares():
    @dataclass(frozen=True, eq=False)
    class Base(Options):
        share: float = option(0.5, Number(0, 1), "how much")

    @dataclass(frozen=True, eq=False)
    class Both(Base):
        count: int = option(3, Whole(1), "how many")

    made = Both(share=np.float64(1), count=np.int64(4))
    assert (made.share, made.count) == (1.0, 4) and type(made.count) is int
    with pytest.raises(OptionError, match="count is 0, must be at least 1"):
        Both(count=0)
    names = [(o.name, o.default, str(o.kind), o.meaning) for o in Both.declared()]
    assert names == [
        ("share", 0.5, "a number from 0 to 1", "how much"),
        ("count", 3, "a whole number, at least 1", "how many"),
    ]
