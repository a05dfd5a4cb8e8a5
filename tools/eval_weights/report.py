"""What was measured, as one page of markdown with its plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.eval_weights.jobs.job import Job, Row
from tools.eval_weights.plots import plot
from tools.eval_weights.recording import Dataset

NUMBERS = (
    "abs_rel: mean of |said - true| / true, in metres without any fitting; delta1: share of pixels "
    "within a factor of 1.25; scale_error: |ln| of the factor that a fit of the median would still "
    "apply; aligned: abs_rel after that fit; coverage: share of the pixels of known truth that "
    "have depth at all (windows without any do not count in the errors); rests_on: what the metres "
    "of how many windows rest on. Means over windows, of the published view at the network's size; "
    "empty: nothing was said."
)


@dataclass(frozen=True)
class Answer:
    """Of one job on one dataset; `missing` says why there are no rows."""

    job: Job
    dataset: Dataset
    rows: list[Row]
    missing: str = ""


@dataclass(frozen=True)
class Report:
    """model, how: what was measured and with which command. left_out: sentences."""

    model: str
    how: str
    datasets: Sequence[Dataset]
    answers: Sequence[Answer]
    left_out: Sequence[str]

    def write(self, path: Path) -> None:
        """The page, and its plots in images/ beside it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [f"# How right {self.model} is", self.how, NUMBERS, _data(self.datasets)]
        parts += [f"Left out: {sentence}." for sentence in self.left_out]
        for name in dict.fromkeys(a.job.name for a in self.answers):
            parts.append(self._section([a for a in self.answers if a.job.name == name], path))
        path.write_text("\n\n".join(parts) + "\n")

    def _section(self, answers: list[Answer], page: Path) -> str:
        job = answers[0].job
        parts = [f"## {job.title}", job.text]
        if with_rows := {a.dataset.name: a.rows for a in answers if a.rows}:
            picture = page.parent / "images" / f"{page.stem}_{job.name}.png"
            picture.parent.mkdir(exist_ok=True)
            plot(job, with_rows, picture)
            parts.append(f"![{job.title}](images/{picture.name})")
        for answer in answers:
            parts.append(table(answer) if answer.rows else _why_not(answer))
        return "\n\n".join(parts)


def table(answer: Answer) -> str:
    """Markdown: one line per row."""
    job = answer.job
    columns = [c for c in job.columns if any(_cell(row.numbers.get(c)) for row in answer.rows)]
    lines = [
        f"| {answer.dataset.name} | {job.axis} | " + " | ".join(columns) + " |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for row in answer.rows:
        cells = " | ".join(_cell(row.numbers.get(c)) for c in columns)
        at = row.at if isinstance(row.at, str) else f"{row.at:g}"
        lines.append(f"| {row.label} | {at} | {cells} |")
    return "\n".join(lines)


def _cell(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return str(value)
    return "" if np.isnan(value) else f"{value:.3f}"


def _why_not(answer: Answer) -> str:
    return f"{answer.dataset.name}: not measured, {answer.missing}."


def _data(datasets: Sequence[Dataset]) -> str:
    lines = ["| data | pictures | recordings | from picture to picture | true depth | notes |"]
    lines.append("|---" * 6 + "|")
    for d in datasets:
        pictures = sum(map(len, d.recordings))
        lines.append(
            f"| {d.name} | {pictures} | {len(d.recordings)} | {100 * d.step:.1f} cm | {d.truth} "
            f"| {'; '.join(d.notes)} |"
        )
    return "\n".join(lines)
