"""One bag through the steps of the live node, without a graph: every window, in order.

Cameras, runner and outputs are the node's own; only their surroundings differ: poses are
read ahead, nothing waits, and publishers write into the new bag.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from sensor_msgs.msg import CameraInfo

from da3_ros.core.config import Config, from_dict
from da3_ros.core.export.running import Source, export_running, split_all_formats
from da3_ros.core.files.staging import new_folder
from da3_ros.core.frame_counts import Counts, Drop, FrameCounts
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.load_model import load_model
from da3_ros.core.process_res import size_warning, with_process_res
from da3_ros.core.runner import Runner
from da3_ros.core.scene.scene import Scene
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.ros.bags.bag import BagError, BagReader, BagWriter
from da3_ros.ros.bags.bag_files import COMPRESSED, SUFFIXES
from da3_ros.ros.bags.bag_node import BagNode
from da3_ros.ros.bags.bag_poses import BagPoses
from da3_ros.ros.bags.check_job import check_before_loading
from da3_ros.ros.bags.find_camera import BagTopics, Choice
from da3_ros.ros.bags.find_rig import find_cameras
from da3_ros.ros.health.rates import Statistics
from da3_ros.ros.health.throttled_log import ThrottledLog
from da3_ros.ros.inputs.cameras import Cameras
from da3_ros.ros.outputs.publishers import Outputs

EXPORTS = "exports"
"""Folder of the exports inside the new bag's folder; readers of bags pass it by."""


@dataclass(frozen=True)
class BagJob:
    """A bag to process. Plain values only, so that it can be sent to another process.

    out: folder of results; this one will be `out`/`name`. parameters: dotted names and
    values, as in the parameter file. formats: exports of the end, joined with ``-``.
    leave_out: output topics that are not written. choice: input topics.
    """

    bag: Path
    out: Path
    parameters: dict = field(default_factory=dict)
    formats: str = ""
    leave_out: tuple[str, ...] = ()
    choice: Choice = field(default_factory=Choice)

    @property
    def name(self) -> str:
        """Name of the bag and of its result."""
        file = Path(self.bag.name.removesuffix(COMPRESSED))
        return file.stem if file.suffix in SUFFIXES else self.bag.resolve().name

    @property
    def wanted(self) -> Choice:
        """The choice, with the fixed frame that the parameters name."""
        return replace(self.choice, world_frame=self.parameters.get("pose.world_frame", ""))

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras; several are a rig."""
        return list(from_dict(self.parameters).input.cameras)

    @property
    def result(self) -> Path:
        """The new bag's folder."""
        return self.out / self.name


@dataclass(frozen=True)
class Report:
    """What became of one bag. warnings: in sentences. failure: why there is no result, or no
    export; else empty."""

    job: BagJob
    counts: Counts | None = None
    warnings: tuple[str, ...] = ()
    failure: str = ""


def process_bag(job: BagJob, progress: Callable[[int], None] = lambda images: None) -> Report:
    """Write the result of one bag; whole, or nothing. progress: called with images done.

    Raises `BagError`, `ConfigError`, `ModelError` and `OSError` in one sentence. An export
    that fails costs the export only; the report names it.
    """
    if job.result.exists():
        raise BagError(f"{job.result} exists already; remove it or choose another folder")
    with BagReader(job.bag) as bag, BagReader(job.bag) as pose_bag:
        topics = find_cameras(bag, job.cameras, job.wanted)
        config = offline_config(job, *topics.values())
        check_before_loading(config, job.out, job.formats)
        network = load_model(config)
        config = with_process_res(config, network.weights.size)
        make_deterministic()
        with _partial(job.result) as folder, BagWriter(folder) as out:
            run = _Run(job, config, network, _poses(pose_bag, job, config, topics), out)
            run.note(*bag.notes, *(note for t in topics.values() for note in t.notes))
            run.warn(size_warning(network.weights, config.model.process_res))
            run.process(_images_and_infos(bag, topics), progress)
            failure = run.export(folder / EXPORTS) if job.formats else ""
        return run.report(failure)


