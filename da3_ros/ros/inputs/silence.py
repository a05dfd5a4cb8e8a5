"""What does not come in although the node waits for it, in sentences for the status."""

from __future__ import annotations

import time

from da3_ros.core.config import Config
from da3_ros.ros.inputs.cameras import CameraInputs
from da3_ros.ros.inputs.topic_watch import OF_IMAGES, TopicWatch, override
from da3_ros.ros.transport import LARGE_IMAGES_ARE_LOST

SILENCE = 5.0
"""Seconds without a message after which that is said."""

POINTS = "anchor/points", "anchor/depth"


class Silence:
    """Looks at the topics of all inputs. watches: by the topic's name before it is remapped."""

    def __init__(self, config: Config, cameras: CameraInputs, watches: dict[str, TopicWatch]):
        self._config, self._cameras, self._watches = config, cameras, watches
        self._missed, self._missed_at = 0, 0.0

    def sentences(self) -> list[str]:
        """One for each topic of which nothing comes now: of images, and of what they need."""
        latest = time.monotonic() - SILENCE
        said = []
        newest_image = 0.0
        kind = "image/compressed" if self._config.input.compressed else "image"
        for name in self._cameras.inputs:
            prefix = f"{name}/" if name else ""
            images = self._watches[f"{prefix}{kind}"]
            newest_image = max(newest_image, images.heard_at)
            if images.heard_at < latest:
                said.append(self._of_images(images))
            else:
                info = self._watches[f"{prefix}camera_info"]
                said += self._of_others("no camera_info on", info, images.heard_at, OF_IMAGES)
        if newest_image < latest:
            return said
        if odometry := self._watches.get("odometry"):
            said += self._of_others(
                "no odometry on", odometry, newest_image, override(odometry.topic)
            )
        return [*said, *self._of_transforms(), *self._of_anchors(latest)]

    @property
    def hears_points(self) -> bool:
        """Whether messages have come lately that may hold points from outside."""
        latest = time.monotonic() - SILENCE
        return any(watch.heard_at >= latest for watch in self._points)

    def _of_images(self, watch: TopicWatch) -> str:
        cause = watch.cause(reliability=OF_IMAGES) or (
            f"it has a publisher, which sends nothing, or large images: {LARGE_IMAGES_ARE_LOST}"
        )
        return f"no image on {watch.topic} for {SILENCE:.0f} s: {cause}"

    def _of_others(self, what: str, watch: TopicWatch, image_at: float, fix: str) -> list[str]:
        """Only beside images: a robot that is paused sends nothing at all."""
        if watch.heard_at > image_at - SILENCE:
            return []
        cause = watch.cause(reliability=fix) or "it has a publisher, which sends nothing"
        return [f"{what} {watch.topic} for {SILENCE:.0f} s: {cause}"]

    def _of_transforms(self) -> list[str]:
        """While images go without poses: what of /tf and /tf_static cannot reach the node."""
        missed, now = sum(self._cameras.poses.missed.values()), time.monotonic()
        if missed > self._missed:
            self._missed, self._missed_at = missed, now
        if not self._missed_at or now - self._missed_at > SILENCE:
            return []
        watches = [self._watches[name] for name in ("/tf", "/tf_static") if name in self._watches]
        found = [
            (watch.topic, watch.misfit(reliability=override(watch.topic), all_of_them=False))
            for watch in watches
        ]
        return [f"transforms on {topic} are lost: {misfit}" for topic, misfit in found if misfit]

    @property
    def _points(self) -> list[TopicWatch]:
        """Of the topics of points: a calibration alone brings none."""
        return [self._watches[name] for name in POINTS if name in self._watches]

    def _of_anchors(self, latest: float) -> list[str]:
        names = (*POINTS, "anchor/camera_info")
        watches = [self._watches[name] for name in names if name in self._watches]
        silent = [watch for watch in watches if watch.heard_at < latest]
        faults = {watch.topic: watch.misfit(reliability=OF_IMAGES) for watch in silent}
        said = [f"nothing comes on {topic}: {fault}" for topic, fault in faults.items() if fault]
        is_unsaid = all(faults.get(watch.topic) == "" for watch in self._points)
        if self._points and is_unsaid and self._config.scale.source == "anchors":
            topics = " or ".join(watch.topic for watch in self._points)
            said.append(
                f"scale.source is anchors, and nothing has come on {topics} for {SILENCE:.0f} s"
            )
        return said
