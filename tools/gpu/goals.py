"""The goals, before all else, as the node runs by default."""

from __future__ import annotations

from tools.gpu import fast
from tools.gpu.cases import Case
from tools.gpu.job import Job

WEIGHT = 9.0

state, table = fast.state, fast.table


def wanted(tiny: bool) -> list[Case]:
    """See `fast.GOALS`."""
    return [Case("da3-small", 3, process_res=56)] if tiny else list(fast.GOALS)


def run(job: Job) -> dict:
    """See `fast.measure_rows`."""
    return fast.measure_rows("goals", wanted(job.tiny), job)
