"""What a format needs of a prediction, which its owner may have changed: it is looked at again."""

from __future__ import annotations

import numpy as np

from da3_ros.core import poses
from da3_ros.core.camera_model import CameraError, CameraModel
from da3_ros.core.export.folder import ExportError
from da3_ros.core.gaussians import unbatched
from da3_ros.core.prediction import Prediction

CAMERAS, GAUSSIANS, IMAGES, FEATURES = "cameras", "gaussians", "images", "features"
"""What a format may need of a prediction."""

ONE_PER_PIXEL = "a Gaussian per pixel"
"""What a format needs besides that chooses Gaussians by the pixels that they came from."""


def check_contents(name: str, needs: tuple[str, ...], prediction: Prediction) -> None:
    """`ValueError` where the prediction lacks what the format `name` needs, or shapes, types or
    cameras cannot be.
    """
    prediction.check()
    if CAMERAS in needs and (prediction.extrinsics is None or prediction.intrinsics is None):
        raise ExportError(
            f"export format '{name}' needs camera poses, which one-view models do not predict"
        )
    if CAMERAS in needs or GAUSSIANS in needs:  # these lie around the cameras, where there are any
        _check_cameras(prediction)
    if IMAGES in needs:
        _check_images(name, prediction)
    if GAUSSIANS in needs and prediction.gaussians is None:
        raise ExportError(
            f"export format '{name}' needs Gaussians: set infer_gs=True, with da3-giant or "
            "da3nested-giant-large"
        )
    if ONE_PER_PIXEL in needs:
        _check_counts(name, prediction)
    if FEATURES in needs and not features_of(prediction):
        raise ExportError(
            f"export format '{name}' needs features: name layers in export_feat_layers"
        )


def features_of(prediction: Prediction) -> dict[str, np.ndarray]:
    """`feat_layer_X` -> (N, h, w, C); `ExportError` where they are not of the N views."""
    features = {k: v for k, v in prediction.aux.items() if k.startswith("feat_layer_")}
    for name, values in features.items():
        shape, count = np.shape(values), len(prediction.depth)
        if len(shape) != 4 or shape[0] != count:
            raise ExportError(
                f"aux['{name}'] has shape {shape}, must be (N, h, w, C) of the {count} views of "
                "depth: cut both, or take it out of aux"
            )
    return features


def _check_cameras(prediction: Prediction) -> None:
    for i, T_cam_world in enumerate(() if prediction.extrinsics is None else prediction.extrinsics):
        poses.rigid(T_cam_world, f"extrinsics[{i}]")
    height, width = prediction.depth.shape[1:]
    for i, K in enumerate(() if prediction.intrinsics is None else prediction.intrinsics):
        try:
            CameraModel(width, height, K)
        except CameraError as error:
            raise ExportError(f"intrinsics[{i}]: {error}") from error


def _check_counts(name: str, prediction: Prediction) -> None:
    found = len(unbatched(prediction.gaussians).means)
    if found != prediction.depth.size:
        raise ExportError(
            f"{name}: there are {found} Gaussians for the {prediction.depth.size} pixels of "
            f"{len(prediction.depth)} views; both must be of the same views"
        )


def _check_images(name: str, prediction: Prediction) -> None:
    images = prediction.processed_images
    if images is None:
        raise ExportError(f"export format '{name}' needs the prediction's processed_images")
    if images.dtype != np.uint8:
        raise ExportError(
            f"processed_images is {images.dtype}, must be uint8, from 0 to 255: change a copy of it"
        )
    if not len(images):
        raise ExportError(f"export format '{name}' needs a view, and the prediction has none")
