"""colmap: a sparse model for COLMAP, nerfstudio or 3DGS training, ``sparse/0/``."""

from __future__ import annotations

import os
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from da3_ros.core import poses
from da3_ros.core.export import points
from da3_ros.core.export.folder import ExportError
from da3_ros.core.export.points import CloudOptions
from da3_ros.core.files.atomic_file import atomic_path
from da3_ros.core.files.png_mark import marked
from da3_ros.core.prediction import Prediction
from da3_ros.core.user_input.images import ImageBatch
from da3_ros.core.user_input.options import Maybe, Of, OneOf, OptionError, option, shown

PINHOLE = 1
FILE_KINDS = ("binary", "text", "both")
LARGEST_SKEW = 0.1
"""px at the first or last row that nobody is told of."""

PICTURES = "images/[0-9]*.png"
MODEL = ("cameras", "images", "points3D")
MODEL_FILES = ("sparse/0/*.bin", "sparse/0/*.txt")
CLOUD = "sparse/0/*.ply"
"""All that lies there is read as one model: readers prefer binary files, and trainers the cloud
that they once made of them."""


@dataclass(frozen=True, eq=False)
class SourceImages:
    """The images that a prediction was made from, for a model that refers to them.

    names: file names. sizes: (height, width) px. network_from_image: (N, 3, 3), pixels of
    each image to pixels of the network's.
    """

    names: list[str]
    sizes: list[tuple[int, int]]
    network_from_image: np.ndarray


def source_images(image: Sequence, batch: ImageBatch) -> SourceImages | None:
    """Names and sizes of the given files, for a COLMAP model of them.

    None for arrays, and where a file was turned upright: COLMAP sees its pixels as stored.
    """
    if not all(isinstance(source, (str, os.PathLike)) for source in image) or any(batch.turned):
        return None
    paths = [Path(source) for source in image]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        # Absolute and relative paths have nothing in common as they are.
        root = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
        names = [os.path.relpath(path, root) for path in paths]
    sizes = [plan.original for plan in batch.plans]
    matrices = np.stack([batch.network_from_image(i) for i in range(len(paths))])
    return SourceImages(names, sizes, matrices)


@dataclass(frozen=True, eq=False)
class _View:
    """One camera and one image; COLMAP counts them from 1."""

    name: str
    width: int
    height: int
    params: np.ndarray  # fx, fy, cx, cy
    quat_wxyz: np.ndarray
    translation: np.ndarray
    pixels: np.ndarray  # (M, 2)
    first_point: int


@dataclass(frozen=True, eq=False)
class ColmapOptions(CloudOptions):
    """Options of the format colmap."""

    model: str = option("binary", OneOf(FILE_KINDS), "files of the model")
    images: SourceImages | None = option(
        None, Maybe(Of(SourceImages)), "files that the model refers to; from file names by itself"
    )

    def check_views(self, count: int) -> None:
        """`OptionError` if `images` are not those of `count` views, `ExportError` if a COLMAP model
        cannot hold their names.
        """
        if self.images is None:
            return
        names, sizes = self.images.names, self.images.sizes
        matrices = np.asarray(self.images.network_from_image)
        if len(names) != count or len(sizes) != count or matrices.shape != (count, 3, 3):
            raise OptionError(
                f"option images has {len(names)} names, {len(sizes)} sizes and matrices of shape "
                f"{matrices.shape}; for {count} views they must be {count}, {count} and "
                f"({count}, 3, 3)"
            )
        if not (np.abs(np.linalg.det(matrices)) > 0).all():
            raise OptionError("option images has a network_from_image without an inverse")
        _check_names(names, in_text=self.model != "binary")


def _check_names(names: list[str], *, in_text: bool) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise ExportError(
                f"colmap: the image {shown(name)} is given twice, and names are unique in a COLMAP "
                "model; give each file once"
            )
        if not _is_utf8(name):
            raise ExportError(
                f"colmap: the image name {shown(name)} is not UTF-8, as readers of COLMAP's files "
                "take it to be; rename the image"
            )
        if in_text and any(c.isspace() for c in name):
            raise ExportError(
                f"colmap: the image name '{name}' has a space, at which readers of COLMAP's text "
                "files end it; rename the image, or write the option model: binary"
            )


