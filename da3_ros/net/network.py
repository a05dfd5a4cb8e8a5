"""Depth Anything 3: images and cameras in, raw maps out, in three stages.

``encode`` sees one frame, ``aggregate`` a window of frames, ``decode`` the views whose
depth is wanted. A frame's encoding may be reused in every window it is part of, and
views that nobody reads need not be decoded: the numbers stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from da3_ros.net import presets
from da3_ros.net.backbone import Backbone
from da3_ros.net.camera import CameraDecoder, CameraEncoder, Cameras
from da3_ros.net.dpt import DepthSkyHead, chunk_size
from da3_ros.net.dual_dpt import DualDPT
from da3_ros.net.gaussians import GaussianHead, Gaussians, place_gaussians
from da3_ros.net.precision import without_autocast
from da3_ros.net.presets import PATCH
from da3_ros.net.ray_pose import pose_from_rays
from da3_ros.net.reference_view import (
    MIN_VIEWS,
    check_strategy,
    order_reference_first,
    select_reference,
    take,
)
from da3_ros.net.select_views import select_views
from da3_ros.net.sky import fill_sky
from da3_ros.net.stage_types import EncodedViews, Features, NetOutput

__all__ = ["Cameras", "EncodedViews", "Features", "Gaussians", "NetOutput", "Network"]


class Network(nn.Module):
    """A network of any preset but the nested one (see `da3_ros.net.nested`)."""

    def __init__(self, preset: presets.Preset):
        super().__init__()
        self.preset = preset
        dim = preset.backbone.dim
        self.backbone = Backbone(preset.backbone)
        if not preset.any_view:
            self.head = DepthSkyHead(dim, preset.head)
            return
        self.head = DualDPT(2 * dim, preset.head)
        self.cam_enc = CameraEncoder(dim, preset.camera_blocks)
        self.cam_dec = CameraDecoder(2 * dim)
        if preset.gaussians:
            self.gs_head = GaussianHead(2 * dim, preset.head)

    def forward(
        self,
        images: Tensor,
        cameras: Cameras | None = None,
        *,
        reference: str = "saddle_balanced",
        feature_layers: Sequence[int] = (),
        ray_pose: bool = False,
        gaussians: bool = False,
    ) -> NetOutput:
        """All stages for images (B, N, 3, h, w); see them for the arguments.

        ray_pose: cameras from the ray map instead of the camera decoder.
        gaussians: also 3D Gaussians, for presets that have them.
        """
        encoded = self.encode(images, feature_layers)
        features = self.aggregate(
            encoded, cameras, reference=reference, feature_layers=feature_layers
        )
        out = self.decode(features, rays=ray_pose)
        if ray_pose and out.ray is not None:
            T_cam_ref, K = pose_from_rays(out.ray, out.ray_conf, features.size)
            out = replace(out, T_cam_ref=T_cam_ref, K=K)
        if gaussians:
            out = replace(out, gaussians=self.splat(features, images, out, cameras))
        return out

    def encode(self, images: Tensor, feature_layers: Sequence[int] = ()) -> EncodedViews:
        """Stage 1, per frame: images (B, N, 3, h, w), ImageNet-normalised, sides n * 14."""
        B, N, _, height, width = images.shape
        if height % PATCH or width % PATCH:
            raise ValueError(f"image sides must be multiples of {PATCH}, got {height}x{width}")
        layers = self._check_layers(feature_layers)
        wanted = layers if self.preset.any_view else (*layers, *self.preset.backbone.out_layers)
        tokens = self.backbone.embed(images.flatten(0, 1))
        tokens, class_tokens, kept = self.backbone.encode(tokens, wanted)
        levels = () if self.preset.any_view else self.backbone.one_view_levels(kept)
        features = {i: self.backbone.norm(kept[i])[:, 1:] for i in layers if i in kept}
        return EncodedViews(
            tokens.unflatten(0, (B, N)),
            class_tokens.unflatten(0, (B, N)),
            (height, width),
            {i: x.unflatten(0, (B, N)) for i, x in features.items()},
            tuple(x.unflatten(0, (B, N)) for x in levels),
        )

    def aggregate(
        self,
        encoded: EncodedViews,
        cameras: Cameras | None = None,
        *,
        reference: str = "saddle_balanced",
        views: Sequence[int] | None = None,
        feature_layers: Sequence[int] = (),
    ) -> Features:
        """Stage 2, per window. With cameras, view 0 is the reference.

        reference: strategy for three or more views without cameras.
        views: indices that will be decoded; None means all.
        """
        check_strategy(reference)
        N = encoded.tokens.shape[1]
        views = tuple(range(N)) if views is None else tuple(views)
        if not self.preset.any_view:
            if cameras is not None:
                raise ValueError(
                    f"{self.preset.name} sees one image at a time and takes no cameras"
                )
            levels = tuple(select_views(x, views) for x in encoded.levels)
            return Features(levels, None, views, encoded.size, encoded.features)
        if cameras is not None:
            with without_autocast(encoded.tokens.device):
                camera_tokens = self.cam_enc(cameras, encoded.size)
            return self._aggregate(encoded, camera_tokens, views, feature_layers)
        camera_tokens = self.backbone.default_camera_tokens(len(encoded.tokens), N)
        if N < MIN_VIEWS or reference == "first":
            return self._aggregate(encoded, camera_tokens, views, feature_layers)
        return self._aggregate_reordered(encoded, camera_tokens, views, feature_layers, reference)

    def _aggregate(self, encoded, camera_tokens, views, feature_layers) -> Features:
        layers = self._check_layers(feature_layers)
        grid = (encoded.size[0] // PATCH, encoded.size[1] // PATCH)
        found = self.backbone.aggregate(encoded.tokens, camera_tokens, grid, list(views), layers)
        return Features(
            found.levels,
            found.camera_tokens,
            views,
            encoded.size,
            {**encoded.features, **found.features},
        )

    def _aggregate_reordered(self, encoded, camera_tokens, views, layers, strategy) -> Features:
        """Put the selected reference first, and everything back into input order after."""
        N = encoded.tokens.shape[1]
        selected = select_reference(encoded.class_tokens, strategy)
        order = order_reference_first(selected, N)
        back = order.argsort(dim=1)
        reordered = replace(encoded, tokens=take(encoded.tokens, order), features={})
        # Batch entries may have different references, so all views are kept until reordered.
        found = self._aggregate(reordered, camera_tokens, tuple(range(N)), layers)
        return Features(
            tuple(select_views(take(level, back), views) for level in found.levels),
            take(found.camera_tokens, back),
            views,
            encoded.size,
            {**encoded.features, **{i: take(x, back) for i, x in found.features.items()}},
        )

    def decode(
        self, features: Features, views: Sequence[int] | None = None, *, rays: bool = False
    ) -> NetOutput:
        """Stage 3: maps of `views` (None: all that the features hold), cameras of all views."""
        kept = features.views if views is None else tuple(views)
        missing = [v for v in kept if v not in features.views]
        if missing:
            raise ValueError(f"views {missing} were not asked for in aggregate")
        index = [features.views.index(v) for v in kept]
        levels = [select_views(x, index) for x in features.levels]
        with without_autocast(levels[0].device):
            out = self._decode_maps(levels, features.size, rays)
            if features.camera_tokens is not None:
                T_cam_ref, K = self.cam_dec(features.camera_tokens.float(), features.size)
                out = replace(out, T_cam_ref=T_cam_ref, K=K)
        return replace(out, aux=_aux_maps(features))

    def _decode_maps(self, levels: list[Tensor], size: tuple[int, int], rays: bool) -> NetOutput:
        B, M = levels[0].shape[:2]
        chunk = chunk_size(levels[0].device)
        chunks = zip(*(x.flatten(0, 1).float().split(chunk) for x in levels))
        if not self.preset.any_view:
            depth, sky = (torch.cat(x) for x in zip(*(self.head(c, size) for c in chunks)))
            depth, sky = depth.unflatten(0, (B, M)), sky.unflatten(0, (B, M))
            return NetOutput(fill_sky(depth, sky), sky=sky)
        found = [self.head(c, size, rays=rays) for c in chunks]
        maps = [None if x[0] is None else torch.cat(x).unflatten(0, (B, M)) for x in zip(*found)]
        return NetOutput(depth=maps[0], conf=maps[1], ray=maps[2], ray_conf=maps[3])

    def splat(
        self, features: Features, images: Tensor, out: NetOutput, cameras: Cameras | None
    ) -> Gaussians:
        """Gaussians of all pixels of all views, in the frame of the predicted poses."""
        if not self.preset.gaussians:
            raise ValueError(
                f"{self.preset.name} has no Gaussian head; use da3-giant or da3nested-giant-large"
            )
        B, N = images.shape[:2]
        with without_autocast(images.device):
            chunk = chunk_size(images.device)
            chunks = zip(
                *(x.flatten(0, 1).float().split(chunk) for x in (*features.levels, images))
            )
            found = [self.gs_head(c[:4], c[4]) for c in chunks]
            parameters, opacity = (torch.cat(x).unflatten(0, (B, N)) for x in zip(*found))
            given = None if cameras is None else cameras.T_cam_ref
            return place_gaussians(parameters, opacity, out.depth, out.T_cam_ref, out.K, given)

    def _check_layers(self, layers: Sequence[int]) -> tuple[int, ...]:
        depth = self.preset.backbone.depth
        wrong = [i for i in layers if not 0 <= i < depth]
        if wrong:
            raise ValueError(
                f"feature layers {wrong} do not exist; {self.preset.name} has 0 to {depth - 1}"
            )
        return tuple(sorted(set(layers)))


def _aux_maps(features: Features) -> dict[str, Tensor]:
    rows, columns = features.size[0] // PATCH, features.size[1] // PATCH
    return {
        f"feat_layer_{i}": x.unflatten(2, (rows, columns))
        for i, x in sorted(features.features.items())
    }
