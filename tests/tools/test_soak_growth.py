"""Whether memory is called flat: one step of an allocator is, a leak is not."""

import numpy as np
import pytest

from tools.soak.samples import Sample, growth_per_hour

PERIOD, MINUTES = 10.0, 24


def samples_of(memory) -> list[Sample]:
    """memory: MB by seconds, with the hops of 0.4 MB that RSS always makes."""
    hops = np.random.default_rng(7).choice([0.0, 0.0, 0.0, 0.4], int(60 * MINUTES / PERIOD))
    return [
        Sample(k * PERIOD, memory(k * PERIOD) + hop, 0.0, 0.0, 22, 23) for k, hop in enumerate(hops)
    ]


@pytest.mark.parametrize("minute", [0, 4, 12, 20, 24])
def test_one_step_is_no_growth(minute):
    stepped = samples_of(lambda t: 580.0 + 10.0 * (t > 60 * minute))
    assert abs(growth_per_hour(stepped, "rss_mb")) < 1.0


@pytest.mark.parametrize("per_hour, step", [(6, 0.01), (6, 0.4), (30, 2.0), (300, 0.4), (300, 20)])
def test_a_leak_is_growth_however_it_comes(per_hour, step):
    """With a step every four minutes or more often; rarer ones look like single steps."""
    leaking = samples_of(lambda t: 580.0 + step * np.floor(per_hour * t / 3600 / step))
    assert growth_per_hour(leaking, "rss_mb") == pytest.approx(per_hour, rel=0.25)


def test_a_short_run_is_judged_by_what_there_is():
    short = samples_of(lambda t: t / 3.6)[:4]
    assert growth_per_hour(short, "rss_mb") == pytest.approx(1000, rel=0.25)
