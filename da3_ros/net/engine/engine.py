"""An engine in the place of a network: the same stages, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from da3_ros.net.camera import Cameras
from da3_ros.net.checkpoint import Weights, warn_of_license
from da3_ros.net.engine.manifest import (
    AGGREGATE,
    DECODE,
    ENCODE,
    METRIC_FOLDER,
    EngineError,
    Manifest,
    read_manifest,
)
from da3_ros.net.engine.session import ON_GPU, Session, find_provider
from da3_ros.net.model_folder import PictureSize
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.presets import find_preset
from da3_ros.net.select_views import select_views
from da3_ros.net.sky import fill_sky
from da3_ros.net.stage_types import EncodedViews, NetOutput

LEVELS = 4


@dataclass(frozen=True)
class EngineFeatures:
    """A window after the cross-view blocks: four levels (1, M, P, 2C) of `views`, and
    T_cam_ref (1, N, 3, 4) and K (1, N, 3, 3) as predicted; None of a one-view network."""

    levels: tuple[Tensor, ...]
    cameras: tuple[Tensor, Tensor] | None
    views: tuple[int, ...]


class Engine(nn.Module):
    """The stages of `Network` for windows of one number of views and pictures of one size.

    No features, Gaussians or rays, and the first view is the reference.
    """

    def __init__(self, manifest: Manifest, folder: Path, provider: str, device: torch.device):
        super().__init__()
        self.manifest, self.preset = manifest, find_preset(manifest.preset)
        size = PictureSize(manifest.process_res)
        self.weights = Weights(manifest.source, manifest.license, manifest.random, size)
        # Where pictures are to be: there are no other parameters.
        self.place = nn.Parameter(torch.empty(0, device=device), requires_grad=False)

        def session(name: str) -> Session:
            return Session(folder / name, provider, device, precision=manifest.precision)

        self._encode, self._decode = session(ENCODE), session(DECODE)
        self._aggregate = session(AGGREGATE) if self.preset.any_view else None

    def encode(self, images: Tensor, feature_layers: Sequence[int] = ()) -> EncodedViews:
        """See `Network.encode`; one picture after the other."""
        self._refuse(features=feature_layers)
        size = tuple(images.shape[-2:])
        if size != self.manifest.size:
            raise EngineError(
                f"pictures are {size[1]}x{size[0]} px in the network, the engine takes "
                f"{self.manifest.width}x{self.manifest.height}: export it with the --image-size "
                "and --res of your camera"
            )
        found = [self._encode(image[None]) for image in images[0]]
        if not self.preset.any_view:
            levels = tuple(torch.stack(level, dim=1) for level in zip(*found))
            return EncodedViews(levels[0], levels[0][:, :, 0], size, levels=levels)
        tokens = torch.stack([x[0] for x in found], dim=1)
        return EncodedViews(tokens, tokens[:, :, 0], size)

    def aggregate(
        self,
        encoded: EncodedViews,
        cameras: Cameras | None = None,
        *,
        reference: str = "first",
        views: Sequence[int] | None = None,
        feature_layers: Sequence[int] = (),
    ) -> EngineFeatures:
        """See `Network.aggregate`."""
        self._refuse(features=feature_layers)
        if cameras is None and reference != "first":
            raise EngineError(
                f"the reference is '{reference}', an engine takes the first view of the window"
            )
        count = encoded.tokens.shape[1]
        views = tuple(range(count)) if views is None else tuple(views)
        if self._aggregate is None:
            levels = tuple(select_views(x, views) for x in encoded.levels)
            return EngineFeatures(levels, None, views)
        if count != self.manifest.views:
            raise EngineError(
                f"the window has {count} views, the engine takes {self.manifest.views}: set "
                f"window.size to that, or export it with --views {count}"
            )
        found = self._aggregate(encoded.tokens, *self._cameras(cameras, count))
        levels = tuple(select_views(x, views) for x in found[:LEVELS])
        return EngineFeatures(levels, tuple(found[LEVELS:]), views)

    def _cameras(self, cameras: Cameras | None, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the graph takes: cameras, any where there are none, and whether there are."""
        posed = torch.full((1,), float(cameras is not None))
        if cameras is not None:
            return cameras.T_cam_ref, cameras.K, posed
        height, width = self.manifest.size
        K = torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
        return torch.eye(4).expand(1, count, -1, -1), K.expand(1, count, -1, -1), posed

    def decode(
        self, features: EngineFeatures, views: Sequence[int] | None = None, *, rays: bool = False
    ) -> NetOutput:
        """See `Network.decode`."""
        self._refuse(rays=rays)
        kept = features.views if views is None else tuple(views)
        index = [features.views.index(v) for v in kept]
        found = [self._decode(*(level[:, i] for level in features.levels)) for i in index]
        depth, other = (torch.stack(maps, dim=1) for maps in zip(*found))
        if not self.preset.any_view:
            return NetOutput(fill_sky(depth, other), sky=other)
        return NetOutput(depth, other, *features.cameras)

    def forward(
        self,
        images: Tensor,
        cameras: Cameras | None = None,
        *,
        reference: str = "first",
        feature_layers: Sequence[int] = (),
        ray_pose: bool = False,
        gaussians: bool = False,
    ) -> NetOutput:
        """See `Network.forward`."""
        self._refuse(rays=ray_pose, gaussians=gaussians)
        encoded = self.encode(images, feature_layers)
        return self.decode(self.aggregate(encoded, cameras, reference=reference))

    def _refuse(self, **asked: object) -> None:
        wanted = [name for name, value in asked.items() if value]
        if wanted:
            raise EngineError(
                f"an engine gives no {' and no '.join(wanted)}: use model.backend torch for that"
            )


def open_engine(folder: Path, provider: str, device: torch.device) -> Engine | NestedNetwork:
    """An engine, not yet compared with torch (see `check`). Raises `EngineError`.

    provider: `auto` or a key of `PROVIDERS`. device: where torch would compute; a processor's
    provider computes on the processor all the same.
    """
    manifest, provider = read_manifest(folder), find_provider(provider)
    place = device if provider in ON_GPU else torch.device("cpu")
    engine = Engine(manifest, folder, provider, place)
    warn_of_license(manifest.preset, manifest.license)
    if engine.preset.metric_branch is None:
        return engine
    metric = Engine(read_manifest(folder / METRIC_FOLDER), folder / METRIC_FOLDER, provider, place)
    nested = NestedNetwork(engine.preset, (engine, metric))
    nested.weights, nested.manifest = engine.weights, manifest
    return nested
