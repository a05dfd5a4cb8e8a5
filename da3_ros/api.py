"""The public face: images in, depth, cameras and files out.

from da3_ros.api import DepthAnything3

model = DepthAnything3.from_pretrained("depth-anything/DA3-SMALL").to("cuda")
prediction = model.inference(["a.jpg", "b.jpg"], export_dir="out", export_format="glb")
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from da3_ros.core import poses, preprocess
from da3_ros.core.camera_model import CameraModel
from da3_ros.core.export import (
    NEED_CAMERAS,
    NEED_GAUSSIANS,
    ExportError,
    export,
    options_by_format,
    split_formats,
)
from da3_ros.core.export.colmap import source_images
from da3_ros.core.export.gaussians import moved
from da3_ros.core.prediction import Prediction
from da3_ros.core.scale import align
from da3_ros.core.scale.align import Similarity
from da3_ros.core.scene.mesh import Mesh
from da3_ros.core.scene.render_depth import render_depth
from da3_ros.core.user_input.cameras import check_extrinsics, check_intrinsics
from da3_ros.core.user_input.images import ImageBatch, read_batch
from da3_ros.net.checkpoint import load_network
from da3_ros.net.gaussians import pose_scales
from da3_ros.net.nested import METRIC_FOCAL, NestedNetwork
from da3_ros.net.network import Cameras, NetOutput, Network
from da3_ros.net.presets import PRESETS
from da3_ros.net.reference_view import STRATEGIES

__all__ = ["CameraModel", "DepthAnything3", "Mesh", "Prediction", "render_depth"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _GivenCameras:
    """What the user gave: T_cam_world (N, 4, 4) and K (N, 3, 3) at network size, float64."""

    T_cam_world: np.ndarray
    K: np.ndarray
    for_network: Cameras


class DepthAnything3(nn.Module):
    """Depth, cameras and Gaussians from images; see `inference`.

    model_name: a preset (`da3 presets` lists them; weights are random, but for da3-demo,
    which ships with the package), a folder with config.json and model.safetensors, or a
    Hugging Face repository.
    """

    def __init__(self, model_name: str = "da3-large"):
        super().__init__()
        self.model_name = model_name
        self.model = load_network(model_name)
        if self.model.weights.random:
            _log.warning("%s has random weights: use from_pretrained for real depth", model_name)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> DepthAnything3:
        """A trained model: a folder, a Hugging Face repository, or a preset's own repository.

        Raises `da3_ros.net.checkpoint.CheckpointError`.
        """
        preset = PRESETS.get(str(name).lower())
        return cls(preset.repository or preset.name if preset else str(name))

    @classmethod
    def around(cls, network: Network | NestedNetwork) -> DepthAnything3:
        """The API of a network that is loaded already; it is shared, not copied."""
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.model_name, model.model = network.preset.name, network
        return model

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
        process_res: int = 504,
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

        Raises `ValueError` naming the argument, what was given and what is wanted.
        """
        formats = split_formats(export_format) if export_dir is not None else []
        layers = self._check_layers(export_feat_layers)
        self._check_options(ref_view_strategy, infer_gs, use_ray_pose)
        self._check_formats(formats, infer_gs, layers)
        cloud = {
            "conf_thresh_percentile": conf_thresh_percentile,
            "num_max_points": num_max_points,
        }
        defaults = {
            "glb": cloud | {"show_cameras": show_cameras},
            "ply": cloud,
            "colmap": cloud,
            "feat_vis": {"fps": feat_vis_fps},
            "gs_video": _render_options(render_exts, render_ixts, render_hw),
        }
        own = options_by_format(formats, export_kwargs)
        options = {name: defaults.get(name, {}) | own[name] for name in formats}
        batch = read_batch(image, process_res, process_res_method)
        given, K = self._check_cameras(extrinsics, intrinsics, batch)
        out = self._run(batch, given, ref_view_strategy, layers, use_ray_pose, infer_gs)
        prediction = self._to_prediction(out, batch, given, K, align_to_input_ext_scale)
        if "colmap" in formats:
            options["colmap"].setdefault("images", source_images(image, batch))
        if formats:
            export(prediction, export_format, export_dir, options)
        return prediction

    def _check_options(self, strategy: str, infer_gs: bool, use_ray_pose: bool) -> None:
        preset = self.model.preset
        if strategy not in STRATEGIES:
            raise ValueError(
                f"ref_view_strategy is '{strategy}', must be one of {', '.join(STRATEGIES)}"
            )
        if infer_gs and not preset.gaussians:
            raise ValueError(
                f"infer_gs is True, but {preset.name} has no Gaussian head; "
                "use da3-giant or da3nested-giant-large"
            )
        if use_ray_pose and not preset.any_view:
            raise ValueError(f"use_ray_pose is True, but {preset.name} predicts no rays")

    def _check_layers(self, layers: Sequence[int]) -> tuple[int, ...]:
        depth = self.model.preset.backbone.depth
        layers = tuple(layers or ())
        wrong = [i for i in layers if type(i) is not int or not 0 <= i < depth]
        if wrong:
            raise ValueError(
                f"export_feat_layers holds {wrong[0]!r}, must be integers from 0 to {depth - 1} "
                f"for {self.model.preset.name}"
            )
        return layers

    def _check_formats(self, formats: list[str], infer_gs: bool, layers: tuple) -> None:
        """What would fail after the network has run fails before."""
        preset = self.model.preset
        for name in formats:
            if name in NEED_GAUSSIANS and not infer_gs:
                raise ExportError(f"export_format '{name}' needs infer_gs=True")
            if name in NEED_CAMERAS and not preset.any_view:
                raise ExportError(
                    f"export_format '{name}' needs cameras, which {preset.name} does not predict"
                )
            if name == "feat_vis" and not layers:
                raise ExportError("export_format 'feat_vis' needs export_feat_layers")

    def _check_cameras(self, extrinsics, intrinsics, batch: ImageBatch):
        """The given cameras or None, and the given K (N, 3, 3) at network size or None."""
        preset = self.model.preset
        if extrinsics is not None and intrinsics is None:
            raise ValueError("extrinsics were given without intrinsics; the network needs both")
        if extrinsics is not None and not preset.any_view:
            raise ValueError(f"extrinsics were given, but {preset.name} takes no poses")
        if intrinsics is None:
            return None, None
        if extrinsics is None and (preset.any_view or not preset.metric):
            raise ValueError(
                "intrinsics were given without extrinsics; only da3metric-large uses them alone"
            )
        K = check_intrinsics(intrinsics, [plan.original for plan in batch.plans])
        K = np.stack([batch.network_from_image(i) @ K[i] for i in range(len(K))])
        if extrinsics is None:
            return None, K
        T_cam_world = check_extrinsics(extrinsics, count=len(K))
        cameras, _ = preprocess.relative_to_reference(poses.inverse(T_cam_world), K)
        return _GivenCameras(T_cam_world, K, cameras), K

    @torch.no_grad()
    def _run(self, batch, given, strategy, layers, use_ray_pose, infer_gs) -> NetOutput:
        device = self.device
        cameras = given and Cameras(
            given.for_network.T_cam_ref.to(device), given.for_network.K.to(device)
        )
        with _backbone_precision(device, exact=use_ray_pose):
            out = self.model(
                batch.tensor[None].to(device),
                cameras,
                reference=strategy,
                feature_layers=layers,
                ray_pose=use_ray_pose,
                gaussians=infer_gs,
            )
        if out.gaussians is None or cameras is None:
            return out
        # The network lays posed Gaussians out at another size than depth and poses.
        T_cam_ref = out.T_cam_ref.clone()
        T_cam_ref[..., 3] /= 1.0 if out.scale_factor is None else out.scale_factor[0]
        size = float(pose_scales(T_cam_ref, cameras.T_cam_ref)[0])
        shrink = Similarity(np.eye(3), np.zeros(3), 1 / size)
        return replace(out, gaussians=moved(out.gaussians, shrink))

    def _to_prediction(self, out, batch, given, K, align_to_given: bool) -> Prediction:
        prediction = Prediction(
            depth=_numpy(out.depth),
            conf=_numpy(out.conf),
            extrinsics=_numpy(out.T_cam_ref),
            intrinsics=_numpy(out.K) if K is None else K.astype(np.float32),
            processed_images=batch.images,
            aux={name: _numpy(values) for name, values in out.aux.items()},
            gaussians=out.gaussians,
            is_metric=self.model.preset.metric_branch is not None,
            sky=_numpy(out.sky),
            scale_factor=None if out.scale_factor is None else float(out.scale_factor[0]),
        )
        if given is not None:
            return _align(prediction, given) if align_to_given else prediction
        return prediction if K is None else _to_metres(prediction)


