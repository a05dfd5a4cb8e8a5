"""One bag through the steps of the live node, without a graph: every window, in order.

Receive, locate, convert and publish are the node's own classes; only their surroundings
differ: poses are read ahead, nothing waits, and publishers write into the new bag.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from da3_ros.api import DepthAnything3
from da3_ros.core.config import Config, from_dict
from da3_ros.core.depth_view import fuse
from da3_ros.core.export import ExportError
from da3_ros.core.export.running import export_running, split_all_formats, window_metadata
from da3_ros.core.frame import Frame
from da3_ros.core.frame_counts import Counts, Drop, Ledger
from da3_ros.core.load_model import load_model
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.process_res import size_warning, with_process_res
from da3_ros.core.scene.scene import Scene
from da3_ros.core.sliding_window import Window
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.ros.bags.bag import BagError, BagReader, BagWriter
from da3_ros.ros.bags.bag_node import BagNode
from da3_ros.ros.bags.bag_poses import BagPoses
from da3_ros.ros.bags.check_job import check_before_loading
from da3_ros.ros.bags.find_camera import BagTopics, find_topics
from da3_ros.ros.engine import REASONS
from da3_ros.ros.health.throttled_log import Complaints
from da3_ros.ros.inputs.camera_input import CameraInput, Desk
from da3_ros.ros.outputs.publishers import Outputs

EXPORTS = "exports"
"""Folder of the exports inside the new bag's folder; readers of bags pass it by."""


@dataclass(frozen=True)
class Job:
    """A bag to process. Plain values only, so that it can be sent to another process.

    out: folder of results; this one will be `out`/`name`. parameters: dotted names and
    values, as in the parameter file. formats: exports of the end, joined with ``-``.
    leave_out: output topics that are not written.
    """

    bag: Path
    out: Path
    parameters: dict = field(default_factory=dict)
    formats: str = ""
    leave_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the bag and of its result."""
        is_file = self.bag.suffix in (".mcap", ".db3")
        return self.bag.stem if is_file else self.bag.resolve().name

    @property
    def result(self) -> Path:
        """The new bag's folder."""
        return self.out / self.name


@dataclass(frozen=True)
class Report:
    """What became of one bag. `failure`: why there is no result, or no export; else empty."""

    job: Job
    counts: Counts | None = None
    complaints: tuple[str, ...] = ()
    failure: str = ""


def process_bag(job: Job, progress: Callable[[int], None] = lambda images: None) -> Report:
    """Write the result of one bag; whole, or nothing. progress: called with images done.

    Raises `BagError`, `ConfigError`, `ModelError` and `OSError` in one sentence. An export
    that fails costs the export only; the report names it.
    """
    if job.result.exists():
        raise BagError(f"{job.result} exists already; remove it or choose another folder")
    with BagReader(job.bag) as bag, BagReader(job.bag) as pose_bag:
        topics = find_topics(bag)
        config = offline_config(job, topics)
        check_before_loading(config, job.out, job.formats)
        network = load_model(config)
        config = with_process_res(config, network.weights.size)
        make_deterministic()
        with _partial(job.result) as folder, BagWriter(folder) as out:
            run = _Run(job, config, network, BagPoses(pose_bag, config.pose), out)
            run.warn(size_warning(network.weights, config.model.process_res))
            run.process(_images_and_infos(bag, topics), progress)
            failure = run.export(folder / EXPORTS) if job.formats else ""
        return run.report(failure)


def offline_config(job: Job, topics: BagTopics) -> Config:
    """The parameters of the job; what it leaves open is taken from the bag."""
    found = {
        "pose.source": "tf" if topics.world_frame else "none",
        "pose.world_frame": topics.world_frame or "odom",
    }
    forced = {
        "input.compressed": topics.compressed,
        "window.drop_when_busy": False,
        "pose.timeout": 0.0,  # what is not known by now will not come
    }
    if job.formats and split_all_formats(job.formats)[1]:
        forced["scene.enabled"] = True
    config = from_dict({**found, **job.parameters, **forced})
    if len(config.input.cameras) > 1:
        raise BagError("input.cameras names a rig; da3_process takes one camera of a bag")
    return config


