"""What has been found so far: results.json and report.md, both whole after every change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

DONE, UNFINISHED, FAILED = "done", "unfinished", "failed"
"""States of a part; only what is done is not done again."""


class Results:
    """The results in a folder; what another device has left there is not gone on with, nor a part
    that a program of before has kept without what its table shows now.

    device: its name, for the report. tables: Markdown of a part's result, by the part's name.
    """

    def __init__(self, out: Path, device: str, tables: Mapping[str, Callable[[dict], str]]):
        self.out = out
        self._device, self._tables = device, tables
        out.mkdir(parents=True, exist_ok=True)
        kept = read_json(out / "results.json") or {}
        parts = kept["parts"] if kept.get("device") == device else {}
        self._parts: dict[str, dict] = {p: e for p, e in parts.items() if self._can_show(p, e)}

    def is_done(self, part: str) -> bool:
        """Whether there is nothing left to do for a part."""
        return self._parts.get(part, {}).get("state") == DONE

    def of(self, part: str) -> dict | None:
        """What a part has found so far."""
        return self._parts.get(part, {}).get("result")

    def put(self, part: str, result: dict, state: str) -> None:
        """Keep what a part has found; a failure before is forgotten."""
        self._keep(part, {"state": state, "result": result})

    def put_failure(self, part: str, trace: str) -> None:
        """Keep why a part ended early, beside what it had found."""
        self._keep(part, {"state": FAILED, "result": self.of(part), "failure": trace})

    def _keep(self, part: str, entry: dict) -> None:
        self._parts[part] = entry
        write(self.out / "report.md", self.report())
        kept = {"device": self._device, "parts": self._parts}
        write(self.out / "results.json", json.dumps(kept, indent=1) + "\n")

    def _can_show(self, part: str, entry: dict) -> bool:
        if part in self._tables and entry["result"] is not None:
            try:
                self._tables[part](entry["result"])
            except (LookupError, TypeError, AttributeError):
                return False
        return True

    def report(self) -> str:
        """Markdown of all parts that have run."""
        lines = [f"# {self._device}, torch {torch.__version__}"]
        for part, table in self._tables.items():
            entry = self._parts.get(part)
            if entry is None:
                continue
            lines.append(f"\n## {part}\n")
            if "failure" in entry:
                lines.append("Failed: " + entry["failure"].strip().splitlines()[-1] + "\n")
            if entry["result"] is not None:
                lines.append(table(entry["result"]).strip())
        return "\n".join(lines) + "\n"


def take_over(earlier: Path, out: Path) -> None:
    """Copy the files of an earlier run to where this one goes on, unless they are there."""
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(earlier.iterdir()):
        if file.is_file() and not (out / file.name).exists():
            shutil.copyfile(file, out / file.name)


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)


def read_json(path: Path) -> dict | None:
    """None where there is no such file."""
    return json.loads(path.read_text()) if path.is_file() else None