def _is_utf8(name: str) -> bool:
    """File names of other bytes come with surrogates in their place."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def export_colmap(prediction: Prediction, folder: Path, options: ColmapOptions) -> list[Path]:
    """Write cameras, images and points3D.

    Every view is its own PINHOLE camera, every point is seen by the view that it came from.
    With `options.images` the model refers to these at their own size; without, the pictures
    that the network saw are written to ``images/``.
    """
    images = options.images
    mask = points.chosen_pixels(prediction, options)
    cloud, colors = points.world_points(prediction, mask), prediction.processed_images[mask]
    paths = [] if images else _write_images(prediction, folder / "images")
    views = _views(prediction, mask, images or _network_images(prediction))
    target = folder / "sparse" / "0"
    for kind, write in (("binary", _write_binary), ("text", _write_text)):
        if options.model in (kind, "both"):
            paths += write(target, views, cloud, colors)
    return paths


def _network_images(prediction: Prediction) -> SourceImages:
    count, height, width = prediction.depth.shape
    names = [f"{i:04d}.png" for i in range(count)]
    return SourceImages(names, [(height, width)] * count, np.tile(np.eye(3), (count, 1, 1)))


def _write_images(prediction: Prediction, folder: Path) -> list[Path]:
    paths = []
    for i, image in enumerate(prediction.processed_images):
        paths.append(folder / f"{i:04d}.png")
        with atomic_path(paths[-1]) as temporary:
            temporary.write_bytes(marked(cv2.imencode(".png", image[..., ::-1])[1].tobytes()))
    return paths


def _views(prediction: Prediction, mask: np.ndarray, images: SourceImages) -> list[_View]:
    first_points = np.concatenate([[0], np.cumsum(mask.sum(axis=(1, 2)))])
    image_from_network = np.linalg.inv(images.network_from_image)
    views: list[_View] = []
    skews: list[float] = []
    for i, chosen in enumerate(mask):
        K = image_from_network[i] @ prediction.intrinsics[i]
        row, column = np.nonzero(chosen)
        pixels = np.stack([column, row, np.ones_like(row)], axis=-1) @ image_from_network[i].T
        height, width = images.sizes[i]
        skews.append(float(np.abs(K[0, 1] / K[1, 1] * (np.array([0, height - 1]) - K[1, 2])).max()))
        quat_xyzw = poses.to_quat_xyzw(np.float64(prediction.extrinsics[i, :3, :3]))
        views.append(
            _View(
                name=images.names[i],
                width=width,
                height=height,
                params=K[[0, 1, 0, 1], [0, 1, 2, 2]],
                quat_wxyz=np.roll(quat_xyzw, 1),
                translation=np.float64(prediction.extrinsics[i, :3, 3]),
                pixels=pixels[:, :2],
                first_point=int(first_points[i]),
            )
        )
    _warn_of_skew(skews)
    return views


def _warn_of_skew(pixels: list[float]) -> None:
    """pixels: how far each view's skew moves the first or last row."""
    if max(pixels, default=0) > LARGEST_SKEW:
        warnings.warn(
            f"colmap: cameras of COLMAP have no skew, and that of view {np.argmax(pixels)} is left "
            f"out: points lie up to {max(pixels):.1f} px beside their pixels",
            stacklevel=2,
        )


_POINT2D = np.dtype([("xy", "<f8", 2), ("point", "<u8")])
POINT3D = np.dtype(
    [
        ("id", "<u8"),
        ("xyz", "<f8", 3),
        ("rgb", "u1", 3),
        ("error", "<f8"),
        ("track_length", "<u8"),
        ("image", "<u4"),
        ("point2d", "<u4"),
    ]
)


def _points3d(views: list[_View], cloud: np.ndarray, colors: np.ndarray) -> np.ndarray:
    table = np.empty(len(cloud), POINT3D)
    table["id"] = np.arange(1, len(cloud) + 1)
    table["xyz"], table["rgb"], table["error"], table["track_length"] = cloud, colors, 0, 1
    for i, view in enumerate(views):
        part = table[view.first_point : view.first_point + len(view.pixels)]
        part["image"], part["point2d"] = i + 1, np.arange(len(view.pixels))
    return table


def _write_binary(folder: Path, views, cloud, colors) -> list[Path]:
    count = struct.pack("<Q", len(views))
    parts = {
        "cameras.bin": (count, *(_camera_record(i, v) for i, v in enumerate(views, 1))),
        "images.bin": (count, *(_image_record(i, v) for i, v in enumerate(views, 1))),
        "points3D.bin": (struct.pack("<Q", len(cloud)), _points3d(views, cloud, colors).tobytes()),
    }
    return [_write(folder / name, chunks) for name, chunks in parts.items()]


def _camera_record(index: int, view: _View) -> bytes:
    return struct.pack("<IiQQ4d", index, PINHOLE, view.width, view.height, *view.params)


def _image_record(index: int, view: _View) -> bytes:
    seen = np.empty(len(view.pixels), _POINT2D)
    seen["xy"] = view.pixels
    seen["point"] = view.first_point + 1 + np.arange(len(seen))
    pose = struct.pack("<I7dI", index, *view.quat_wxyz, *view.translation, index)
    return pose + view.name.encode() + b"\0" + struct.pack("<Q", len(seen)) + seen.tobytes()


def _write_text(folder: Path, views, cloud, colors) -> list[Path]:
    parts = {
        "cameras.txt": (_camera_line(i, v) for i, v in enumerate(views, 1)),
        "images.txt": (_image_lines(i, v) for i, v in enumerate(views, 1)),
        "points3D.txt": _point_lines(_points3d(views, cloud, colors)),
    }
    return [
        _write(folder / name, (line.encode() + b"\n" for line in lines))
        for name, lines in parts.items()
    ]


def _camera_line(index: int, view: _View) -> str:
    params = " ".join(map(repr, view.params.tolist()))
    return f"{index} PINHOLE {view.width} {view.height} {params}"


def _image_lines(index: int, view: _View) -> str:
    pose = " ".join(map(repr, [*view.quat_wxyz.tolist(), *view.translation.tolist()]))
    first = view.first_point + 1
    seen = (f"{x:.6g} {y:.6g} {first + i}" for i, (x, y) in enumerate(view.pixels.tolist()))
    return f"{index} {pose} {index} {view.name}\n{' '.join(seen)}"


def _point_lines(table: np.ndarray) -> Iterator[str]:
    for number, (x, y, z), (r, g, b), _, _, image, point2d in table.tolist():
        yield f"{number} {x:.12g} {y:.12g} {z:.12g} {r} {g} {b} 0 {image} {point2d}"


def _write(path: Path, chunks) -> Path:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.writelines(chunks)
    return path
