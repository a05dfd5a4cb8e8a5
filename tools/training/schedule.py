"""When a run saves, evaluates and stops: by the clock."""

from __future__ import annotations

from dataclasses import dataclass

SAVE_EVERY = 1.0
"""Minutes; also the least time between two evaluations."""

EVALUATION_SHARE = 0.05
"""Of the time, at most."""

LAST_EVALUATION = 1.5
"""What the last one may take, in units of the one before."""


@dataclass
class Schedule:
    """Minutes. allowed: of the whole run. spent: so far, all that took time. saved, evaluated: when
    that was last done. evaluation: what the last one took."""

    allowed: float
    spent: float = 0.0
    saved: float = 0.0
    evaluated: float = 0.0
    evaluation: float = 0.0

    @property
    def has_time(self) -> bool:
        """For another step, the last evaluation included."""
        return self.spent + LAST_EVALUATION * self.evaluation < self.allowed

    @property
    def progress(self) -> float:
        """Share of the time that is gone."""
        return min(1.0, self.spent / self.allowed)

    @property
    def evaluation_is_due(self) -> bool:
        """Every minute, unless it took too large a share of the time."""
        return self.spent - self.evaluated >= max(SAVE_EVERY, self.evaluation / EVALUATION_SHARE)

    @property
    def saving_is_due(self) -> bool:
        """Every minute."""
        return self.spent - self.saved >= SAVE_EVERY

    def has_evaluated(self, minutes: float) -> None:
        """And saved, which took so long together."""
        self.evaluation = minutes
        self.saved = self.evaluated = self.spent
