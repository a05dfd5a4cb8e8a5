"""What the demo says in the terminal while it runs."""

from __future__ import annotations

import sys
import time

REPORT_PERIOD = 10.0
"""Seconds from line to line where there is no terminal whose line could be written again."""


def say(who: str, what: str) -> None:
    """One line of what happens now."""
    print(f"{who:<9}{what}", flush=True)


class Progress:
    """One line that the next one overwrites; a line now and then where there is no terminal."""

    def __init__(self):
        self._is_terminal = sys.stdout.isatty()
        self._shown_at = time.monotonic()

    def show(self, who: str, what: str) -> None:
        """May be called as often as one likes."""
        if self._is_terminal:
            print(f"\r{who:<9}{what:<60}", end="", flush=True)
        elif time.monotonic() - self._shown_at >= REPORT_PERIOD:
            self._shown_at = time.monotonic()
            say(who, what)

    def close(self) -> None:
        """The line stays."""
        if self._is_terminal:
            print()
