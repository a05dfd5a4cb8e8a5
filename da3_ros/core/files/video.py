"""Pictures to an mp4 that plays in a browser: H.264, yuv420p, index at the front."""

from __future__ import annotations

import os
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

# As H.264 numbers them. Without a word players take the matrix of television (BT.709) for large
# pictures, which is not the one that FFmpeg turns RGB into YUV with.
_COLORS = {
    "colorspace": 6,  # BT.601
    "color_range": 1,  # 16 to 235
    "color_primaries": 1,  # of sRGB, which are those of BT.709
    "color_trc": 13,  # sRGB
}


def write_video(
    path: Path, frames: Iterable[np.ndarray], *, fps: float, quality: str = "medium"
) -> Path:
    """Write (H, W, 3) uint8 RGB frames of one size, as they come; H.264 needs even sizes, so an
    odd last row or column is doubled. The file says which colors it means.
    """
    with atomic_path(path) as temporary:
        options = {"movflags": "+faststart"}
        # An absolute path: FFmpeg takes what stands before a colon for a protocol.
        name = os.path.abspath(temporary)
        with av.open(name, "w", format="mp4", options=options) as container:
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
    for name, value in _COLORS.items():
        setattr(stream.codec_context, name, value)
    return stream


def _make_even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(frame)
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
