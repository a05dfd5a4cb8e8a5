"""A prediction is its owner's, who may change it: an export looks at it again."""

from dataclasses import replace

import numpy as np
import plyfile
import pytest
import torch
from small_scene import prediction

from da3_ros.core.export import ExportError, export, plan_exports, write, write_or_keep
from da3_ros.core.export.colmap import SourceImages
from da3_ros.core.export.folder import FailedExportError


def test_a_fault_of_a_writer_is_said_with_its_kind(found, tmp_path):
    """Of a prediction that the checks have not been written for."""
    broken = replace(found.gaussians, opacities=None)
    changed = replace(found, gaussians=broken)
    with pytest.raises(FailedExportError, match="^[A-Z][A-Za-z]+Error: ") as failure:
        write_or_keep(changed, plan_exports(["gs_ply"]), tmp_path)
    assert failure.value.prediction is changed and not list(tmp_path.iterdir())
    with pytest.raises(FailedExportError, match="^export format 'gs_ply' needs Gaussians"):
        write_or_keep(replace(found, gaussians=None), plan_exports(["gs_ply"]), tmp_path)


@pytest.fixture(scope="module")
def found():
    return prediction(gaussians=True)


def with_value(array, index, value):
    changed = array.copy()
    changed[index] = value
    return changed


CHANGES = {
    "float pictures": (
        lambda p: {"processed_images": p.processed_images / 255},
        "npz glb ply colmap depth_vis feat_vis",
        "processed_images is float64, must be uint8, from 0 to 255",
    ),
    "scaled matrices": (
        lambda p: {"extrinsics": p.extrinsics * 2},
        "glb ply colmap gs_ply gs_video",
        r"extrinsics\[0\]: rotation is not orthonormal .* it is scaled by 2",
    ),
    "a pose that is unknown": (
        lambda p: {"extrinsics": with_value(p.extrinsics, 1, np.nan)},
        "glb ply colmap gs_ply gs_video",
        r"extrinsics\[1\]: contains NaN",
    ),
    "no lens": (
        lambda p: {"intrinsics": with_value(p.intrinsics, 2, 0)},
        "glb ply colmap gs_ply gs_video",
        r"intrinsics\[2\]: K has focal length fx=0, fy=0; both must be positive",
    ),
    "a mirrored lens": (
        lambda p: {"intrinsics": p.intrinsics * np.float32([-1, 1, 1])},
        "glb ply colmap",
        r"intrinsics\[0\]: K has focal length fx=-80",
    ),
    "depth in a list": (lambda p: {"depth": list(p.depth)}, "mini_npz", "depth must be a numpy"),
    "pictures of torch": (
        lambda p: {"processed_images": torch.from_numpy(p.processed_images)},
        "glb",
        "processed_images must be a numpy array, got a Tensor",
    ),
    "features without places": (
        lambda p: {"aux": {"feat_layer_3": np.zeros((3, 4, 5))}},
        "npz feat_vis",
        r"aux\['feat_layer_3'\] has shape \(3, 4, 5\), must be \(N, h, w, C\) of the 3 views",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_cannot_be_is_named(found, tmp_path, change):
    values, formats, said = CHANGES[change]
    changed = replace(found)
    for name, value in values(found).items():
        setattr(changed, name, value)
    for name in formats.split():
        with pytest.raises(ValueError, match=said):
            export(changed, name, tmp_path)
    assert not list(tmp_path.rglob("*"))


def test_what_belongs_to_other_views_is_named(found, tmp_path):
    """Cameras and maps of two views, Gaussians and features of three."""
    arrays = ("depth", "conf", "sky", "extrinsics", "intrinsics", "processed_images")
    two = replace(found, **{name: getattr(found, name)[:2] for name in arrays})
    for name in ("npz", "feat_vis"):
        with pytest.raises(ExportError, match="has shape .*, must be .* of the 2 views of depth"):
            export(two, name, tmp_path)
    with pytest.raises(ExportError, match="there are 20580 Gaussians for the 13720 pixels of 2"):
        export(two, "gs_ply", tmp_path)
    begun = []
    with pytest.raises(ExportError, match="there are 20580 Gaussians"):
        write(two, plan_exports(["glb", "gs_ply"]), tmp_path, begun.append)
    assert not begun
    assert export(two, "mini_npz-glb-ply-colmap-depth_vis", tmp_path)


def test_pixels_of_unknown_confidence_are_no_points_and_change_no_others(found, tmp_path):
    def points(conf):
        export(replace(found, conf=conf), "ply", tmp_path)
        vertex = plyfile.PlyData.read(tmp_path / "points.ply")["vertex"]
        return set(zip(vertex["x"], vertex["y"], vertex["z"]))

    whole = points(found.conf)
    # The first view is the least confident of the three: the limit stays where it was.
    unknown = with_value(found.conf, np.s_[0, 60:], np.nan)
    least = with_value(found.conf, np.s_[0, 60:], 1.0)
    assert points(unknown) <= points(least) and len(points(unknown)) > len(whole) // 2


@pytest.mark.parametrize("count", [0, 2, 4])
def test_source_images_are_those_of_the_views(found, tmp_path, count):
    images = SourceImages(list("abcd")[:count], [(70, 98)] * count, np.tile(np.eye(3), (3, 1, 1)))
    with pytest.raises(ValueError, match=f"images has {count} names, {count} sizes .* for 3 views"):
        export(found, "colmap", tmp_path, {"images": images})


def test_source_images_that_no_model_can_hold(found, tmp_path):
    good = SourceImages(list("abc"), [(70, 98)] * 3, np.tile(np.eye(3), (3, 1, 1)))
    for change, said in (
        ({"network_from_image": np.zeros((3, 3, 3))}, "without an inverse"),
        ({"network_from_image": np.eye(3)}, r"matrices of shape \(3, 3\)"),
        ({"names": ["a", "b", "a"]}, "the image 'a' is given twice"),
        ({"names": ["a", "caf\udce9", "b"]}, r"name 'caf\\udce9' is not UTF-8"),
    ):
        with pytest.raises(ValueError, match=said):
            export(found, "colmap", tmp_path, {"images": replace(good, **change)})
    assert not list(tmp_path.rglob("*"))
