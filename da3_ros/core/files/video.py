"""Pictures to an mp4 that plays in a browser: H.264, yuv420p, index at the front."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from da3_ros.core.files.atomic_file import atomic_path

QUALITIES = {
    "low": {"crf": "28", "preset": "veryfast"},
    "medium": {"crf": "23", "preset": "medium"},
    "high": {"crf": "18", "preset": "slow"},
}


def write_video(
    path: Path, frames: Iterable[np.ndarray], *, fps: float, quality: str = "medium"
) -> Path:
    """Write (H, W, 3) uint8 RGB frames of one size, as they come; H.264 needs even sizes, so an
    odd last row or column is doubled.
    """
    with atomic_path(path) as temporary:
        options = {"movflags": "+faststart"}
        with av.open(str(temporary), "w", format="mp4", options=options) as container:
            stream = None
            for frame in frames:
                stream = stream or _add_stream(container, frame, fps, quality)
                picture = av.VideoFrame.from_ndarray(_make_even(frame), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    return path


def _add_stream(container, frame: np.ndarray, fps: float, quality: str):
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate, options=QUALITIES[quality])
    # With several threads x264 decides differently from run to run.
    stream.codec_context.thread_count = 1
    height, width = _make_even(frame).shape[:2]
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    return stream


def _make_even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(frame)
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
