"""Pictures that a reader could not use, said in one sentence per reason."""

from __future__ import annotations

from collections import Counter


class LeftOut:
    """Counts, so that nothing is left out silently."""

    def __init__(self, total: int):
        self.total, self._reasons = total, Counter()

    def add(self, reason: str) -> None:
        self._reasons[reason] += 1

    @property
    def notes(self) -> tuple[str, ...]:
        """As `Dataset.notes`."""
        return tuple(
            f"{count} of {self.total} pictures left out: {reason}"
            for reason, count in self._reasons.items()
        )
