"""One call of the public API, checked whole: whatever is wrong is named before the network runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from da3_ros.core import poses, preprocess
from da3_ros.core.export import (
    CAMERAS,
    FEATURES,
    FORMATS,
    GAUSSIANS,
    ExportError,
    ExportPlan,
    check_exports_folder,
    plan_exports,
    split_formats,
)
from da3_ros.core.export.colmap import PICTURES, ColmapOptions, source_images
from da3_ros.core.export.feat_vis import FPS, check_layers
from da3_ros.core.export.gs_video import LARGEST_SIDE
from da3_ros.core.export.points import PERCENT
from da3_ros.core.process_res import chosen_res
from da3_ros.core.user_input.cameras import (
    Extrinsics,
    Intrinsics,
    check_extrinsics,
    check_intrinsics,
)
from da3_ros.core.user_input.images import ImageBatch, image_list, read_batch
from da3_ros.core.user_input.options import (
    Flag,
    ImageSize,
    ListOf,
    Maybe,
    OneOf,
    Options,
    Whole,
    option,
)
from da3_ros.net.camera import Cameras
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from da3_ros.net.presets import Preset
from da3_ros.net.reference_view import STRATEGIES

LARGEST_API_RES = 8192
"""Longest side that may be asked for by hand, px: 340,000 patches. More than `LARGEST_RES` of the
node and of engines, for whoever asks has chosen the machine, and is told when it does not fit."""


@dataclass(frozen=True, eq=False)
class InferenceOptions(Options):
    """The arguments of `DepthAnything3.inference` that need no picture to be checked."""

    align_to_input_ext_scale: bool = option(
        True, Flag(), "return the given cameras, and depth in their unit"
    )
    infer_gs: bool = option(False, Flag(), "also Gaussians, for gs_ply and gs_video")
    use_ray_pose: bool = option(False, Flag(), "cameras from the ray map")
    ref_view_strategy: str = option(
        "saddle_balanced", OneOf(STRATEGIES), "reference of three and more views without poses"
    )
    render_exts: np.ndarray | None = option(
        None, Maybe(Extrinsics()), "cameras that gs_video renders"
    )
    render_ixts: np.ndarray | None = option(
        None, Maybe(Intrinsics()), "their intrinsics at render_hw"
    )
    render_hw: tuple[int, int] | None = option(
        None, Maybe(ImageSize(LARGEST_SIDE)), "size of the video"
    )
    process_res: int | None = option(
        None,
        Maybe(Whole(1, LARGEST_API_RES, "px")),
        "longest or shortest side inside the network; None: the size that the weights are for",
    )
    process_res_method: str = option(
        preprocess.METHODS[0], OneOf(preprocess.METHODS), "how pictures come to that size"
    )
    export_feat_layers: tuple[int, ...] = option(
        (), ListOf(Whole(0)), "blocks whose features are returned, and shown by feat_vis"
    )
    conf_thresh_percentile: float = option(
        40.0, PERCENT, "glb, ply, colmap: share of the least confident pixels left out"
    )
    num_max_points: int = option(1_000_000, Whole(0), "glb, ply, colmap: at most so many points")
    show_cameras: bool = option(True, Flag(), "glb: camera wireframes")
    feat_vis_fps: float = option(15, FPS, "feat_vis: speed of the video")

    def export_defaults(self) -> dict[str, dict]:
        """What the arguments say about the formats; options of a format go first."""
        cloud = {
            "conf_thresh_percentile": self.conf_thresh_percentile,
            "num_max_points": self.num_max_points,
        }
        film = {
            "extrinsics": self.render_exts,
            "intrinsics": self.render_ixts,
            "out_image_hw": self.render_hw,
        }
        return {
            "glb": cloud | {"show_cameras": self.show_cameras},
            "ply": cloud,
            "colmap": cloud,
            "feat_vis": {"fps": self.feat_vis_fps},
            "gs_video": film,
        }


@dataclass(frozen=True, eq=False)
class GivenCameras:
    """What the user gave: T_cam_world (N, 4, 4) and K (N, 3, 3) at network size, float64.

    divisor: of the given unit, one unit of `for_network`.
    """

    T_cam_world: np.ndarray
    K: np.ndarray
    for_network: Cameras
    divisor: float


@dataclass(frozen=True, eq=False)
class InferenceRequest:
    """What to run and what to write.

    cameras: the given ones, or None. K: the given intrinsics (N, 3, 3) at network size, or
    None. exports: formats and their options; empty when nothing is to be written.
    """

    options: InferenceOptions
    batch: ImageBatch
    cameras: GivenCameras | None
    K: np.ndarray | None
    exports: ExportPlan


def check_request(arguments: dict, network: Network | NestedNetwork) -> InferenceRequest:
    """The arguments of `DepthAnything3.inference` by name, for that network.

    Raises `ValueError` naming the argument, what was given and what is wanted.
    """
    preset = network.preset
    images = image_list(arguments["image"])
    options, exports = check_options(arguments, preset, images)
    for chosen in exports.values():
        chosen.check_views(len(images))
    res = chosen_res(options.process_res, network.weights)
    has_K = arguments["intrinsics"] is not None
    batch = read_batch(images, res, options.process_res_method, upright=not has_K)
    cameras, K = _check_cameras(arguments["extrinsics"], arguments["intrinsics"], batch, preset)
    exports = _with_sources(exports, images, batch)
    if exports:
        check_exports_folder(arguments["export_dir"], exports, images)
    return InferenceRequest(options, batch, cameras, K, exports)


def check_options(
    arguments: dict, preset: Preset | None, images: Sequence = ()
) -> tuple[InferenceOptions, ExportPlan]:
    """The options, and what is to be written, for a network of that preset (None: not known yet).

    arguments: of `DepthAnything3.inference` by name. images: which no file may replace, as far as
    they are known. Raises `ValueError` as `check_request`.
    """
    names = [known.name for known in InferenceOptions.declared() if known.name in arguments]
    options = InferenceOptions(**{name: arguments[name] for name in names})
    if preset:
        _check_abilities(options, preset)
    formats = split_formats(arguments["export_format"])
    exports = plan_exports(formats, arguments["export_kwargs"], options.export_defaults())
    if arguments["export_dir"] is None:
        return options, {}
    # Whether colmap writes pictures is known when the images are read.
    check_exports_folder(arguments["export_dir"], exports, images, later=(PICTURES,))
    if preset:
        _check_formats(exports, options, preset)
    return options, exports


def _check_abilities(options: InferenceOptions, preset: Preset) -> None:
    if options.infer_gs and not preset.gaussians:
        raise ValueError(
            f"infer_gs is True, but {preset.name} has no Gaussian head; "
            "use da3-giant or da3nested-giant-large"
        )
    if options.use_ray_pose and not preset.any_view:
        raise ValueError(f"use_ray_pose is True, but {preset.name} predicts no rays")
    check_layers(options.export_feat_layers, preset)


def _check_formats(exports: ExportPlan, options: InferenceOptions, preset: Preset) -> None:
    for name in exports:
        needs = FORMATS[name].needs
        if GAUSSIANS in needs and not options.infer_gs:
            raise ExportError(f"export_format '{name}' needs infer_gs=True")
        if CAMERAS in needs and not preset.any_view:
            raise ExportError(
                f"export_format '{name}' needs cameras, which {preset.name} does not predict"
            )
        if FEATURES in needs and not options.export_feat_layers:
            raise ExportError(f"export_format '{name}' needs export_feat_layers")


def _check_cameras(extrinsics, intrinsics, batch: ImageBatch, preset: Preset):
    """The given cameras or None, and the given K (N, 3, 3) at network size or None."""
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
    cameras, divisor = preprocess.relative_to_reference(poses.inverse(T_cam_world), K)
    return GivenCameras(T_cam_world, K, cameras, divisor), K


def _with_sources(exports: ExportPlan, images: Sequence, batch: ImageBatch) -> ExportPlan:
    """COLMAP refers to the given files, unless its options say otherwise."""
    given = exports.get("colmap")
    if not isinstance(given, ColmapOptions) or given.images is not None:
        return exports
    colmap = replace(given, images=source_images(images, batch))
    colmap.check_views(len(images))
    return exports | {"colmap": colmap}
