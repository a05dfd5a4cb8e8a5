"""A network whose stages are recorded once per size as CUDA graphs, and replayed.

A small network is done sooner than the computer can ask for its next kernel; a replay asks once.
What the stages run has fixed shapes and waits for nothing (tests/net/test_no_waiting.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from da3_ros.net.camera import Cameras
from da3_ros.net.out_of_memory import is_out_of_memory
from da3_ros.net.plain_text import first_line
from da3_ros.net.stage_types import NetOutput, map_tensors

MOST_RECORDINGS = 16
"""Each holds memory of the device; sizes beyond them run without one."""

WARM_UPS = 2
"""Runs before a recording: libraries choose their kernels, tables are made."""

WORDS = {"encode": "encoding of new pictures", "window": "a window and its depth"}

_log = logging.getLogger(__name__)

Capture = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]
"""Runs a function once in a way that can be run again: how, and what it returned, which the next
run writes into again."""


class RecordingError(RuntimeError):
    """The network runs, and cannot be recorded; one sentence. Torch gives memory back no more."""


@dataclass(frozen=True)
class DecodedWindow:
    """What `aggregate` hands to `decode`: done already. The rest is for who asks for more."""

    out: NetOutput
    encoded: Any
    cameras: Cameras | None
    views: tuple[int, ...]


class GraphedNetwork(nn.Module):
    """The stages of a `Network` or `NestedNetwork` on a CUDA device, in inference mode.

    capture: `cuda_capture`, or what stands in for it. Where it fails, that is raised once, as
    `RecordingError`; what could not be recorded runs without from then on.
    """

    def __init__(self, network: nn.Module, capture: Capture | None = None):
        super().__init__()
        self.network = network
        self.preset, self.weights = network.preset, network.weights
        self._capture = capture or cuda_capture(next(network.parameters()).device)
        self._recordings: dict[tuple, RecordedGraph | None] = {}

    def encode(self, images: Tensor, feature_layers: Sequence[int] = ()):
        """See `Network.encode`."""
        if feature_layers:
            return self.network.encode(images, feature_layers)
        return self._run(("encode", images.shape), self.network.encode, (images,))

    def aggregate(
        self,
        encoded,
        cameras: Cameras | None = None,
        *,
        reference: str = "saddle_balanced",
        views: Sequence[int] | None = None,
        feature_layers: Sequence[int] = (),
    ):
        """See `Network.aggregate`; windows whose reference is the first view are decoded too."""
        if feature_layers or (cameras is None and reference != "first") or views is None:
            return self.network.aggregate(
                encoded, cameras, reference=reference, views=views, feature_layers=feature_layers
            )
        kept = tuple(views)

        def window(encoded, cameras):
            features = self.network.aggregate(encoded, cameras, reference="first", views=kept)
            return self.network.decode(features)

        shapes = tuple(x.shape for x in tensors(encoded))
        # Pictures upright and lying down have as many tokens.
        key = ("window", encoded.size, shapes, kept, cameras is None)
        out = self._run(key, window, (encoded, cameras))
        return DecodedWindow(out, encoded, cameras, kept)

    def decode(self, features, views: Sequence[int] | None = None, *, rays: bool = False):
        """See `Network.decode`."""
        if not isinstance(features, DecodedWindow):
            return self.network.decode(features, views, rays=rays)
        if views is None and not rays:
            return features.out
        again = self.network.aggregate(
            features.encoded, features.cameras, reference="first", views=features.views
        )
        return self.network.decode(again, views, rays=rays)

    def forward(self, *arguments, **options) -> NetOutput:
        """See `Network.forward`; not recorded."""
        return self.network(*arguments, **options)

    def _run(self, key: tuple, function: Callable, inputs: tuple) -> Any:
        if key not in self._recordings:
            if len(self._recordings) == MOST_RECORDINGS:
                return function(*inputs)
            self._recordings[key] = None  # it is tried once
            self._recordings[key] = self._record(WORDS[key[0]], function, inputs)
        recording = self._recordings[key]
        return recording.replay(inputs) if recording else function(*inputs)

    def _record(self, what: str, function: Callable, inputs: tuple) -> RecordedGraph | None:
        """None without enough memory, of which a recording takes more than a run."""
        _log.info("recording CUDA graph %d: %s", len(self._recordings), what)
        try:
            return RecordedGraph(function, inputs, self._capture)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        torch.cuda.empty_cache()
        _log.warning("no memory to record %s: it runs without a CUDA graph", what)
        return None


class RecordedGraph:
    """One function on tensors that stay where they are."""

    def __init__(self, function: Callable, inputs: tuple, capture: Capture):
        self._inputs = map_tensors(inputs, torch.clone)
        for _ in range(WARM_UPS - 1):
            function(*self._inputs)
        with _Reads() as reads:  # what is compiled runs as it is written meanwhile
            function(*self._inputs)
        # Tables that functions cache: a graph reads them where they are, in use or forgotten.
        self._kept = reads.found
        try:
            self._again, self._output = capture(lambda: function(*self._inputs))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise RecordingError(
                f"no CUDA graph can be recorded here ({first_line(error)}): set model.cuda_graphs "
                "to false"
            ) from error

    def replay(self, inputs: tuple) -> Any:
        """The function of these inputs; its result is the caller's own."""
        for mine, given in zip(tensors(self._inputs), tensors(inputs), strict=True):
            mine.copy_(given)
        self._again()
        return map_tensors(self._output, torch.clone)


class _Reads(TorchDispatchMode):
    """While active, keeps every tensor that an operation takes and none has made."""

    def __init__(self):
        super().__init__()
        self.found: list[Tensor] = []
        # Addresses: what is made may be freed, and nothing made then lies where a table is.
        self._known: set[int] = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        for x in _tensors_of((args, kwargs)):
            if _address(x) not in self._known:
                self._known.add(_address(x))
                self.found.append(x)
        made = operation(*args, **(kwargs or {}))
        self._known.update(map(_address, _tensors_of(made)))
        return made


def _tensors_of(values: Any) -> list[Tensor]:
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


def _address(x: Tensor) -> int:
    """Packed weights have none; they live as long as the network."""
    return id(x) if x.is_mkldnn else x.untyped_storage().data_ptr()


def cuda_capture(device: torch.device) -> Capture:
    """CUDA graphs that share one pool of memory: one replays at a time, and results are copied."""
    pool, stream = torch.cuda.graph_pool_handle(), _stream_of(device)

    def capture(function: Callable[[], Any]):
        # A recording that fails leaves its own stream as the current one.
        with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            # Other threads, as that of the map, go on using the device meanwhile.
            with torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"):
                output = function()
        return graph.replay, output

    return capture


@cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """What is recorded goes there. Torch's own for that belongs to the device that came first, and
    libraries keep memory for each stream that was ever used."""
    return torch.cuda.Stream(device)


def tensors(values: Any) -> list[Tensor]:
    """All tensors in order."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(values, keep)
    return found
