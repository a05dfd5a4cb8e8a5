"""One bag through the steps of the live node, without a graph: every window, in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache

import torch

from da3_ros.core.config import Config, from_dict
from da3_ros.core.export.running import split_all_formats
from da3_ros.core.load_model import load_model
from da3_ros.core.process_res import with_process_res
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.ros.bags.bag import BagError, BagReader, BagWriter, Span
from da3_ros.ros.bags.bag_job import BagJob, Report, Warned, said_once
from da3_ros.ros.bags.bag_node import BagNode
from da3_ros.ros.bags.bag_poses import BagPoses
from da3_ros.ros.bags.bag_run import (
    ANCHORS_AHEAD_NS,
    BagRun,
    in_order,
    read_recorded,
    write_exports,
)
from da3_ros.ros.bags.check_job import check_before_loading
from da3_ros.ros.bags.find_anchors import AnchorTopics, find_anchors
from da3_ros.ros.bags.find_rig import find_cameras
from da3_ros.ros.bags.made_of import check_result, made_of, write_record
from da3_ros.ros.bags.partial import partial_folder
from da3_ros.ros.bags.pieces import WHOLE, Piece
from da3_ros.ros.topics.find_camera import BagTopics

EXPORTS = "exports"
"""Folder of the exports inside the new bag's folder; readers of bags ignore it."""

Progress = Callable[[int], None]


def process_bag(job: BagJob, progress: Progress) -> Report:
    """Write the result of one bag; whole, or nothing. progress: called with images done.

    Raises `TopicError`, `ConfigError`, `ModelError` and `OSError` in one sentence. An export
    that fails costs the export only; the report names it.
    """
    made = made_of(job)
    check_result(job, made)
    with OpenBag(job) as bag:
        check_before_loading(bag.config, job.out, job.formats)
        with partial_folder(job.result) as folder:
            with BagWriter(folder, zstd=job.zstd) as out:
                run, node = bag.run(WHOLE, out, progress)
                node.close()
            exports = folder / EXPORTS
            failure = write_exports(job.formats, exports, run.source()) if job.formats else ""
            report = Report(job, run.counts, said_once(bag.warnings(run)), failure)
            write_record(folder, report, made)
        return report


@dataclass(eq=False)
class OpenBag:
    """A bag whose cameras are found, as a context manager. Raises `TopicError`."""

    job: BagJob

    def __enter__(self) -> OpenBag:
        job = self.job
        with ExitStack() as stack:
            self._bag, self._pose_bag, self._anchor_bag = (
                stack.enter_context(BagReader(job.bag)) for _ in range(3)
            )
            self._cameras = find_cameras(self._bag, job.cameras, job.wanted)
            self.config = offline_config(job, *self._cameras.values())
            self._anchors = find_anchors(self._bag, self.config, job.choice)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    @property
    def span(self) -> Span:
        """Recording time of the bag."""
        return Span(self._bag.start_ns, self._bag.end_ns)

    @property
    def images(self) -> int:
        """Images of all cameras."""
        return sum(self._bag.count(topics.image) for topics in self._cameras.values())

    def run(self, piece: Piece, out: BagWriter, progress: Progress) -> tuple[BagRun, BagNode]:
        """Load the network and process a piece of the bag; the path is kept by the node."""
        network = network_for(self.config)
        config = with_process_res(self.config, network.weights.size)
        make_deterministic()
        node = BagNode(out, self.job.leave_out)
        phases = piece.phases(config, self._period_ns)
        span = Span(phases[0][0], piece.stop_ns)
        run = BagRun(config, network, self._poses(piece, config, span), node)
        streams = [read_recorded(self._bag, run.takers(self._cameras), span)]
        if self._anchors.are_there:
            takers = run.anchor_takers(self._anchors)
            streams.append(read_recorded(self._anchor_bag, takers, span, ANCHORS_AHEAD_NS))
        run.process(in_order(*streams), phases, progress)
        if piece.stop_ns is None:
            run.finish()
        return run, node

    def warnings(self, run: BagRun) -> list[Warned]:
        """All there is to say of the run."""
        topics = [note for t in self._cameras.values() for note in t.notes]
        if self.config.pose.source == "tf":
            topics += [t.still for t in self._cameras.values()]
        files = [*self._bag.notes, *self._pose_bag.notes, *self._anchor_bag.notes]
        of_bag = [*files, *topics, _words(self._anchors), *run.doubts]
        return [
            *(Warned(0, sentence, sentence) for sentence in run.poses.refused),
            *(Warned(1, sentence, sentence) for sentence in of_bag if sentence),
            *(Warned(2, str(cause), said) for cause, said in run.log.sentences.items()),
        ]

    @property
    def _period_ns(self) -> int:
        """From image to image of one camera."""
        count = max(1, self.images // len(self._cameras))
        return (self.span.stop_ns - self.span.start_ns) // count

    def _poses(self, piece: Piece, config: Config, span: Span) -> BagPoses:
        return BagPoses(
            self._pose_bag,
            config.pose,
            dict.fromkeys(topic for camera in self._cameras.values() for topic in camera.tf),
            odometry=self.job.choice.odometry,
            ahead_ns=round(1e9 * self.job.parameters.get("pose.timeout", 0)),
            start_ns=piece.start_ns and span.start_ns,
        )


def offline_config(job: BagJob, *cameras: BagTopics) -> Config:
    """The parameters of the job; what it leaves open is taken from the bag.

    Raises `BagError` when the bag has transforms that do not lead to every camera, and nobody
    said that it is to be processed without poses.
    """
    topics = next((c for c in cameras if not c.world_frame), cameras[0])
    is_asked = topics.gap or job.wanted.world_frame
    wants_tf = job.parameters.get("pose.source", "tf" if is_asked else "") == "tf"
    if wants_tf and not topics.world_frame:
        why = "; ".join(
            [topics.gap, *topics.notes] if topics.gap else ["the bag has no transforms"]
        )
        raise BagError(f"{why} (pose.source: none processes it without poses, not in metres)")
    found = {
        "pose.source": "tf" if topics.world_frame else "none",
        "pose.world_frame": topics.world_of(job.parameters.get("pose.source", "tf")) or "odom",
    }
    forced = {
        "input.compressed": topics.compressed,
        "window.drop_when_busy": False,
        "pose.timeout": 0.0,  # what is not known by now will not come
    }
    if job.formats and split_all_formats(job.formats)[1]:
        forced["scene.enabled"] = True
    return from_dict({**found, **job.parameters, **forced})


@lru_cache(maxsize=1)
def network_for(config: Config) -> Network | NestedNetwork:
    """The network, warm; a process that does several pieces in turn loads it once."""
    return load_model(config)


def make_deterministic() -> None:
    """Ask torch for the same numbers on every run, on a GPU too."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def _words(anchors: AnchorTopics) -> str:
    taken = [topic for topic in (anchors.points, anchors.depth) if topic]
    return f"metres rest on the points of {' and '.join(taken)}" if taken else ""
