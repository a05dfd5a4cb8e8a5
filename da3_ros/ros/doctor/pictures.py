"""What is seen in the pictures: a covered lens, a wrong mask, sensors of fewer than 16 bits."""

from __future__ import annotations

from da3_ros.core.bit_depth import DEPTHS
from da3_ros.core.blank_picture import check_picture
from da3_ros.core.body_mask import mask_doubt
from da3_ros.core.config import Config
from da3_ros.ros.doctor.findings import Finding, error, ok, warn
from da3_ros.ros.doctor.posed_frames import PosedFrames
from da3_ros.ros.doctor.recording import Event, Recording

NAME = "pictures"
"""Of the check."""

MOST_LOOKED_AT = 20
"""Pictures, from the first to the last."""


def check_pictures(seen: Recording, config: Config) -> Finding:
    """Something is seen in them: the node drops those of one color, and what it cannot read."""
    step = -(-len(seen.images) // MOST_LOOKED_AT)
    events = seen.images[::step]
    try:
        frames = PosedFrames(seen, config)
        frames.frame(events[0])
    except ValueError as problem:
        return warn(NAME, f"not judged: {problem}", "see images, camera info and input.mask")
    faults = [fault for event in events if (fault := _fault(frames, event))]
    if faults:
        what = f"{len(faults)} of {len(events)} looked at are of no use: {faults[0]}"
        fix = "uncover the lens; see exposure, driver and input.mask; the node drops them"
        return (error if len(faults) == len(events) else warn)(NAME, what, fix)
    if words := mask_doubt(frames.mask):
        return warn(NAME, words, "see input.mask")
    what = f"something is seen in all {len(events)} that were looked at"
    bits = frames.bit_depth.bits
    if 0 < bits < DEPTHS[-1]:
        what += f", which use {bits} of their 16 bits: {(1 << bits) - 1:,} is taken for white"
    return ok(NAME, what)


def _fault(frames: PosedFrames, event: Event) -> str:
    """Why an image is dropped; else empty."""
    try:
        check_picture(frames.frame(event))
    except ValueError as problem:
        return str(problem)
    return ""
