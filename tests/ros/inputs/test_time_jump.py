"""Jumps of time and second clocks, told apart by stamps alone."""

from hypothesis import given
from hypothesis import strategies as st

from da3_ros.ros.inputs.time_jump import JUMP_NS, StreamClock, Verdict

STEP = JUMP_NS // 20


def verdicts(clock, stamps):
    found = []
    for stamp in stamps:
        verdict, _ = clock.judge(stamp)
        if verdict is not Verdict.OTHER_CLOCK:
            clock.follow(stamp)
        found.append(verdict)
    return found


@given(st.integers(0, 2**62), st.lists(st.integers(-JUMP_NS, 10**12), max_size=30))
def test_a_stream_that_only_pauses_or_straggles_is_in_time(start, steps):
    newest, stamps = start, []
    for step in steps:
        stamps.append(newest + step)
        newest = max(newest, stamps[-1])
    assert set(verdicts(StreamClock(), [start, *stamps])) == {Verdict.IN_TIME}


@given(st.integers(2 * JUMP_NS, 10**15), st.integers(1, 200))
def test_a_jump_back_is_one_jump(back, count):
    stamps = [10**16 + k * STEP for k in range(5)]
    stamps += [stamps[-1] - back + k * STEP for k in range(count)]
    found = verdicts(StreamClock(), stamps)
    assert found.index(Verdict.JUMP) == 5 and found.count(Verdict.JUMP) == 1
    assert Verdict.OTHER_CLOCK not in found


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
        taken.append((verdict is not Verdict.OTHER_CLOCK, is_ahead == right_is_ahead))
    if found.count(Verdict.OTHER_CLOCK) > 2:
        known = found.index(Verdict.OTHER_CLOCK)
        silence = max(len(run) for run in "".join("r" if r else "o" for _, r in taken).split("r"))
        if silence * STEP < 2 * JUMP_NS:  # else the right one may be taken for ended
            assert all(t == r for t, r in taken[known:])
    assert found.count(Verdict.JUMP) <= 3
