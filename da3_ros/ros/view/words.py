"""The node's status in words, as Markdown."""

from __future__ import annotations

import math
import re

from da3_ros.msg import Status
from da3_ros.net.plain_text import LONGEST_SENTENCE, plain

MOST_ROWS = 100
"""Cameras, or reasons for dropping: who else publishes a status may name a million."""

NOTHING_HEARD = "**Waiting for the node.** Is it running, on the same ROS_DOMAIN_ID?"


def status_words(status: Status | None) -> str:
    """A line for the state, in red when something is wrong, then a table of numbers."""
    if status is None:
        return NOTHING_HEARD
    rows = [
        ("camera", " ".join(f"{rate:.1f}" for rate in status.input_rates[:MOST_ROWS]) + " Hz"),
        ("depth", f"{status.window_rate:.1f} Hz"),
        ("latency", _milliseconds(status.latency_median)),
        ("images", f"{status.frames_received} in, {status.frames_published} published"),
        *_drops(status),
        ("metres", _scale(status)),
        ("model", f"{_markdown(status.model)} ({_markdown(status.license) or 'license unknown'})"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"{_state(status)}\n\n| | |\n|---|---|\n{table}"


def _state(status: Status) -> str:
    if status.level == Status.OK:
        return "**All is well.**"
    kind = "Error" if status.level == Status.ERROR else "Warning"
    color = "#c92a2a" if status.level == Status.ERROR else "#e8590c"
    return f'<span style="color:{color}">**{kind}:** {_markdown(status.reason)}</span>'


def _drops(status: Status) -> list[tuple[str, str]]:
    counts = zip(status.dropped_reasons, status.dropped_counts)
    return [(f"dropped: {_markdown(reason)}", str(n)) for reason, n in counts if n][:MOST_ROWS]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if math.isfinite(seconds) else "not measured yet"


def _scale(status: Status) -> str:
    if not math.isfinite(status.scale):
        return "unknown: depth is not in metres yet"
    parts = [f"from {_markdown(status.scale_source)}"]
    if status.scale_points:
        parts.append(f"{status.scale_points} points")
    if math.isfinite(status.depth_error):
        parts.append(f"error {status.depth_error:.0%}")
    if status.scale_age > 0:
        parts.append(f"{status.scale_age:.0f} s old")
    return ", ".join(parts)


def _markdown(text: str) -> str:
    """Text of others inside Markdown: no tags, links, pictures of elsewhere, or table cells."""
    text = plain(text, LONGEST_SENTENCE).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*\[\]{}()#!|~:])", r"\\\1", text)
