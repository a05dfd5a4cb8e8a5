"""Which view is the reference, and which one is published?"""

from __future__ import annotations

from tools.eval_weights.jobs.job import METRES, Job, Row, Subject, needs_motion
from tools.eval_weights.measure import ways_of

CHOICES = (
    ("middle", "reference"),
    ("newest", "reference"),
    ("first", "reference"),
    ("middle", "newest"),
)


def run(subject: Subject) -> list[Row]:
    rows = []
    for way in ways_of(subject.network):
        for reference, publish in CHOICES:
            name = reference if publish == "reference" else f"{reference}, {publish} published"
            chosen = way.having({"window.reference": reference, "window.publish": publish})
            numbers = subject.mean(subject.takes(subject.views), chosen)
            rows.append(Row(way.name, name, numbers))
    return rows


def missing(subject: Subject) -> str:
    if not subject.network.preset.any_view:
        return "the network sees one view at a time and has no reference"
    return needs_motion(subject)


JOB = Job(
    "reference",
    "Reference view",
    "`window.reference`, and in the last line `window.publish: newest` with the middle one as "
    "reference: what the least delay costs. The views differ, and so do their pictures: compare "
    "over many windows.",
    "reference",
    METRES,
    ("abs_rel", "aligned"),
    run,
    missing,
)
