"""Whether the sliding window ever gets full, and if not, why: a window that is not full is not
looked at, and nothing else says so.
"""

from __future__ import annotations

import numpy as np

from da3_ros.core.config import WindowConfig
from da3_ros.core.frame_counts import Drop
from da3_ros.core.sliding_window import Step


class WindowFill:
    """Follows what the window keeps. `trouble`: why it does not get full, in a sentence that stays
    the same until it does, or parameters change; else empty.
    """

    def __init__(self):
        self.trouble = ""
        self._stamps_ns: list[int] = []  # of what was kept since the window was full
        self._skipped = 0  # meanwhile, as too near
        self._config: WindowConfig | None = None

    def note(self, stamp_ns: int, step: Step, config: WindowConfig) -> None:
        """What the window did with an instant of this stamp."""
        is_full = step.held >= config.size
        if is_full or config != self._config:
            self.__init__()
            self._config = config
        if step.refused:
            self._skipped += step.refused is Drop.NOT_MOVED
        elif not (is_full or self.trouble):
            self._stamps_ns.append(stamp_ns)
            if apart := self._apart(config):
                self.trouble = _trouble(apart, config, is_slow=self._skipped > 0)

    def _apart(self, config: WindowConfig) -> float:
        """Seconds between what is kept, when that is too long to fill a window; else 0.

        A single pause empties the window, too, and means nothing: hence the median; or several.
        """
        gaps = config.size - 1
        intervals = np.diff(np.sort(self._stamps_ns)) * 1e-9
        if len(intervals) < gaps:
            return 0.0
        usual = float(np.median(intervals))
        if usual * gaps > config.max_age:
            return usual
        return float(np.mean(intervals)) if len(intervals) >= 2 * gaps else 0.0


def _trouble(apart: float, config: WindowConfig, *, is_slow: bool) -> str:
    if is_slow:
        what = f"no depth: the camera hardly moves, and images are kept {apart:.1f} s apart"
        lower = "window.max_interval or window.size"
    else:
        what, lower = f"no depth: usable images come {apart:.1f} s apart", "window.size"
    return (
        f"{what}: a window of {config.size} takes {apart * (config.size - 1):.1f} s, "
        f"window.max_age is {config.max_age:g} s: raise it, or lower {lower}"
    )
