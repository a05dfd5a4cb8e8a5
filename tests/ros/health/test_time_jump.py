"""Jumps of time and second clocks, told apart by stamps alone."""

from hypothesis import given
from hypothesis import strategies as st

from da3_ros.ros.health.time_jump import JUMP_NS, StampVerdict, StreamClock

STEP = JUMP_NS // 20


def verdicts(clock, stamps):
    found = []
    for stamp in stamps:
        verdict, _ = clock.judge(stamp)
        if verdict is not StampVerdict.OTHER_CLOCK:
            clock.follow(stamp)
        found.append(verdict)
    return found


@given(st.integers(0, 2**62), st.lists(st.integers(-JUMP_NS, 10**12), max_size=30))
def test_a_stream_that_only_pauses_or_straggles_is_in_time(start, steps):
    newest, stamps = start, []
    for step in steps:
        stamps.append(newest + step)
        newest = max(newest, stamps[-1])
    assert set(verdicts(StreamClock(), [start, *stamps])) == {StampVerdict.IN_TIME}


@given(st.integers(2 * JUMP_NS, 10**15), st.integers(1, 200))
def test_a_jump_back_is_one_jump(back, count):
    stamps = [10**16 + k * STEP for k in range(5)]
    stamps += [stamps[-1] - back + k * STEP for k in range(count)]
    found = verdicts(StreamClock(), stamps)
    assert found.index(StampVerdict.JUMP) == 5 and found.count(StampVerdict.JUMP) == 1
    assert StampVerdict.OTHER_CLOCK not in found


@given(
    st.integers(1500, 10**9).map(lambda ms: ms * 10**6),
    st.lists(st.booleans(), min_size=40, max_size=80),
    st.booleans(),
)
def test_two_clocks_cost_two_jumps_and_then_the_right_one_is_followed(apart, order, right_is_ahead):
    """order: which of the two speaks next, in bursts of any length."""
    start = 10**18
    right = apart if right_is_ahead else 0
    now = [0]
    clock = StreamClock(lambda: start + now[0] + right)
    taken = []
    found = []
    for k, is_ahead in enumerate(order):
        now[0] = k * STEP
        stamp = start + now[0] + (apart if is_ahead else 0)
        (verdict,) = verdicts(clock, [stamp])
        found.append(verdict)
        taken.append((verdict is not StampVerdict.OTHER_CLOCK, is_ahead == right_is_ahead))
    if found.count(StampVerdict.OTHER_CLOCK) > 2:
        known = found.index(StampVerdict.OTHER_CLOCK)
        silence = max(len(run) for run in "".join("r" if r else "o" for _, r in taken).split("r"))
        if silence * STEP < 2 * JUMP_NS:  # else the right one may be taken for ended
            assert all(t == r for t, r in taken[known:])
    assert found.count(StampVerdict.JUMP) <= 3


LATENCY = JUMP_NS // 5


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(-(10**18), 10**18)), max_size=40))
def test_a_stream_that_keeps_to_the_clock_is_held_to_it(messages):
    """Pauses of any length, and between its messages any others: none of those is taken."""
    now = [2 * 10**18]
    clock = StreamClock(now=lambda: now[0])
    assert verdicts(clock, [now[0] - LATENCY]) == [StampVerdict.IN_TIME]
    for pause, wild in messages:
        if abs(wild) > 2 * JUMP_NS:
            assert verdicts(clock, [now[0] + wild]) == [StampVerdict.OTHER_CLOCK]
        now[0] += round(pause * 1e9)
        assert verdicts(clock, [now[0] - LATENCY]) == [StampVerdict.IN_TIME]


@given(
    st.integers(JUMP_NS, 10**17), st.integers(11 * JUMP_NS, 10**18), st.integers(0, 30 * JUMP_NS)
)
def test_one_stamp_of_the_future_is_not_followed(lag, ahead, pause):
    """Nor in a stream that has never kept to the clock: late, or a bag of another year."""
    now = [2 * 10**18]
    clock = StreamClock(now=lambda: now[0])
    for k in range(10):
        now[0] += STEP + (pause if k == 5 else 0)
        assert verdicts(clock, [now[0] - lag]) == [StampVerdict.IN_TIME]
    assert verdicts(clock, [now[0] + ahead]) == [StampVerdict.OTHER_CLOCK]
    for _ in range(10):
        now[0] += STEP
        assert verdicts(clock, [now[0] - lag]) == [StampVerdict.IN_TIME]


@given(st.integers(2 * JUMP_NS, 10**17), st.integers(0, 30 * JUMP_NS))
def test_a_stream_that_is_ahead_may_pause(ahead, pause):
    now = [2 * 10**18]
    clock = StreamClock(now=lambda: now[0])
    for k in range(10):
        now[0] += STEP + (pause if k == 5 else 0)
        assert verdicts(clock, [now[0] + ahead]) == [StampVerdict.IN_TIME]


@given(st.integers(1500, 10**9).map(lambda ms: ms * 10**6), st.booleans())
def test_a_clock_that_is_set_is_followed_after_two_seconds(by, is_back):
    now = [2 * 10**18]
    clock = StreamClock(now=lambda: now[0])
    found = []
    for k in range(100):
        now[0] += STEP
        shift = 0 if k < 20 else (-by if is_back else by)
        found += verdicts(clock, [now[0] + shift])
    assert set(found[:20]) == {StampVerdict.IN_TIME} and set(found[70:]) == {StampVerdict.IN_TIME}
    # Ahead, a pause cannot be told from it once the clock has gone on without the stream.
    assert found.count(StampVerdict.OTHER_CLOCK) <= 42


@given(st.integers(2 * JUMP_NS, 10**15), st.integers(1, 50))
def test_a_bag_that_is_played_at_another_time_may_loop(back, count):
    stamps = [10**16 + k * STEP for k in range(40)]
    stamps += [stamps[-1] - back + k * STEP for k in range(count)]
    found = verdicts(StreamClock(now=lambda: 2 * 10**18), stamps)
    assert found.count(StampVerdict.JUMP) == 1 and StampVerdict.OTHER_CLOCK not in found
