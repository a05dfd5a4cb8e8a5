"""What da3_doctor says: one finding per check, and the table of them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from enum import Enum

from da3_ros.net.plain_text import LONGEST_SENTENCE, plain

WIDTH = 100


class Verdict(Enum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Finding:
    """The result of a check: what was seen, and how to fix it where something is wrong."""

    check: str
    verdict: Verdict
    seen: str
    fix: str = ""


def ok(check: str, seen: str) -> Finding:
    """Nothing wrong."""
    return Finding(check, Verdict.OK, seen)


def warn(check: str, seen: str, fix: str) -> Finding:
    """It may work, or not well."""
    return Finding(check, Verdict.WARN, seen, fix)


def error(check: str, seen: str, fix: str) -> Finding:
    """It will not work, or with wrong results."""
    return Finding(check, Verdict.ERROR, seen, fix)


def format_table(findings: list[Finding]) -> str:
    """Check, verdict, what was seen; below it, after an arrow, how to fix it.

    What was seen may be of strangers: names of topics and frames, errors about their files.
    """
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        head = f"{finding.check:<{width}}  {finding.verdict.value:<5}  "
        indent = " " * len(head)
        seen, fix = (plain(text, LONGEST_SENTENCE) for text in (finding.seen, finding.fix))
        text = textwrap.wrap(seen, WIDTH - len(indent))
        if fix:
            text += textwrap.wrap(f"-> {fix}", WIDTH - len(indent), subsequent_indent="   ")
        lines += [head + text[0], *(indent + line for line in text[1:])]
    return "\n".join(lines)
