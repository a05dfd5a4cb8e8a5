"""What has to hold beside somebody who means no good, and the table of it."""

from __future__ import annotations

import os
import re

import numpy as np

from tools.soak.hostile import ACTING, MINUTE, is_acting
from tools.soak.laws import LONGEST_END, MOST_GROWTH, SHORTEST_JUDGED, Run
from tools.soak.samples import Sample, growth_per_hour

LONGEST_SILENCE = 2.0
"""Seconds between two status messages."""
LEAST_SHARE = 0.9
"""Of the depth images a second that come in the calm seconds."""
LONGEST_LINE = 3000
LARGEST_LOG = 1_000_000
"""Bytes for ten minutes."""
FORGED = re.compile(r"^\[ERROR\] \[da3\]: the disk is full|\x1b", re.MULTILINE)


def depth_rates(run: Run) -> tuple[float, float]:
    """Depth images a second: in the seconds of hostility, and in the calm ones."""
    begin, end = run.listener.came_at[0], run.listener.came_at[-1]
    seconds = np.arange(np.ceil(begin), np.floor(end))
    # What is on its way when hostility begins and ends counts for neither.
    phase = seconds % MINUTE
    is_clear = (phase > 1) & (np.abs(phase - ACTING) > 2)
    count = np.histogram(run.listener.came_at, np.append(seconds, seconds[-1] + 1))[0]
    acting = np.array([is_acting(s) for s in seconds])
    return count[acting & is_clear].mean(), count[~acting & is_clear].mean()


def late(run: Run) -> list[Sample]:
    """Samples of the second half: by then each act was done a dozen times, the frames are full."""
    return run.samples[len(run.samples) // 2 :]


def longest_silence(run: Run) -> float:
    """Seconds between two status messages, by the node's own clock."""
    stamps = [m.stamp.sec + m.stamp.nanosec / 1e9 for m in run.listener.statuses]
    stamps = stamps[run.statuses_before :]  # while it waited, its queues were being filled
    return float(np.diff(stamps).max())


def broken_by_hostility(run: Run) -> list[str]:
    """One sentence for each law that does not hold."""
    hostile, calm = depth_rates(run)
    growth, silence = growth_per_hour(late(run), "rss_mb"), longest_silence(run)
    longest = max(map(len, run.log.splitlines()))
    room = LARGEST_LOG * max(1.0, run.seconds / 600)
    laws = [
        (not run.listener.unbalanced, f"counters do not add up: {run.listener.unbalanced[:1]}"),
        (silence <= LONGEST_SILENCE, f"the status was silent for {silence:.1f} s"),
        (hostile >= LEAST_SHARE * calm, f"{hostile:.2f} depth images a second, {calm:.2f} in calm"),
        (
            run.seconds < SHORTEST_JUDGED or growth <= MOST_GROWTH,
            f"memory grows by {growth:.1f} MB per hour",
        ),
        ("Traceback" not in run.log, "the log holds a traceback"),
        (len(run.log) < room, f"the log has {len(run.log)} bytes"),
        (longest < LONGEST_LINE, f"a line of the log has {longest} characters"),
        (not FORGED.search(run.log), "a line of the log is forged"),
        (run.exit_code == 0, f"the node ended with exit code {run.exit_code}"),
        (run.seconds_to_end <= LONGEST_END, f"the node took {run.seconds_to_end:.1f} s to end"),
    ]
    return [sentence for holds, sentence in laws if not holds]


def hostile_table(run: Run) -> str:
    """Markdown: what went through beside it, and what the process held on to."""
    last, first, end = run.last, run.samples[0], run.samples[-1]
    dropped = [f"{n} {r}" for r, n in zip(last.dropped_reasons, last.dropped_counts) if n]
    refused = [f"{n} {r}" for r, n in zip(last.transforms_refused, last.transforms_refused_counts)]
    memory = (first.rss_mb, late(run)[0].rss_mb, end.rss_mb)
    held = (first.threads, first.files, end.threads, end.files)
    rows = [
        ("minutes", f"{run.seconds / 60:.1f}"),
        ("good images sent", run.images_sent),
        ("images counted by the node", last.frames_received),
        ("published", last.frames_published),
        ("dropped", ", ".join(dropped)),
        ("transforms refused", ", ".join(refused)),
        ("depth images a second: hostile, calm", "{:.2f}, {:.2f}".format(*depth_rates(run))),
        ("longest silence of the status", f"{longest_silence(run):.2f} s"),
        ("memory (RSS): first, half way, last", "{:.1f}, {:.1f}, {:.1f} MB".format(*memory)),
        ("growth in the second half", f"{growth_per_hour(late(run), 'rss_mb'):+.2f} MB/h"),
        ("threads, open files: first; last", "{}, {}; {}, {}".format(*held)),
        ("log", f"{len(run.log) >> 10} kB"),
        ("exit code, seconds to end", f"{run.exit_code}, {run.seconds_to_end:.2f}"),
        ("load of the machine", "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg())),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
