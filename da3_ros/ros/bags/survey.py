"""How much there is to do in a bag, and how large its result will be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from da3_ros.core.config import OutputConfig, from_dict
from da3_ros.core.point_cloud import POINT
from da3_ros.ros.bags.bag import BagReader
from da3_ros.ros.bags.bag_job import BagJob
from da3_ros.ros.bags.find_rig import find_cameras
from da3_ros.ros.outputs import topics


@dataclass(frozen=True)
class Survey:
    """images: that will be processed. size: at most so many bytes will be written."""

    images: int
    size: int

    def __str__(self) -> str:
        return f"up to {self.size / 1e9:.1f} GB for {self.images} images will be written"


def survey(job: BagJob) -> Survey:
    """Look at a bag before it is processed. Raises `TopicError` where that is impossible."""
    output, images, size = from_dict(job.parameters).output, 0, 0
    with BagReader(job.bag) as bag:
        for camera in find_cameras(bag, job.cameras, job.wanted).values():
            count = bag.count(camera.image)
            images += count
            size += count * bytes_per_image(output, *camera.size, job.leave_out)
    return Survey(images, size)


def bytes_per_image(
    output: OutputConfig, height: int, width: int, leave_out: Collection[str]
) -> int:
    """What the large topics of one published image take."""
    per_pixel = {
        topics.DEPTH: 2 if output.encoding == "16UC1" else 4,
        topics.CONFIDENCE: 4,
        topics.IMAGE: 3,
        topics.POINTS: POINT.itemsize / output.cloud_step**2,
    }
    return round(height * width * sum(n for t, n in per_pixel.items() if t not in leave_out))
