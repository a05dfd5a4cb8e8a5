"""Commands that end by the clock, and leave nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]

GRACE = 10.0
"""Seconds that an interrupted command has to write down what it knows."""


def run_until(command: Sequence[str], log: Path, seconds: float) -> int | None:
    """Exit status of a command in the root of the repository, its output at the end of `log`.

    None when it was not done in time: it is interrupted as by Ctrl-C `GRACE` s before the
    `seconds` are over, and killed after them; what it started is killed in any case.
    """
    with log.open("a") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            preexec_fn=os.setpgrp,  # process_group=0 from Python 3.11 on
        )
        try:
            return process.wait(max(0.0, seconds - GRACE))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
