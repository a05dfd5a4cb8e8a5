"""The tables as pictures."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from tools.eval_weights.jobs.job import Job, Row

STYLES = ("o-", "s--", "^:")


def plot(job: Job, by_dataset: dict[str, list[Row]], path: Path) -> None:
    """One panel per dataset; a color per label, a line style per number drawn."""
    figure, panels = plt.subplots(
        1, len(by_dataset), figsize=(1 + 4 * len(by_dataset), 3.6), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    for axes, (name, rows) in zip(panels[0], by_dataset.items()):
        _panel(axes, job, rows)
        axes.set_title(name)
    panels[0][0].legend(fontsize="small")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _panel(axes, job: Job, rows: list[Row]) -> None:
    places = list(dict.fromkeys(row.at for row in rows))
    if all(not isinstance(at, str) for at in places):
        places.sort()
    for color, label in enumerate(dict.fromkeys(row.label for row in rows)):
        mine = [row for row in rows if row.label == label]
        for style, number in zip(STYLES, job.drawn):
            values = [row.numbers.get(number, np.nan) for row in mine]
            if not np.isfinite(values).any():
                continue
            at = [places.index(row.at) for row in mine]
            axes.plot(at, values, style, color=f"C{color}", label=f"{label}: {number}")
    axes.set_xticks(range(len(places)), [_text(at) for at in places], fontsize="small")
    axes.set_xlabel(job.axis)
    axes.grid(alpha=0.3)


def _text(at: float | str) -> str:
    return at.replace(", ", ",\n") if isinstance(at, str) else f"{at:g}"