def _align(prediction: Prediction, given: _GivenCameras) -> Prediction:
    """The prediction at the given cameras, in their unit."""
    predicted = align.to_camera_poses(prediction.extrinsics)
    similarity = align.align_cameras(poses.inverse(given.T_cam_world), predicted)
    if similarity.scale is None and not prediction.is_metric:
        warnings.warn(
            "extrinsics: the cameras are all in one place, which tells no scale; "
            "depth keeps the network's own",
            stacklevel=4,
        )
    gaussians = prediction.gaussians
    return replace(
        prediction,
        depth=prediction.depth / np.float32(similarity.scale or 1.0),
        extrinsics=given.T_cam_world[:, :3],
        gaussians=gaussians and moved(gaussians, similarity.inverse()),
    )


def _to_metres(prediction: Prediction) -> Prediction:
    """Depth of the metric one-view network: its output is for a focal length of 300 px."""
    K = prediction.intrinsics
    metres = (K[:, 0, 0] + K[:, 1, 1]) / 2 / METRIC_FOCAL
    return replace(prediction, depth=prediction.depth * metres[:, None, None], is_metric=True)


def _backbone_precision(device: torch.device, *, exact: bool):
    """bf16 for the backbone where a GPU has it, as upstream; fp32 elsewhere and for ray poses."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported() and not exact
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def _numpy(values: torch.Tensor | None) -> np.ndarray | None:
    return None if values is None else values[0].float().cpu().numpy()


def _render_options(exts, ixts, hw) -> dict:
    options = {"intrinsics": ixts, "out_image_hw": hw}
    if exts is not None:
        options["extrinsics"] = check_extrinsics(exts, "render_exts")
    return {name: value for name, value in options.items() if value is not None}
