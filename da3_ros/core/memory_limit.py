"""Windows that do not fit into memory become smaller: fewer views first, then fewer pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from da3_ros.core.sliding_window import Window
from da3_ros.net.presets import PATCH

FEWEST_VIEWS = 2
"""One view alone has no parallax, and nothing then measures the scale."""

LEAST_RES = 8 * PATCH
"""px: smaller pictures show too little to be worth a window."""

SHRINK = 0.75
"""What is left of views, then of pixels along a side, after each window that did not fit."""


@dataclass(frozen=True)
class MemoryLimit:
    """What is known to be too much, from having failed.

    process_res: longer side of the pictures, px. views: most views of a window; None: any.
    """

    process_res: int
    views: int | None = None

    def __str__(self) -> str:
        views = "all" if self.views is None else f"at most {self.views}"
        return (
            f"out of memory: windows go on with {views} views of {self.process_res} px; lower "
            "window.size or model.process_res, or free memory"
        )

    def fit(self, window: Window) -> Window:
        """The window with at most `views` frames: the needed ones and their neighbours."""
        if self.views is None or len(window.frames) <= self.views:
            return window
        needed = {window.reference, *window.views}
        by_distance = sorted(
            range(len(window.frames)),
            key=lambda i: (i not in needed, abs(i - window.reference), i),
        )
        kept = sorted(by_distance[: max(self.views, len(needed))])
        return Window(
            tuple(window.frames[i] for i in kept),
            kept.index(window.reference),
            tuple(kept.index(i) for i in window.views),
        )

    def smaller(self, window: Window) -> MemoryLimit | None:
        """The next one to try after `window` failed under this one; None: nothing is left."""
        held = len(window.frames)
        fewest = max(FEWEST_VIEWS, len({window.reference, *window.views}))
        if held > fewest:
            return replace(self, views=max(fewest, int(held * SHRINK)))
        resolution = int(self.process_res * SHRINK) // PATCH * PATCH
        return replace(self, process_res=resolution) if resolution >= LEAST_RES else None
