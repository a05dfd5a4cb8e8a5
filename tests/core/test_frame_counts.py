"""The ledger adds up whatever happens to the frames."""

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from da3_ros.core.frame_counts import Drop, Ledger

A, B, C = ("cam", 1), ("cam", 2), ("cam", 3)


def summary(ledger):
    counts = ledger.counts()
    dropped = {reason: n for reason, n in counts.dropped.items() if n}
    return counts.received, counts.published, counts.pending, dropped


def test_published_once_though_in_two_windows():
    ledger = Ledger()
    ledger.receive(A)
    for _ in range(2):
        ledger.queue([A])
        ledger.publish([A])
    ledger.leave([A])
    assert summary(ledger) == (1, 1, 0, {})
    assert ledger.counts().windows == 2


def test_frame_that_left_is_pending_while_its_window_is_in_the_network():
    ledger = Ledger()
    ledger.receive(A)
    ledger.queue([A])
    ledger.leave([A])
    assert summary(ledger) == (1, 0, 1, {})
    ledger.publish([A])
    assert summary(ledger) == (1, 1, 0, {})


@pytest.mark.parametrize("leave_first", [True, False])
def test_frame_of_a_window_given_up_is_dropped_for_that_reason(leave_first):
    ledger = Ledger()
    ledger.receive(A)
    ledger.queue([A])
    if leave_first:
        ledger.leave([A])
    ledger.give_up([A], Drop.BUSY)
    ledger.leave([A])
    assert summary(ledger) == (1, 0, 0, {"busy": 1})


def test_second_chance_in_the_next_window():
    ledger = Ledger()
    ledger.receive(A)
    ledger.queue([A])
    ledger.give_up([A], Drop.BUSY)
    ledger.queue([A])
    ledger.publish([A])
    assert summary(ledger) == (1, 1, 0, {})


def test_frames_that_only_help_their_neighbours():
    ledger = Ledger()
    ledger.receive(A)
    ledger.leave([A])
    assert summary(ledger) == (1, 0, 0, {"neighbour_only": 1})


def test_equal_stamps_and_headless_messages_count_too():
    ledger = Ledger()
    assert ledger.receive(A)
    assert not ledger.receive(A)
    ledger.refuse(Drop.BAD_HEADER)
    assert summary(ledger) == (3, 0, 1, {"duplicate_stamp": 1, "bad_header": 1})


def test_drop_all():
    ledger = Ledger()
    for key in (A, B, C):
        ledger.receive(key)
    ledger.publish([A])
    ledger.drop_all(Drop.TIME_JUMP)
    ledger.give_up([B], Drop.BUSY)
    assert summary(ledger) == (3, 1, 0, {"time_jump": 2})


keys = st.integers(0, 5).map(lambda stamp: ("cam", stamp))
some_keys = st.lists(keys, unique=True)
reasons = st.sampled_from(Drop)


class AnyOrder(RuleBasedStateMachine):
    """Calls in any order, sensible or not."""

    def __init__(self):
        super().__init__()
        self.ledger = Ledger()
        self.received = 0

    @rule(key=keys)
    def receive(self, key):
        self.received += 1
        self.ledger.receive(key)

    @rule(reason=reasons)
    def refuse(self, reason):
        self.received += 1
        self.ledger.refuse(reason)

    @rule(key=keys, reason=reasons)
    def drop(self, key, reason):
        self.ledger.drop(key, reason)

    @rule(keys=some_keys)
    def queue(self, keys):
        self.ledger.queue(keys)

    @rule(keys=some_keys)
    def leave(self, keys):
        self.ledger.leave(keys)

    @rule(keys=some_keys)
    def publish(self, keys):
        self.ledger.publish(keys)

    @rule(keys=some_keys, reason=reasons)
    def give_up(self, keys, reason):
        self.ledger.give_up(keys, reason)

    @rule(reason=reasons)
    def drop_all(self, reason):
        self.ledger.drop_all(reason)

    @invariant()
    def adds_up(self):
        counts = self.ledger.counts()
        assert counts.received == self.received
        assert counts.received == counts.published + sum(counts.dropped.values()) + counts.pending


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_every_reason_is_explained_once():
    text = (Path(__file__).parents[2] / "docs" / "status.md").read_text()
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(row for row in rows if row != "dropped_reasons") == sorted(d.value for d in Drop)
