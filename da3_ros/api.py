"""The public face: images in, depth, cameras and files out.

from da3_ros.api import DepthAnything3

model = DepthAnything3.from_pretrained("depth-anything/DA3-SMALL").to("cuda")
prediction = model.inference(["a.jpg", "b.jpg"], export_dir="out", export_format="glb")
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from da3_ros.core import poses, preprocess
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.export import FailedExportError, write_or_keep
from da3_ros.core.gaussians import moved, with_gaussians_at_depth
from da3_ros.core.inference_request import GivenCameras, InferenceRequest, check_request
from da3_ros.core.prediction import Prediction
from da3_ros.core.scale import align
from da3_ros.core.scale.anchor_depth import anchor_depth
from da3_ros.core.scale.metric_scale import align_to_given, pose_residuals, turned_away
from da3_ros.core.scene.mesh import Mesh
from da3_ros.core.scene.render_depth import render_depth
from da3_ros.net.checkpoint import load_network
from da3_ros.net.nested import metres_per_unit
from da3_ros.net.network import Cameras, NetOutput
from da3_ros.net.out_of_memory import named_if_out_of_memory
from da3_ros.net.precision import check_precision, check_weights_dtype, set_precision
from da3_ros.net.presets import PRESETS
from da3_ros.net.stage_types import first_scene

__all__ = [
    "CameraModel",
    "DepthAnything3",
    "FailedExportError",
    "Mesh",
    "Prediction",
    "anchor_depth",
    "render_depth",
]

_log = logging.getLogger(__name__)

ONE_PLACE = (
    "extrinsics: the cameras are all in one place, which tells no scale; depth keeps the network's "
    "own"
)


class DepthAnything3(nn.Module):
    """Depth, cameras and Gaussians from images; see `inference`.

    model_name: a preset (`da3 presets` lists them; weights are random, but for da3-demo,
    which ships with the package), a folder with config.json and model.safetensors, or a
    Hugging Face repository. precision: as the node's `model.precision`, `fp32`, `bf16` or
    `auto`, taken where the weights are at the first `inference` with it; None, as
    upstream: bf16 for the backbone on a GPU that has it, fp32 elsewhere and for ray poses.
    """

    def __init__(self, model_name: str = "da3-large", *, precision: str | None = None):
        super().__init__()
        self._taken: str | None = None
        self._is_lowered = False
        self.precision = precision
        self.model_name = model_name
        self.model = load_network(model_name)
        if self.model.weights.random:
            _log.warning(
                "%s has random weights, and its depth means nothing; the trained ones are '%s'",
                model_name,
                self.model.preset.repository,
            )

    @classmethod
    def from_pretrained(cls, name: str | Path, *, precision: str | None = None) -> DepthAnything3:
        """A trained model: a folder, a Hugging Face repository, or a preset's own repository.

        Raises `da3_ros.net.checkpoint.CheckpointError`, and `ValueError` for a word that is no
        preset.
        """
        preset = PRESETS.get(str(name).lower())
        trained = preset.repository or preset.name if preset else str(name)
        return cls(trained, precision=precision)

    @property
    def precision(self) -> str | None:
        """As given; may be changed until an `inference` has lowered the weights to bf16, which do
        not come back: None and `fp32` lower nothing, nor does `auto` where bf16 is not faster.
        `ValueError` for an unknown one, and for another one later."""
        return self._precision

    @precision.setter
    def precision(self, precision: str | None) -> None:
        check_precision(precision)
        if self._is_lowered and precision != self._precision:
            raise ValueError(
                f"precision cannot become {precision!r}: an inference with {self._precision!r} has "
                "lowered the weights to bf16; load the model again"
            )
        self._precision = precision

    @property
    def device(self) -> torch.device:
        """Where the weights are; `.to(device)` moves them."""
        return next(self.parameters()).device

    def inference(
        self,
        image: Sequence,
        extrinsics: np.ndarray | None = None,
        intrinsics: np.ndarray | None = None,
        align_to_input_ext_scale: bool = True,
        infer_gs: bool = False,
        use_ray_pose: bool = False,
        ref_view_strategy: str = "saddle_balanced",
        render_exts: np.ndarray | None = None,
        render_ixts: np.ndarray | None = None,
        render_hw: tuple[int, int] | None = None,
        process_res: int | None = None,
        process_res_method: str = "upper_bound_resize",
        export_dir: str | Path | None = None,
        export_format: str = "mini_npz",
        export_feat_layers: Sequence[int] = [],  # noqa: B006 - part of the public signature
        conf_thresh_percentile: float = 40.0,
        num_max_points: int = 1_000_000,
        show_cameras: bool = True,
        feat_vis_fps: int = 15,
        export_kwargs: dict = {},  # noqa: B006 - never changed
    ) -> Prediction:
        """Depth and cameras of N images; docs/api.md explains every argument.

        image: N file names, PIL images or uint8 arrays. extrinsics: (N, 3|4, 4) world to
        camera, OpenCV axes, with intrinsics (N, 3, 3) px of the given images; together they
        condition the network, and depth comes out in their unit. With
        `align_to_input_ext_scale` the returned cameras are the given ones, else the
        network's own poses at its own scale. Files are complete when the call returns.

        Raises `ValueError` naming argument, given and wanted, `FailedExportError`, which holds the
        prediction whose files cannot be written, and `torch.OutOfMemoryError`.
        """
        arguments = {name: value for name, value in locals().items() if name != "self"}
        request = check_request(arguments, self.model)
        prediction = self._to_prediction(self._run(request), request)
        if request.exports:
            write_or_keep(prediction, request.exports, export_dir)
        return prediction

    @torch.no_grad()
    def _run(self, request: InferenceRequest) -> NetOutput:
        check_weights_dtype(self.model)
        device, options = self.device, request.options
        count, height, width, _ = request.batch.images.shape
        memory = named_if_out_of_memory(
            f"{count} images of {width}x{height} px do not fit; lower process_res, give fewer "
            "images, or free memory"
        )
        cameras = request.cameras and Cameras(
            request.cameras.for_network.T_cam_ref.to(device),
            request.cameras.for_network.K.to(device),
        )
        with memory, self._chosen_precision(exact=options.use_ray_pose):
            out = self.model(
                request.batch.tensor[None].to(device),
                cameras,
                reference=options.ref_view_strategy,
                feature_layers=options.export_feat_layers,
                ray_pose=options.use_ray_pose,
                gaussians=options.infer_gs,
            )
        return out if cameras is None else with_gaussians_at_depth(out, cameras)

    def _chosen_precision(self, *, exact: bool):
        if self.precision is None:
            return _backbone_precision(self.device, exact=exact)
        if self.precision != self._taken:
            self._is_lowered = set_precision(self.model, self.precision) == torch.bfloat16
            self._taken = self.precision
        return nullcontext()

    def _to_prediction(self, out: NetOutput, request: InferenceRequest) -> Prediction:
        given, K = request.cameras, request.K
        prediction = Prediction(
            depth=first_scene(out.depth),
            conf=first_scene(out.conf),
            extrinsics=first_scene(out.T_cam_ref),
            intrinsics=first_scene(out.K) if K is None else K.astype(np.float32),
            processed_images=request.batch.images,
            aux={name: first_scene(values) for name, values in out.aux.items()},
            gaussians=out.gaussians,
            is_metric=self.model.preset.metric_branch is not None,
            sky=first_scene(out.sky),
            scale_factor=_known_scale(out),
        )
        if given is not None:
            is_trained = not self.model.weights.random
            if is_trained:
                _warn_of_turned(prediction, given)
            aligned = request.options.align_to_input_ext_scale
            return _align(prediction, given, is_trained=is_trained) if aligned else prediction
        return prediction if K is None else _to_metres(prediction)


def _warn_of_turned(prediction: Prediction, given: GivenCameras) -> None:
    """Camera-to-world given as world-to-camera, or body axes: the network sees that in pictures."""
    T_world_cam = poses.inverse(given.T_cam_world)
    seen = align_to_given(prediction.extrinsics, T_world_cam, scale=1.0)
    if words := turned_away(pose_residuals(T_world_cam, seen)[1]):
        warnings.warn(f"extrinsics: {words} (world to camera) and axes (OpenCV)", stacklevel=4)


def _align(prediction: Prediction, given: GivenCameras, *, is_trained: bool) -> Prediction:
    """The prediction at the given cameras, in their unit, which nobody has called metres."""
    T_world_cam = poses.inverse(given.T_cam_world)
    similarity = align.align_cameras(T_world_cam, align.to_camera_poses(prediction.extrinsics))
    if similarity.scale is None:
        words = "" if prediction.is_metric else ONE_PLACE
    else:
        words = preprocess.too_near(T_world_cam)
        if is_trained and not words:
            share = similarity.scale * given.divisor / (prediction.scale_factor or 1.0)
            words = preprocess.not_followed(T_world_cam, given.divisor, share)
    if words:
        warnings.warn(words, stacklevel=4)
    gaussians = prediction.gaussians
    return replace(
        prediction,
        depth=prediction.depth / np.float32(similarity.scale or 1.0),
        extrinsics=given.T_cam_world[:, :3],
        gaussians=gaussians and moved(gaussians, similarity.inverse()),
        is_metric=prediction.is_metric and similarity.scale is None,
    )


def _to_metres(prediction: Prediction) -> Prediction:
    """Depth of the metric one-view network, whose unit is a question of the focal length."""
    metres = metres_per_unit(prediction.intrinsics)
    return replace(prediction, depth=prediction.depth * metres[:, None, None], is_metric=True)


def _backbone_precision(device: torch.device, *, exact: bool):
    """bf16 for the backbone where a GPU has it, as upstream; fp32 elsewhere and for ray poses."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported() and not exact
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def _known_scale(out: NetOutput) -> float | None:
    scale = None if out.scale_factor is None else float(out.scale_factor[0])
    return None if scale is None or math.isnan(scale) else scale
