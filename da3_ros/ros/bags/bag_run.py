"""A bag, or a piece of it, on its way through the steps of the live node.

Cameras, runner and outputs are the node's own; only their surroundings differ: poses are
read ahead, nothing waits, and publishers write into the new bag.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from da3_ros.core.config import Config
from da3_ros.core.config_doubts import config_doubts
from da3_ros.core.export.running import Source, export_running
from da3_ros.core.files.staging import new_folder
from da3_ros.core.frame_counts import Counts, Drop, FrameCounts
from da3_ros.core.handover import Handover
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.process_res import size_warning
from da3_ros.core.runner import Runner
from da3_ros.core.scene.scene import Scene
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.ros.bags.bag import BagReader, Span
from da3_ros.ros.bags.bag_node import BagNode
from da3_ros.ros.bags.bag_poses import BagPoses
from da3_ros.ros.bags.find_anchors import AnchorTopics
from da3_ros.ros.bags.pieces import Phase
from da3_ros.ros.health.rates import Statistics
from da3_ros.ros.inputs.anchor_input import AnchorInput
from da3_ros.ros.inputs.cameras import CameraInputs
from da3_ros.ros.inputs.patience import Patience
from da3_ros.ros.outputs.publishers import Outputs
from da3_ros.ros.topics.find_camera import BagTopics

ANCHORS_AHEAD_NS = 500_000_000
"""How long before its recording time an anchor is taken: clouds come later than the pictures
that see their points."""

INFO_LATE_NS = 5_000_000_000
WAITING_SIZE = 256 << 20
"""How far apart a recorder may have written images and their camera infos, in time, and in bytes
of images: a bag does not hurry, as a live camera does.
"""

Taker = Callable[[int, object], None]
"""Takes recording time in ns and message."""


class OnceLog:
    """Sentences of one bag: the first of each cause."""

    def __init__(self):
        self.sentences: dict[Hashable, str] = {}

    def debug(self, sentence: str) -> None:
        """Nobody is waiting to hear it."""

    def warn(self, cause: Hashable, sentence: str) -> None:
        """Keep the first sentence of a cause."""
        self.sentences.setdefault(cause, sentence)

    def fail(self, cause: Hashable, sentence: str, details: str) -> None:
        """Keep the sentence; the error itself reaches whoever processes the bag."""
        self.warn(cause, sentence)


class PathEnds(NamedTuple):
    """How the path of one piece hangs together with those of its neighbours.

    continues: it goes on from the path of the piece before. is_over: what comes behind it is
    another path.
    """

    continues: bool
    is_over: bool


class PhasedOutlet:
    """The outputs, as far as the phase lets results through."""

    def __init__(self, outputs: Outputs):
        self.phase = Phase.COLLECT
        self._outputs = outputs
        self._forget_path()

    def is_wanted(self) -> bool:
        """Whether windows are processed."""
        return self.phase is not Phase.COLLECT and self._outputs.is_wanted()

    def publish(self, result: WindowDepth, camera_of: dict[str, str]) -> None:
        """Write a result, in the phase for it."""
        if self.phase is Phase.WRITE:
            self.path = PathEnds(self.path.continues and not self.path.is_over, is_over=False)
            self._outputs.publish(result, camera_of)

    def clear(self) -> None:
        """Forget the path."""
        self.path = self.path._replace(is_over=True)
        self._outputs.clear()

    def write(self) -> None:
        """Let results through, from now on, with a path of their own."""
        self.phase = Phase.WRITE
        self._forget_path()

    def _forget_path(self) -> None:
        self._outputs.clear()
        self.path = PathEnds(continues=True, is_over=False)


class BagRun:
    """The state of one run through a bag.

    before: what was remembered where writing began; None at the beginning of the bag.
    doubts: sentences, some of them empty, on parameters that do not go together, and on a picture
    size that the network is not good at.
    """

    def __init__(
        self,
        config: Config,
        network: Network | NestedNetwork,
        poses: BagPoses,
        node: BagNode,
    ):
        self.poses = poses
        self.doubts = config_doubts(config, is_metric=network.preset.metric)
        self.doubts.append(size_warning(network.weights, config.model.process_res))
        self._config, self._node = config, node
        self._live = LiveConfig(replace(config, scene=replace(config.scene, enabled=False)))
        self._all_counts, self.log = FrameCounts(), OnceLog()
        self.scene = Scene(config.scene, str(next(network.parameters()).device))
        outputs = Outputs(node, self._live, Statistics(lambda: node.now_ns))
        self._outlet = PhasedOutlet(outputs)
        self._runner = Runner(
            network, self._live, self.scene, self._outlet, self._all_counts, self.log
        )
        self._cameras = CameraInputs(
            self._live,
            self._all_counts,
            self.log,
            poses,
            self._runner.take,
            self._start_over,
            lambda: 0,
        )
        self._patience = Patience(config.input.queue_size, INFO_LATE_NS, WAITING_SIZE)
        self._anchors = AnchorInput(
            self._live, self.log, poses, self._runner.add_anchors, lambda: node.now_ns
        )
        self._counts_before = self._all_counts.counts()
        self.before: Handover | None = None
        self._progress: Callable[[], None] = lambda: None

    def process(
        self,
        recorded: Iterator[tuple[int, Taker, object]],
        phases: list[tuple[int, Phase]],
        progress: Callable[[int], None],
    ) -> None:
        """All images of a piece.

        recorded: time to be taken at, taker and message. phases: of a `Piece`. progress: called
        with images done.
        """
        steps, done = deque(phases), 0

        def tick() -> None:
            nonlocal done
            if self._outlet.phase is Phase.WRITE:
                progress(done := done + 1)

        self._progress = tick
        for time_ns, take, msg in recorded:
            while steps and time_ns >= steps[0][0]:
                self._begin(steps.popleft()[1])
            take(time_ns, msg)
        for _, phase in steps:
            self._begin(phase)

    def finish(self) -> None:
        """The bag ends here: what waits is done, or given up."""
        self._cameras.end()
        self._runner.finish()

    def takers(self, cameras: dict[str, BagTopics]) -> dict[str, Taker]:
        """Who takes the messages of each topic of the cameras."""
        found: dict[str, list[Taker]] = {}
        self.poses.stereo.frames = frozenset().union(*(t.first_frames for t in cameras.values()))
        for name, topics in cameras.items():
            camera = self._cameras.inputs[name]
            camera.set_patience(self._patience)
            camera.name_topics(topics.image, topics.camera_info)
            found.setdefault(topics.image, []).append(partial(self._on_image, camera))
            found.setdefault(topics.camera_info, []).append(partial(self._on_info, camera))
        return {topic: partial(_to_all, takers) for topic, takers in found.items()}

    def anchor_takers(self, topics: AnchorTopics) -> dict[str, Taker]:
        """Who takes the messages of each topic of anchors."""
        self._anchors.name_topic(topics.depth)
        takes = self._anchors.on_points, self._anchors.on_depth, self._anchors.on_info
        named = zip((topics.points, topics.depth, topics.camera_info), takes)
        return {topic: partial(self._on_anchors, take) for topic, take in named if topic}

    @property
    def counts(self) -> Counts:
        """What became of the images since writing began."""
        return self._all_counts.counts() - self._counts_before

    @property
    def path(self) -> PathEnds:
        """Of what was written."""
        return self._outlet.path

    def handover(self) -> Handover:
        """What is remembered now."""
        newest = self._runner.newest_result
        others = self._cameras.memory, self.poses.memory, self._anchors.memory
        return Handover.of(self._runner.memory, newest, newest and newest.window.stamp_ns, others)

    def source(self) -> Source:
        """What there is to export."""
        return Source(
            self._runner.newest(), self.scene, self._runner, self._config.pose.world_frame
        )

    def _begin(self, phase: Phase) -> None:
        if phase is Phase.WRITE:
            if self._outlet.phase is not Phase.COLLECT:
                self.before = self.handover()
            self._live.config = self._config
            self._outlet.write()
            self._counts_before = self._all_counts.counts()
            self.poses.forget_refused()
            self.log.sentences.clear()
        self._outlet.phase = phase

    def _on_image(self, camera, time_ns: int, msg) -> None:
        self._go_to(time_ns)
        self._cameras.on_image(camera, msg)
        self._progress()

    def _on_info(self, camera, time_ns: int, msg) -> None:
        self._go_to(time_ns)
        camera.on_info(msg)

    def _on_anchors(self, take: Callable, time_ns: int, msg) -> None:
        self.poses.read_until(time_ns)  # the clock stays: they are taken before their time
        take(msg)

    def _go_to(self, time_ns: int) -> None:
        self.poses.read_until(time_ns)
        self._node.now_ns = time_ns

    def _start_over(self, what: str, seconds: float) -> None:
        self.log.warn(what, f"{what} by {seconds:.1f} s: starting over")
        self._cameras.clear(Drop.TIME_JUMP)
        self._anchors.clear()
        self.poses.start_over()
        self._runner.clear()


def _to_all(takers: list[Taker], time_ns: int, msg) -> None:
    """Two cameras may share a camera info."""
    for take in takers:
        take(time_ns, msg)


def write_exports(formats: str, folder: Path, source: Source) -> str:
    """Write the exports of the end; returns why not, or nothing."""
    try:
        with new_folder(folder) as stage:
            export_running(formats, stage.path, {}, source)
    except ValueError as error:  # of the export, or of the network that is asked once more
        return f"export: {error}"
    return ""


def read_recorded(
    bag: BagReader, takers: dict[str, Taker], span: Span, ahead_ns: int = 0
) -> Iterator[tuple[int, Taker, object]]:
    """Taker and message, with the time at which it is taken: `ahead_ns` before it was recorded."""
    stop_ns = None if span.stop_ns is None else span.stop_ns + ahead_ns
    for topic, time_ns, msg in bag.messages(*takers, span=Span(span.start_ns, stop_ns)):
        yield time_ns - ahead_ns, takers[topic], msg


def in_order(*streams: Iterator) -> Iterator[tuple[int, Taker, object]]:
    """Several of `read_recorded` as one."""
    return heapq.merge(*streams, key=itemgetter(0))
