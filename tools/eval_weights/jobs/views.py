"""How many views?"""

from __future__ import annotations

from tools.eval_weights.jobs.job import Job, Row, Subject, needs_pictures
from tools.eval_weights.measure import ways_of

VIEWS = (1, 2, 4, 6)


def run(subject: Subject) -> list[Row]:
    rows = []
    for way in ways_of(subject.network):
        for views in VIEWS:
            if way.posed and views < 2 and not subject.network.preset.metric:
                continue  # one posed view says nothing about metres, and none are published
            if takes := subject.takes(views):
                rows.append(Row(way.name, views, subject.mean(takes, way)))
    return rows


JOB = Job(
    "views",
    "Views in a window, posed and unposed",
    "`posed`: as the node does it, metres from points of the scene where there are enough; "
    "`cameras only`: metres from the distances between the cameras (`scale.source: cameras`); "
    "`unposed`: the network finds the cameras itself, and its depth has no unit unless it is a "
    "metric one. rotation and translation: of the cameras that it says, against the reference "
    "view.",
    "views",
    (
        "abs_rel", "delta1", "scale_error", "aligned", "delta1_aligned", "rotation_deg",
        "translation", "coverage", "rests_on",
    ),
    ("abs_rel", "aligned"),
    run,
    needs_pictures(2),
)  # fmt: skip
