"""What is remembered per frame, and that it does not grow."""

from __future__ import annotations

import cv2

from da3_ros.core.frame import Frame
from da3_ros.net.checkpoint import load_network
from da3_ros.ros.health.process_memory import resident_bytes
from tools.bench.streaming import Case, Stream, room_frames

WARM_UP = 1000


def measure(frames: int = 10_000) -> dict:
    """Resident memory, MiB, of a stream of `frames` frames after 1,000 of them and at the end.

    The shipped model and small pictures, so that it takes a minute or two: encodings are as
    many as ever.
    """
    frames_shown = [_thumbnail(frame) for frame in room_frames(6)]
    stream = Stream(load_network("da3-demo"), Case("da3-demo", 4, 56), frames_shown)
    most, resident = 0, {}
    for i in range(1, frames + 1):
        stream.step()
        most = max(most, len(stream.pipeline._encoded))
        if i in (min(WARM_UP, frames), frames):
            resident[i] = round(resident_bytes() / 2**20, 1)
    return {"frames": frames, "most_encodings": most, "resident_mib": resident}


def _thumbnail(frame: Frame) -> Frame:
    camera = frame.camera.scaled(width=80, height=60)
    image = cv2.resize(frame.image, (80, 60), interpolation=cv2.INTER_AREA)
    return Frame(frame.camera_id, frame.stamp_ns, image, camera, frame.T_world_cam)
