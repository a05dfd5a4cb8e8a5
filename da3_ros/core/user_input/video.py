"""Pictures out of a video file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

WIDEST_PIXEL = 4.0
"""Anamorphic lenses have 2; broken files say anything."""


class VideoError(ValueError):
    """A file that is not there, holds no video, or larger pictures than the bound."""


def read_video(path: str | Path, *, fps: float) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 RGB frames at most `fps` a second, by their own time stamps.

    Upright and with square pixels, as players show them: phones store portrait videos lying, with
    a note to turn them, and camcorders store fewer and wider pixels.
    Their size has the bound of pictures, twice ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    try:
        with av.open(_for_ffmpeg(path)) as container:
            if not container.streams.video:
                raise VideoError(f"'{path}' holds no video")
            _bound_size(path, container.streams.video[0])
            yield from _sample(container, fps)
    except (av.EOFError, av.InvalidDataError) as error:
        raise VideoError(
            f"cannot read the video '{path}': {error.strerror}; it is none, or its recording was "
            "cut off before its index"
        ) from error
    except (OSError, av.FFmpegError) as error:
        raise VideoError(f"cannot read the video '{path}': {error.strerror}") from error


def _for_ffmpeg(path: str | Path) -> str:
    """FFmpeg takes what stands before a colon for a protocol: a file goes by its absolute path."""
    is_address = "://" in str(path) and not os.path.exists(path)
    return str(path) if is_address else os.path.abspath(path)


def _bound_size(path: str | Path, stream) -> None:
    """Before anything is decoded; the decoder refuses pictures that become larger later."""
    bound, pixels = Image.MAX_IMAGE_PIXELS, stream.width * stream.height
    pixels = round(pixels * max(1, _widening(stream)))
    if bound is None:
        return
    stream.codec_context.options = {"max_pixels": str(2 * bound)}
    if pixels > 2 * bound:
        raise VideoError(
            f"the pictures of the video '{path}' are {stream.width}x{stream.height}, more than "
            f"{2 * bound:,} pixels; if they are meant to be, raise PIL.Image.MAX_IMAGE_PIXELS"
        )


def _widening(stream) -> float:
    """Width of its pixels in their heights; 1 where it does not say, and of what no camera has."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 1 / WIDEST_PIXEL <= ratio <= WIDEST_PIXEL else 1.0


def _sample(container, fps: float) -> Iterator[np.ndarray]:
    due = None
    widening = _widening(container.streams.video[0])
    for index, frame in enumerate(_decode(container)):
        time = frame.time if frame.time is not None else index / 25
        due = time if due is None else due
        # Half a frame of a fast video: time stamps are rounded.
        if time >= due - 0.004:
            picture = frame.to_ndarray(
                format="rgb24", width=max(1, round(frame.width * widening)), height=frame.height
            )
            # Anticlockwise degrees, as FFmpeg gives them; always quarters in practice.
            yield np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))
            due += 1 / fps
            if due <= time:  # after a pause, which is not caught up with
                due = time + 1 / fps


def _decode(container) -> Iterator[av.VideoFrame]:
    """All frames that can be decoded; a warning counts pieces that cannot, as players go on."""
    broken, found = 0, False
    for packet in container.demux(video=0):
        try:
            for frame in packet.decode():
                found = True
                yield frame
        except av.InvalidDataError:
            broken += 1
    if broken and not found:
        raise VideoError(f"cannot read the video '{container.name}': nothing in it can be decoded")
    if broken:
        warnings.warn(
            f"damaged pieces of the video '{container.name}' are left out: {broken}", stacklevel=2
        )
