"""The public API gives the numbers of the published package."""

import numpy as np
import pytest
import torch
from api_models import RES, picture, pictures, spread_cameras
from PIL import Image

from da3_ros.api import DepthAnything3
from tools import upstream


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Upstream's class, made to run in fp32, and ours with the same weights."""
    pytest.importorskip("depth_anything_3", reason="the upstream wheel is a test-only comparison")
    upstream.import_upstream()
    from depth_anything_3.api import DepthAnything3 as Theirs

    theirs = Theirs(model_name="da3-small").eval()
    upstream.randomise(theirs.model)
    # Its own forward pass runs under fp16 autocast on a CPU.
    theirs.forward = torch.inference_mode()(lambda *args: theirs.model(*args))
    folder = tmp_path_factory.mktemp("da3-small")
    upstream.save_official(theirs.model, folder, "da3-small")
    return theirs, DepthAnything3.from_pretrained(folder)


def assert_same(theirs, ours, *, extrinsics=True):
    def close(name, a, b):
        assert a.shape == b.shape, name
        error = np.abs(a - b).max() / np.abs(a).max()
        assert error < 2e-5, f"{name} differs by {error:.2g}"

    close("depth", theirs.depth, ours.depth)
    close("conf", theirs.conf, ours.conf)
    close("intrinsics", theirs.intrinsics, ours.intrinsics)
    if extrinsics:
        close("extrinsics", theirs.extrinsics, ours.extrinsics)
    # Upstream takes its images back from the normalised floats and cuts: one less, at times.
    difference = ours.processed_images.astype(int) - theirs.processed_images
    assert difference.min() >= 0 and difference.max() <= 1


@pytest.mark.parametrize("count", [1, 2, 4])
def test_unposed_equals_upstream(both, count):
    theirs, ours = (
        m.inference(pictures(count), process_res=RES, ref_view_strategy="middle") for m in both
    )
    assert_same(theirs, ours)


@pytest.mark.parametrize(
    "method",
    ["upper_bound_resize", "upper_bound_crop", "lower_bound_resize", "lower_bound_crop"],
)
def test_every_resize_method_equals_upstream(both, method):
    sizes = [(75, 100), (90, 130), (120, 120)]  # different sizes are cropped to the smallest
    images = [picture(i, *size) for i, size in enumerate(sizes)]
    extrinsics, K = spread_cameras(3)
    options = {"process_res": 84, "process_res_method": method}
    theirs, ours = (m.inference(images, extrinsics, K, **options) for m in both)
    assert_same(theirs, ours)


@pytest.mark.parametrize("count", [3, 5, 12])
def test_posed_equals_upstream(both, count):
    extrinsics, K = spread_cameras(count)
    theirs, ours = (m.inference(pictures(count), extrinsics, K, process_res=56) for m in both)
    assert_same(theirs, ours)


def test_files_equal_upstream_up_to_jpeg_and_jpg(both, tmp_path):
    paths = []
    for i, image in enumerate(pictures(2)):
        paths.append(str(tmp_path / f"{i}.{'png' if i else 'jpg'}"))
        Image.fromarray(image).save(paths[-1])
    theirs, ours = (m.inference(paths, process_res=RES) for m in both)
    assert_same(theirs, ours)


def test_glb_equals_upstream(both, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    from depth_anything_3.utils.export.glb import export_to_glb

    theirs, ours = both
    prediction = ours.inference(
        pictures(3), process_res=RES, export_dir=tmp_path, export_format="glb"
    )
    reference = theirs.inference(pictures(3), process_res=RES)
    # Vertices are compared in the order of the pixels: nothing is left out by chance.
    export_to_glb(reference, str(tmp_path / "theirs"), export_depth_vis=False)
    clouds = []
    for path in (tmp_path / "theirs" / "scene.glb", tmp_path / "scene.glb"):
        scene = trimesh.load(path)
        clouds += [g.vertices for g in scene.geometry.values() if isinstance(g, trimesh.PointCloud)]
    assert prediction.depth.shape == reference.depth.shape
    extent = np.ptp(clouds[0], axis=0).max()
    # Pixels right at the confidence threshold may fall on either side of it.
    assert abs(len(clouds[0]) - len(clouds[1])) <= 2
    if len(clouds[0]) == len(clouds[1]):
        np.testing.assert_allclose(clouds[1], clouds[0], atol=1e-4 * extent)