def make_deterministic() -> None:
    """Ask torch for the same numbers on every run, on a GPU too."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def _images_and_infos(bag: BagReader, topics: BagTopics) -> Iterator[tuple[int, object]]:
    for _, time_ns, msg in bag.messages(topics.image, topics.camera_info):
        yield time_ns, msg


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """A folder of the same name elsewhere below the parent, moved into place at the end."""
    hidden = path.parent / f".partial-{uuid.uuid4().hex[:8]}"
    hidden.mkdir(parents=True)
    try:
        yield hidden / path.name
        (hidden / path.name).rename(path)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


class _Notes:
    """The logger of `Complaints`: each sentence once."""

    def __init__(self):
        self.sentences: dict[str, None] = {}

    def warning(self, sentence: str) -> None:
        self.sentences[sentence] = None


class _BagClock:
    """Node and clock in one, as far as `CameraInput` asks: time stands still."""

    nanoseconds = 0

    def get_clock(self) -> _BagClock:
        return self

    def now(self) -> _BagClock:
        return self


class _Run:
    """The state of one bag's processing."""

    def __init__(
        self,
        job: Job,
        config: Config,
        network: Network | NestedNetwork,
        poses: BagPoses,
        out: BagWriter,
    ):
        self._job, self._config, self._network, self._poses = job, config, network, poses
        self._ledger, self._notes = Ledger(), _Notes()
        self._complaints = Complaints(self._notes, clock=lambda: 0.0)
        self._scene = Scene(config.scene, str(next(network.parameters()).device))
        self._pipeline = Pipeline(network, config)
        self._node = BagNode(out, job.leave_out)
        self._outputs = Outputs(self._node, config)
        self._newest: WindowDepth | None = None
        desk = Desk(
            _BagClock(),
            config,
            self._ledger,
            self._complaints,
            poses.source,
            self._take,
            self._start_over,
            wake=lambda: None,
        )
        self._camera = CameraInput(config.input.cameras[0], desk)

    def warn(self, sentence: str) -> None:
        """Something to say of the whole bag; nothing if empty."""
        if sentence:
            self._complaints.warn(sentence)

    def process(self, recorded: Iterator[tuple[int, object]], progress) -> None:
        """All images of the bag, then what is written at the end."""
        done = 0
        for time_ns, msg in recorded:
            self._poses.read_until(time_ns)
            self._node.now_ns = time_ns
            if isinstance(msg, CameraInfo):
                self._camera.on_info(msg)
            elif isinstance(msg, (Image, CompressedImage)):
                self._camera.on_image(msg)
                progress(done := done + 1)
        self._camera.clear(Drop.NO_CAMERA_INFO)
        # What is left was seen beside others, but never in the middle of a window.
        self._ledger.drop_all(Drop.NEIGHBOUR_ONLY)
        self._node.close()

    def report(self, failure: str) -> Report:
        """What became of the bag."""
        complaints = (*dict.fromkeys(self._poses.refused), *self._notes.sentences)
        return Report(self._job, self._ledger.counts(), complaints, failure)

    def _take(self, name: str, frame: Frame) -> None:
        step = self._pipeline.push(frame)
        if step.refused:
            self._ledger.drop(_key(frame), REASONS[step.refused])
        self._ledger.leave(map(_key, step.left))
        if step.window:
            self._publish(step.window)

    def _publish(self, window: Window) -> None:
        result = self._newest = self._pipeline.process(window)
        names = {frame.camera_id: self._camera.name for frame in window.frames}
        self._outputs.publish(result, names)
        if self._config.scene.enabled:
            fuse(result, self._scene, self._config.output)
        self._ledger.publish(_key(window.frames[i]) for i in window.views)

    def _start_over(self, why: str) -> None:
        self._complaints.warn(f"{why}: starting over")
        self._camera.clear(Drop.TIME_JUMP)
        self._pipeline.clear()
        self._outputs.clear()
        self._poses.start_over()
        self._ledger.drop_all(Drop.TIME_JUMP)

    def export(self, folder: Path) -> str:
        """Write the exports of the end; returns why not, or nothing."""
        try:
            export_running(
                self._job.formats,
                folder,
                {},
                newest=self._newest,
                scene=self._scene,
                infer=DepthAnything3.around(self._network).inference,
                metadata=window_metadata(self._newest, self._config.pose.world_frame),
            )
        except ExportError as error:
            return f"export: {error}"
        return ""


def _key(frame: Frame) -> tuple[str, int]:
    return frame.camera_id, frame.stamp_ns
