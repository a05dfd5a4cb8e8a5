"""How wrong is depth near and far?"""

from __future__ import annotations

import numpy as np

from tools.eval_weights.jobs.job import Job, Row, Subject, needs_motion
from tools.eval_weights.measure import Compared, Measured, errors, mean_of_known, ways_of

EDGES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 50.0)
"""m"""

LEAST_PIXELS = 20
"""Of one window in one range."""


def run(subject: Subject) -> list[Row]:
    takes = subject.takes(subject.views)
    rows = []
    for way in (way for way in ways_of(subject.network) if way.posed):
        measured = subject.look(takes, way)
        for low, high in zip(EDGES, EDGES[1:]):
            if numbers := within(measured, low, high):
                rows.append(Row(way.name, f"{low:g} to {high:g}", numbers))
    return rows


def within(windows: list[Measured], low: float, high: float) -> dict[str, float]:
    """Means over the windows that have pixels of this true depth; empty where none has."""
    parts = [_part(w.compared, low, high) for w in windows]
    total = sum(len(w.compared.true) for w in windows)
    found = [errors(p, metric=True) for p in parts if len(p.true) >= LEAST_PIXELS]
    if not found:
        return {}
    means = {k: mean_of_known([f[k] for f in found]) for k in ("abs_rel", "delta1", "bias")}
    metres = [np.mean(np.abs(p.said - p.true)) for p in parts if len(p.true) >= LEAST_PIXELS]
    share = sum(len(p.true) for p in parts) / total
    return means | {"error_m": float(np.mean(metres)), "share": share, "windows": len(found)}


def _part(compared: Compared, low: float, high: float) -> Compared:
    inside = (compared.true >= low) & (compared.true < high)
    return Compared(compared.said[inside], compared.true[inside], 1.0)


JOB = Job(
    "range",
    "Error by distance",
    "By true depth, m. bias: below 0 it says too near. error_m: mean of |said - true|, m. share: "
    "of all compared pixels.",
    "true depth, m",
    ("abs_rel", "delta1", "bias", "error_m", "share", "windows"),
    ("abs_rel", "bias"),
    run,
    needs_motion,
)