def _poses(bag: BagReader, job: BagJob, config: Config, cameras: dict[str, BagTopics]) -> BagPoses:
    return BagPoses(
        bag,
        config.pose,
        dict.fromkeys(topic for camera in cameras.values() for topic in camera.tf),
        odometry=job.choice.odometry,
        ahead_ns=round(1e9 * job.parameters.get("pose.timeout", 0)),
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
        why = topics.gap or "the bag has no transforms"
        raise BagError(f"{why} (pose.source: none processes it without poses, not in metres)")
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
    return from_dict({**found, **job.parameters, **forced})


def make_deterministic() -> None:
    """Ask torch for the same numbers on every run, on a GPU too."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def _images_and_infos(
    bag: BagReader, cameras: dict[str, BagTopics]
) -> Iterator[tuple[str, int, object]]:
    """Name of the camera, recording time in ns and message."""
    name_of = {t: name for name, c in cameras.items() for t in (c.image, c.camera_info)}
    for topic, time_ns, msg in bag.messages(*name_of):
        yield name_of[topic], time_ns, msg


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
    """The logger of a `ThrottledLog`: each sentence once."""

    def __init__(self):
        self.sentences: dict[str, None] = {}

    def warning(self, sentence: str) -> None:
        self.sentences[sentence] = None

    def debug(self, sentence: str) -> None:
        """Nobody is waiting to hear it."""


class _Run:
    """The state of one bag's processing."""

    def __init__(
        self,
        job: BagJob,
        config: Config,
        network: Network | NestedNetwork,
        poses: BagPoses,
        out: BagWriter,
    ):
        self._job, self._poses, live = job, poses, LiveConfig(config)
        self._config = config
        self._counts, self._notes = FrameCounts(), _Notes()
        self._log = ThrottledLog(self._notes, clock=lambda: 0.0)
        self._scene = Scene(config.scene, str(next(network.parameters()).device))
        self._node = BagNode(out, job.leave_out)
        outputs = Outputs(self._node, live, Statistics(lambda: self._node.now_ns))
        self._runner = Runner(network, live, self._scene, outputs, self._counts, self._log)
        self._cameras = Cameras(
            live,
            self._counts,
            self._log,
            poses,
            self._runner.take,
            self._start_over,
            now_ns=lambda: 0,  # nothing waits
        )

    def warn(self, sentence: str) -> None:
        """Something to say of the whole bag; nothing if empty."""
        if sentence:
            self._log.warn(sentence, sentence)

    def process(self, recorded: Iterator[tuple[str, int, object]], progress) -> None:
        """All images of the bag, then what is written at the end."""
        done = 0
        for name, time_ns, msg in recorded:
            self._poses.read_until(time_ns)
            self._node.now_ns = time_ns
            camera = self._cameras.inputs[name]
            if isinstance(msg, CameraInfo):
                camera.on_info(msg)
            else:
                self._cameras.on_image(camera, msg)
                progress(done := done + 1)
        self._cameras.clear(Drop.NO_CAMERA_INFO)
        self._runner.finish()
        self._node.close()

    def note(self, *sentences: str) -> None:
        """Put sentences into the report."""
        for sentence in sentences:
            self._notes.warning(sentence)

    def report(self, failure: str) -> Report:
        """What became of the bag."""
        warnings = (*dict.fromkeys(self._poses.refused), *self._notes.sentences)
        return Report(self._job, self._counts.counts(), warnings, failure)

    def _start_over(self, what: str, back: float) -> None:
        self._log.warn(what, f"{what} by {back:.1f} s: starting over")
        self._cameras.clear(Drop.TIME_JUMP)
        self._poses.start_over()
        self._runner.clear()

    def export(self, folder: Path) -> str:
        """Write the exports of the end; returns why not, or nothing."""
        frame = self._config.pose.world_frame
        source = Source(self._runner.newest(), self._scene, self._runner, frame)
        try:
            with new_folder(folder) as stage:
                export_running(self._job.formats, stage.path, {}, source)
        except ValueError as error:  # of the export, or of the network that is asked once more
            return f"export: {error}"
        return ""
