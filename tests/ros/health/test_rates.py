"""Rates forget; delays are quantiles."""

import numpy as np
import pytest

from da3_ros.ros.health.rates import Delays, Rate


def test_rate_over_its_span():
    now = [0.0]
    rate = Rate(span=2.0, clock=lambda: now[0])
    for k in range(40):
        now[0] = k * 0.1
        rate.tick()
    assert rate.hertz() == pytest.approx(10, abs=1)
    now[0] += 10
    assert rate.hertz() == 0


def test_delays():
    delays = Delays(count=100)
    assert np.isnan(delays.quantiles()).all()
    for k in range(200):
        delays.add(k)
    assert delays.quantiles() == pytest.approx((149.5, 194.05))
