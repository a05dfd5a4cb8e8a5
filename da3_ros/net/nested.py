"""The nested model: any-view geometry at the scale of a metric one-view network.

Depth Anything 3, section 3.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from da3_ros.net import presets
from da3_ros.net.camera import Cameras
from da3_ros.net.gaussians import Gaussians
from da3_ros.net.network import EncodedViews, Features, NetOutput, Network
from da3_ros.net.select_views import select_views
from da3_ros.net.sky import MIN_PIXELS, is_sky, quantile_where

Maps = TypeVar("Maps", np.ndarray, Tensor)

METRIC_FOCAL = 300.0
"""Focal length in pixels at which the metric branch's depth is in metres."""

MAX_SKY_DEPTH = 200.0
"""m that the sky is put at, at most."""


def metres_per_unit(K: Maps) -> Maps:
    """(...) metres of one unit of the metric branch's depth, for K (..., 3, 3) px of its images."""
    return (K[..., 0, 0] + K[..., 1, 1]) / 2 / METRIC_FOCAL


@dataclass(frozen=True)
class NestedViews:
    """Views encoded by both branches."""

    any_view: EncodedViews
    metric: EncodedViews

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.any_view.size

    @staticmethod
    def stack(views: Sequence[NestedViews]) -> NestedViews:
        """One window from separately encoded frames."""
        return NestedViews(
            EncodedViews.stack([v.any_view for v in views]),
            EncodedViews.stack([v.metric for v in views]),
        )

    def split(self) -> list[NestedViews]:
        """The views one by one."""
        pairs = zip(self.any_view.split(), self.metric.split())
        return [NestedViews(any_view, metric) for any_view, metric in pairs]


@dataclass(frozen=True)
class NestedFeatures:
    """A window aggregated by both branches."""

    any_view: Features
    metric: Features


class NestedNetwork(nn.Module):
    """The stages of `Network`, with depth and poses in metres."""

    def __init__(self, preset: presets.Preset, branches: tuple | None = None):
        """branches: any-view and metric, what has the stages of `Network`; None: new ones."""
        super().__init__()
        self.preset = preset
        self.da3, self.da3_metric = branches or (Network(preset), Network(preset.metric_branch))

    def encode(self, images: Tensor, feature_layers: Sequence[int] = ()) -> NestedViews:
        """See `Network.encode`."""
        return NestedViews(self.da3.encode(images, feature_layers), self.da3_metric.encode(images))

    def aggregate(
        self,
        encoded: NestedViews,
        cameras: Cameras | None = None,
        *,
        reference: str = "saddle_balanced",
        views: Sequence[int] | None = None,
        feature_layers: Sequence[int] = (),
    ) -> NestedFeatures:
        """See `Network.aggregate`."""
        found = self.da3.aggregate(
            encoded.any_view,
            cameras,
            reference=reference,
            views=views,
            feature_layers=feature_layers,
        )
        return NestedFeatures(found, self.da3_metric.aggregate(encoded.metric, views=views))

    def decode(
        self, features: NestedFeatures, views: Sequence[int] | None = None, *, rays: bool = False
    ) -> NetOutput:
        """See `Network.decode`; the scale comes from the decoded views."""
        out = self.da3.decode(features.any_view, views, rays=rays)
        metric = self.da3_metric.decode(features.metric, views)
        kept = features.any_view.views if views is None else views
        return _to_metres(out, metric, select_views(out.K, kept))

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
        """See `Network.forward`."""
        out = self.da3(
            images,
            cameras,
            reference=reference,
            feature_layers=feature_layers,
            ray_pose=ray_pose,
            gaussians=gaussians,
        )
        return _to_metres(out, self.da3_metric(images), out.K)


def _to_metres(out: NetOutput, metric: NetOutput, K: Tensor) -> NetOutput:
    """Scale the any-view output to the metric branch; K (B, M, 3, 3) of the decoded views.

    With nearly nothing but sky in view there is no scale: depth and `scale_factor` are NaN,
    poses and Gaussians stay at the network's own.
    """
    metric_depth = metric.depth * metres_per_unit(K)[..., None, None]
    sky = is_sky(metric.sky)
    known = (~sky).sum() > MIN_PIXELS
    scale = _least_squares_scale(out, metric_depth, ~sky).masked_fill(~known, 1.0)
    depth = out.depth * scale
    far = quantile_where(~sky, depth, 0.99).clamp(max=MAX_SKY_DEPTH)
    translation = out.T_cam_ref[..., 3:] * scale
    return replace(
        out,
        depth=torch.where(sky, far, depth).masked_fill(~known, torch.nan),
        conf=out.conf.masked_fill(sky & known, 1.0),
        T_cam_ref=torch.cat((out.T_cam_ref[..., :3], translation), dim=-1),
        sky=metric.sky,
        gaussians=_scale_gaussians(out.gaussians, scale),
        scale_factor=scale.masked_fill(~known, torch.nan).expand(len(depth)),
    )


def _least_squares_scale(out: NetOutput, metric_depth: Tensor, ground: Tensor) -> Tensor:
    """Scalar s that minimises |metric - s any-view| over confident pixels off the sky."""
    confident = out.conf >= quantile_where(ground, out.conf, 0.5)
    mask = confident & ground & (metric_depth > 1e-2) & (out.depth > 1e-3)
    a, b = (x.masked_fill(~mask, 0).flatten() for x in (metric_depth, out.depth))
    return torch.dot(a, b) / torch.dot(b, b).clamp_min(1e-12)


def _scale_gaussians(gaussians: Gaussians | None, scale: Tensor) -> Gaussians | None:
    if gaussians is None:
        return None
    return replace(gaussians, means=gaussians.means * scale, scales=gaussians.scales * scale)
