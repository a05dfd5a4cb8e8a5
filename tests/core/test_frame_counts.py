"""The counts add up whatever happens to the frames."""

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from da3_ros.core.frame_counts import Drop, FrameCounts

A, B, C = ("cam", 1), ("cam", 2), ("cam", 3)


def summary(frames):
    counts = frames.counts()
    dropped = {reason: n for reason, n in counts.dropped.items() if n}
    return counts.received, counts.published, counts.pending, dropped


def test_published_once_though_in_two_windows():
    frames = FrameCounts()
    frames.receive(A)
    for _ in range(2):
        frames.queue([A])
        frames.publish([A])
    frames.leave([A])
    assert summary(frames) == (1, 1, 0, {})
    assert frames.counts().windows == 2


def test_frame_that_left_is_pending_while_its_window_is_in_the_network():
    frames = FrameCounts()
    frames.receive(A)
    frames.queue([A])
    frames.leave([A])
    assert summary(frames) == (1, 0, 1, {})
    frames.publish([A])
    assert summary(frames) == (1, 1, 0, {})


@pytest.mark.parametrize("leave_first", [True, False])
def test_frame_of_a_window_given_up_is_dropped_for_that_reason(leave_first):
    frames = FrameCounts()
    frames.receive(A)
    frames.queue([A])
    if leave_first:
        frames.leave([A])
    frames.give_up([A], Drop.BUSY)
    frames.leave([A])
    assert summary(frames) == (1, 0, 0, {"busy": 1})


def test_second_chance_in_the_next_window():
    frames = FrameCounts()
    frames.receive(A)
    frames.queue([A])
    frames.give_up([A], Drop.BUSY)
    frames.queue([A])
    frames.publish([A])
    assert summary(frames) == (1, 1, 0, {})


def test_frames_that_only_help_their_neighbours():
    frames = FrameCounts()
    frames.receive(A)
    frames.queue([B], beside=[A, B])
    assert not frames.leave([A])
    assert summary(frames) == (1, 0, 0, {"neighbour_only": 1})


def test_frames_that_were_in_no_window():
    frames = FrameCounts()
    for key in (A, B, C):
        frames.receive(key)
    assert frames.leave([A]), "there was no window at all"
    frames.queue([B], beside=[B])
    frames.publish([B])
    assert not frames.end(), "there was one"
    assert summary(frames) == (3, 1, 0, {"no_window": 2})


def test_equal_stamps_and_headless_messages_count_too():
    frames = FrameCounts()
    assert frames.receive(A)
    assert not frames.receive(A)
    frames.refuse(Drop.BAD_HEADER)
    assert summary(frames) == (3, 0, 1, {"duplicate_stamp": 1, "bad_header": 1})


def test_drop_all():
    frames = FrameCounts()
    for key in (A, B, C):
        frames.receive(key)
    frames.publish([A])
    frames.drop_all(Drop.TIME_JUMP)
    frames.give_up([B], Drop.BUSY)
    assert summary(frames) == (3, 1, 0, {"time_jump": 2})


keys = st.integers(0, 5).map(lambda stamp: ("cam", stamp))
some_keys = st.lists(keys, unique=True)
reasons = st.sampled_from(Drop)


class AnyOrder(RuleBasedStateMachine):
    """Calls in any order, sensible or not."""

    def __init__(self):
        super().__init__()
        self.frames = FrameCounts()
        self.received = 0

    @rule(key=keys)
    def receive(self, key):
        self.received += 1
        self.frames.receive(key)

    @rule(reason=reasons)
    def refuse(self, reason):
        self.received += 1
        self.frames.refuse(reason)

    @rule(key=keys, reason=reasons)
    def drop(self, key, reason):
        self.frames.drop(key, reason)

    @rule(keys=some_keys, beside=some_keys)
    def queue(self, keys, beside):
        self.frames.queue(keys, beside)

    @rule(keys=some_keys)
    def leave(self, keys):
        self.frames.leave(keys)

    @rule(keys=some_keys)
    def publish(self, keys):
        self.frames.publish(keys)

    @rule(keys=some_keys, reason=reasons)
    def give_up(self, keys, reason):
        self.frames.give_up(keys, reason)

    @rule()
    def end(self):
        self.frames.end()

    @rule(reason=reasons)
    def drop_all(self, reason):
        self.frames.drop_all(reason)

    @invariant()
    def adds_up(self):
        counts = self.frames.counts()
        assert counts.received == self.received
        assert counts.received == counts.published + sum(counts.dropped.values()) + counts.pending


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_every_reason_is_explained_once():
    text = (Path(__file__).parents[2] / "docs" / "status.md").read_text()
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(row for row in rows if row != "dropped_reasons") == sorted(d.value for d in Drop)
