"""Stamps and the node's clock: of one time, or not."""

import pytest

from da3_ros.ros.health.clock_watch import far_from_clock
from da3_ros.ros.health.rates import Statistics

NOW = 1_795_000_000 * 10**9


@pytest.mark.parametrize(
    "seconds, sentence",
    [
        (0.1, ""),
        (-0.1, ""),
        (9.9, ""),
        (60, "image stamps are 60 s behind the node's clock"),
        (-60, "image stamps are 60 s ahead of the node's clock"),
        (95_703_622, "image stamps are 1108 days behind the node's clock"),
    ],
)
def test_stamps_of_another_clock_are_said(seconds, sentence):
    said = far_from_clock(NOW - round(seconds * 1e9), NOW)
    assert said.startswith(sentence) and bool(said) == bool(sentence)
    assert not said or "use_sim_time:=true" in said


def test_a_simulated_clock_that_has_not_begun_says_nothing():
    assert far_from_clock(NOW, 0) == ""


def test_what_is_no_latency_is_not_in_the_statistics():
    statistics = Statistics(lambda: NOW)
    for seconds in (0.5, 95_703_622, 0.7, -95_703_622):
        statistics.note(NOW - round(seconds * 1e9))
    assert statistics.latency.quantiles() == pytest.approx((0.6, 0.69))
