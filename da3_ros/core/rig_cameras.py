"""What is odd about the cameras of a rig: their frame_ids, sizes, clocks, and their silence."""

from __future__ import annotations

from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Drop, FrameCounts
from da3_ros.core.outlet import Log
from da3_ros.core.rig_sync import RigSynchroniser
from da3_ros.net.plain_text import plain

MOST_FRAME_IDS = 100
"""Different frame_ids of all images since the start: what is known of each is kept."""


class RigCameras:
    """Each camera has one frame_id, and no other camera has it.

    camera_of: the camera that has sent images of a frame_id first.
    """

    def __init__(self, counts: FrameCounts, log: Log):
        self.camera_of: dict[str, str] = {}
        self._counts, self._log = counts, log
        self._last_size: dict[str, tuple[int, int]] = {}

    def are_told_apart(self, name: str, frame: Frame) -> bool:
        """False, and the frame is dropped, when its frame_id cannot be the camera's own."""
        if frame.camera_id not in self.camera_of and len(self.camera_of) >= MOST_FRAME_IDS:
            sentence = (
                f"image of '{plain(frame.camera_id)}' is dropped: images had {MOST_FRAME_IDS} "
                "other frame_ids by now; a camera has one, give it to all its images"
            )
            return self._refuse(name, frame, "frame_ids", sentence)
        owner = self.camera_of.setdefault(frame.camera_id, name)
        if owner != name:
            sentence = (
                f"cameras '{owner}' and '{name}' both send frame_id '{plain(frame.camera_id)}'; "
                "each camera needs an optical frame of its own"
            )
            return self._refuse(name, frame, "frame_id", sentence)
        return True

    def watch_size(self, name: str, frame: Frame) -> None:
        """Say it when the images of a camera change their size."""
        now = frame.camera.width, frame.camera.height
        last = self._last_size.get(name, now)
        self._last_size[name] = now
        if now != last:
            sentence = "images changed from {}x{} to {}x{}".format(*last, *now)
            self._log.warn((name, "size"), sentence)

    def watch_rig(self, rig: RigSynchroniser) -> None:
        """Say which cameras are not waited for and why; count the frames that `rig` refuses."""
        for frame in rig.take_refused():
            self._counts.drop(frame.key, Drop.OUT_OF_ORDER)
        for name, ahead in rig.apart().items():
            where = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'}"
            self._log.warn(
                (name, "clock"),
                f"camera {name} is dropped: its stamps are {where} those of the other cameras; "
                "synchronise its clock",
            )
        for silent in rig.silent():
            sentence = f"camera {silent} sends no usable images; the others go on without it"
            self._log.warn((silent, "silent"), sentence)

    def _refuse(self, name: str, frame: Frame, cause: str, sentence: str) -> bool:
        self._counts.drop(frame.key, Drop.BAD_HEADER)
        self._log.warn((name, cause), sentence)
        return False
