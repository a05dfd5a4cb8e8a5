"""What is measured, one file per question. Another one is a file beside these, and a line below."""

from tools.eval_weights.jobs import (
    pose_noise,
    ranges,
    reference,
    spacing,
    stereo,
    time_offset,
    views,
)
from tools.eval_weights.jobs.job import Job

JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        views.JOB,
        reference.JOB,
        spacing.JOB,
        pose_noise.JOB,
        time_offset.JOB,
        ranges.JOB,
        stereo.JOB,
    )
}
