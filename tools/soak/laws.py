"""A soak's findings, the laws they have to obey, and the table of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from da3_ros.msg import Status

from tools.soak.listener import SoakListener
from tools.soak.samples import Sample, growth_per_hour, shared_files

WARM_UP = 0.2
"""Share of the run after which memory has to be flat."""
MOST_GROWTH = 12.0
"""MB per hour; judged on runs of nine minutes and more, the allocator's noise is larger before."""
SHORTEST_JUDGED = 530.0
LONGEST_END = 2.0
OWN_SEGMENT = r"/dev/shm/fastdds_[0-9a-f]{16}\b"


@dataclass
class Run:
    """Everything one soak found out."""

    pid: int
    listener: SoakListener
    samples: list[Sample] = field(default_factory=list)
    statuses_before: int = 0
    images_sent: int = 0
    loops: int = 0
    last: Status | None = None
    exit_code: int = -1
    seconds_to_end: float = 0.0
    log: str = ""
    left_behind: list[Path] = field(default_factory=list)
    _segments: set[Path] = field(default_factory=set)

    def wait_for_depth(self, check_alive: Callable[[], None], count: int = 1) -> None:
        """Until the node has published `count` more."""
        wanted = self.listener.depths + count
        while self.listener.depths < wanted:
            check_alive()
            time.sleep(0.2)

    def watch(self, seconds: float, period: float, check_alive: Callable[[], None]) -> None:
        """Sample for so many seconds."""
        self.statuses_before = len(self.listener.statuses)
        begin = due = time.monotonic()
        while due <= begin + seconds:
            check_alive()
            self.samples.append(Sample.of(self.pid))
            due += period
            time.sleep(max(0.0, min(due, begin + seconds) - time.monotonic()))

    def note_sent(self, player_log: str) -> None:
        """The player's last words."""
        found = re.search(r"^sent: (\d+) images in (\d+) loops", player_log, re.MULTILINE)
        self.images_sent, self.loops = int(found[1]), int(found[2])

    def note_end_of_input(self, last: Status) -> None:
        """Nothing comes in any more; the node still lives."""
        self.last = last
        self._segments = shared_files(self.pid, OWN_SEGMENT)

    def note_exit(self, code: int, seconds: float, log: str) -> None:
        """The node is gone."""
        self.exit_code, self.seconds_to_end, self.log = code, seconds, log

    def note_empty_graph(self) -> None:
        """Player and listener, whose shared memory the node had mapped too, are gone as well."""
        self.left_behind = [path for path in self._segments if path.exists()]

    @property
    def settled(self) -> list[Sample]:
        """Samples after the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP) :]

    @property
    def seconds(self) -> float:
        return self.samples[-1].seconds - self.samples[0].seconds


def broken_laws(run: Run) -> list[str]:
    """One sentence for each law that does not hold."""
    return [sentence for holds, sentence in _laws(run) if not holds]


def _laws(run: Run) -> list[tuple[bool, str]]:
    last, listener, settled = run.last, run.listener, run.settled
    jumps_made, jumps_seen = run.loops - 1, sum(listener.jumps)
    growth = growth_per_hour(settled, "rss_mb")
    received = listener.depths, listener.infos, listener.clouds
    return [
        (not listener.unbalanced, f"counters do not add up: {listener.unbalanced[:1]}"),
        (
            last.frames_received == run.images_sent,
            f"{run.images_sent} images were sent, {last.frames_received} counted",
        ),
        (
            received == (last.frames_published,) * 3,
            f"{last.frames_published} published, but received {received}: depth, info, cloud",
        ),
        # The last loop may have ended before its first window.
        (
            jumps_made - 1 <= jumps_seen <= jumps_made,
            f"{jumps_made} jumps in time, {jumps_seen} seen in what was published",
        ),
        (
            run.seconds < SHORTEST_JUDGED or growth <= MOST_GROWTH,
            f"memory grows by {growth:.1f} MB per hour",
        ),
        *(
            (
                getattr(settled[-1], name) <= getattr(settled[0], name),
                f"{name} went from {getattr(settled[0], name)} to {getattr(settled[-1], name)}",
            )
            for name in ("threads", "files", "shared_mb")
        ),
        ("Traceback" not in run.log, "the log holds a traceback"),
        (run.exit_code == 0, f"the node ended with exit code {run.exit_code}"),
        (run.seconds_to_end <= LONGEST_END, f"the node took {run.seconds_to_end:.1f} s to end"),
        (not run.left_behind, f"shared memory is left behind: {run.left_behind}"),
    ]


def table(run: Run) -> str:
    """Markdown: what went through, how quickly, and what the process held on to."""
    last, listener = run.last, run.listener
    dropped = [f"{n} {r}" for r, n in zip(last.dropped_reasons, last.dropped_counts) if n]
    median, p95 = np.quantile(listener.latencies or [np.nan], (0.5, 0.95))
    rows = [
        ("minutes", f"{run.seconds / 60:.1f}"),
        ("images sent", run.images_sent),
        ("images counted by the node", last.frames_received),
        ("published", last.frames_published),
        ("dropped", ", ".join(dropped) or "0"),
        ("pending at the end", last.frames_pending),
        ("depth images received", listener.depths),
        ("jumps in time made", run.loops - 1),
        ("jumps back, forward seen in the output", "{}, {}".format(*listener.jumps)),
        ("latency image to depth, median", f"{median * 1e3:.0f} ms"),
        ("latency image to depth, p95", f"{p95 * 1e3:.0f} ms"),
        *(_sample_row(run, *column) for column in COLUMNS),
        ("growth after warm-up", f"{growth_per_hour(run.settled, 'rss_mb'):+.2f} MB/h"),
        ("exit code, seconds to end", f"{run.exit_code}, {run.seconds_to_end:.2f}"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


COLUMNS = (
    ("memory (RSS)", "rss_mb", "{:.1f} MB"),
    ("memory (PSS)", "pss_mb", "{:.1f} MB"),
    ("shared memory mapped", "shared_mb", "{:.1f} MB"),
    ("threads", "threads", "{}"),
    ("open files", "files", "{}"),
)


def _sample_row(run: Run, title: str, name: str, form: str) -> tuple[str, str]:
    looks = (run.samples[0], run.settled[0], run.samples[-1])
    values = [form.format(getattr(sample, name)) for sample in looks]
    return f"{title}: first, warm, last", ", ".join(values)
