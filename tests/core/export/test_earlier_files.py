"""An export replaces its own earlier files, and nobody else's."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from small_scene import prediction

from da3_ros.core.export import FORMATS, ExportError, export
from da3_ros.core.export.colmap import SourceImages
from da3_ros.core.export.folder import check_folder


@pytest.fixture(scope="module")
def found():
    return prediction(gaussians=True)


def views(found, chosen):
    """Some of the views, without Gaussians."""
    arrays = ("depth", "conf", "sky", "extrinsics", "intrinsics", "processed_images")
    some = {name: getattr(found, name)[chosen] for name in arrays}
    aux = {"feat_layer_3": found.aux["feat_layer_3"][chosen]}
    return replace(found, aux=aux, gaussians=None, **some)


def sources(count):
    names = [f"{i:04d}.png" for i in range(count)]
    return SourceImages(names, [(70, 98)] * count, np.tile(np.eye(3), (count, 1, 1)))


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("formats", ["-".join(n for n in FORMATS if n != "gs_video"), "feat_vis"])
def test_the_same_export_twice(found, tmp_path, formats):
    kwargs = {"colmap": {"model": "both"}}
    first = export(found, formats, tmp_path, kwargs)
    assert export(found, formats, tmp_path, kwargs) == first
    assert set(everything(tmp_path)) == set(first)


def test_another_layer_into_the_same_folder(found, tmp_path):
    export(found, "feat_vis", tmp_path)
    other = replace(found, aux={"feat_layer_5": found.aux["feat_layer_3"]})
    export(other, "feat_vis", tmp_path)
    films = {path.name for path in (tmp_path / "feat_vis").glob("*.mp4")}
    assert films == {"feat_layer_3.mp4", "feat_layer_5.mp4"}


OWN = {
    "images/0000.png": "colmap",
    "images/7.png": "colmap",
    "points.ply": "ply",
    "scene.glb": "glb",
    "scene.jpg": "glb",
    "sparse/0/images.bin": "colmap",
    "sparse/0/points3D.txt": "colmap",
    "sparse/0/rigs.bin": "colmap",
    "sparse/0/points3D.ply": "colmap",
}


@pytest.mark.parametrize("name", OWN)
def test_files_of_the_user_are_never_replaced(found, tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(tmp_path / name, format="png")
    before = everything(tmp_path)
    with pytest.raises(ExportError, match=f"{name}' is not of an earlier export, and would be"):
        export(found, f"npz-{OWN[name]}", tmp_path)
    assert everything(tmp_path) == before


def test_a_picture_of_an_export_that_was_edited_is_the_users(found, tmp_path):
    export(found, "colmap", tmp_path)
    edited = tmp_path / "images" / "0001.png"
    Image.open(edited).rotate(180).save(edited)
    with pytest.raises(ExportError, match="0001.png' is not of an earlier export"):
        export(found, "colmap", tmp_path)


def test_files_are_left_alone_where_the_options_write_none(found, tmp_path):
    for name in ("images/0000.png", "scene.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "images", tmp_path / "elsewhere")
    (tmp_path / "images").symlink_to(tmp_path / "elsewhere" / "images")
    kwargs = {"glb": {"export_depth_vis": False}, "colmap": {"images": sources(3)}}
    export(found, "glb-colmap", tmp_path, kwargs)
    assert (tmp_path / "images" / "0000.png").read_text() == "mine"
    assert (tmp_path / "scene.jpg").read_text() == "mine"


@pytest.mark.parametrize("kinds", [("binary", "text"), ("text", "binary"), ("both", "text")])
def test_one_folder_holds_one_model(found, tmp_path, kinds, caplog):
    """Readers prefer binary files: older ones beside text would hide it."""
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is a test-only reader")
    moved = views(found, [0, 1])
    moved.extrinsics = moved.extrinsics + np.float32([[0, 0, 0, 5], [0] * 4, [0] * 4])
    export(found, "colmap", tmp_path, {"model": kinds[0]})
    export(moved, "colmap", tmp_path, {"model": kinds[1]})
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert len(model.images) == 2
    for i, image in model.images.items():
        pose = image.cam_from_world().matrix()
        np.testing.assert_allclose(pose, moved.extrinsics[i - 1], atol=1e-5)
    suffix = {"binary": ".bin", "text": ".txt"}[kinds[1]]
    assert {p.suffix for p in (tmp_path / "sparse" / "0").iterdir()} == {suffix}
    replaced = 2 + (6 if kinds[0] == "both" else 3)
    assert f"replaced {replaced} files of an earlier export" in caplog.text
    assert "; 1 more of them stay" in caplog.text


def test_a_model_that_colmap_has_written_since_is_the_users(found, tmp_path):
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is a test-only reader")
    export(found, "colmap", tmp_path, {"images": sources(3)})
    folder = tmp_path / "sparse" / "0"
    pycolmap.Reconstruction(folder).write(folder)
    before = everything(tmp_path)
    with pytest.raises(ExportError, match="is not of an earlier export"):
        export(found, "colmap", tmp_path, {"images": sources(3)})
    assert everything(tmp_path) == before


@pytest.mark.skipif(
    not os.access("/dev", os.W_OK) or os.stat("/dev").st_dev == os.stat("/dev/shm").st_dev,
    reason="needs a folder with another file system below it",
)
def test_a_folder_on_another_disk_is_named_before_anything_is_written():
    """Files cannot be moved there, and would appear one by one."""
    with pytest.raises(ExportError, match="'/dev/shm' is on another disk"):
        check_folder("/dev", ("points.ply", "shm/a.ply"))
