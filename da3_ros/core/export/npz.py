"""npz and mini_npz: the prediction's arrays, ``exports/<format>/results.npz``."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from da3_ros.core.export.contents import features_of
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.prediction import Prediction
from da3_ros.core.user_input.options import Options


def export_mini_npz(prediction: Prediction, folder: Path, options: Options) -> list[Path]:
    """depth, conf and the cameras, as far as the prediction has them; nothing is rounded.

    The cameras are stored under both of their public names: `extrinsics`, `intrinsics`
    (what upstream writes) and `exts`, `ixts` (what its documentation says).
    """
    return [_write(_arrays(prediction), folder / "exports" / "mini_npz" / "results.npz")]


def export_npz(prediction: Prediction, folder: Path, options: Options) -> list[Path]:
    """What mini_npz holds, and `image`, `sky`, `is_metric` and the features `feat_layer_X`."""
    arrays = _arrays(prediction) | {
        "image": prediction.processed_images,
        "sky": prediction.sky,
        "is_metric": np.array(bool(prediction.is_metric)),
        **features_of(prediction),
    }
    return [_write(arrays, folder / "exports" / "npz" / "results.npz")]


def _arrays(prediction: Prediction) -> dict[str, np.ndarray | None]:
    return {
        "depth": prediction.depth,
        "conf": prediction.conf,
        "extrinsics": prediction.extrinsics,
        "intrinsics": prediction.intrinsics,
        "exts": prediction.extrinsics,
        "ixts": prediction.intrinsics,
    }


def _write(arrays: dict[str, np.ndarray | None], path: Path) -> Path:
    """numpy's own layout at zlib level 1: higher levels take thrice the time for a few percent."""
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, array in arrays.items():
            if array is None:
                continue
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return path
