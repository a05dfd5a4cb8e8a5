"""What the public API says about bad arguments, before the network runs."""

import cv2
import numpy as np
import pytest
from api_models import RES, picture, pictures, small_model, spread_cameras, with_network
from PIL import Image
from spoiled import spoiled

from da3_ros.core.user_input.cameras import check_intrinsics
from da3_ros.net.presets import find_preset

LAST = find_preset("da3-demo").backbone.depth - 1
model = pytest.fixture(small_model, scope="module")


@pytest.fixture(scope="module")
def metric():
    return with_network("da3metric-large")


EXTRINSICS, K = spread_cameras(2)


BAD_CAMERAS = [
    ({"extrinsics": EXTRINSICS}, "extrinsics were given without intrinsics"),
    ({"intrinsics": K}, "intrinsics were given without extrinsics"),
    ({"extrinsics": EXTRINSICS[0], "intrinsics": K}, r"extrinsics has shape \(4, 4\), must be \(N"),
    ({"extrinsics": EXTRINSICS[:1], "intrinsics": K}, "extrinsics has 1 matrices for 2 images"),
    ({"extrinsics": EXTRINSICS, "intrinsics": K[:1]}, "intrinsics has 1 matrices for 2 images"),
    (
        {"extrinsics": spoiled(EXTRINSICS, (1, 0, 3), np.nan), "intrinsics": K},
        r"extrinsics\[1\]: contains NaN",
    ),
    (
        {"extrinsics": spoiled(EXTRINSICS, (1, 0, 0), 3.0), "intrinsics": K},
        r"extrinsics\[1\]: rotation is not orthonormal",
    ),
    ({"extrinsics": -EXTRINSICS, "intrinsics": K}, r"extrinsics\[0\]: last row"),
    ({"extrinsics": "abc", "intrinsics": K}, "extrinsics must be an array of numbers"),
    ({"extrinsics": EXTRINSICS, "intrinsics": 0 * K}, r"intrinsics\[0\]: K has focal length"),
    (
        {"extrinsics": EXTRINSICS, "intrinsics": np.diag([0.008, 0.01, 1]) @ K},
        r"intrinsics\[0\]: K has focal length fx=.* for 100x75 pixels, which no camera has",
    ),
    (
        {"extrinsics": [EXTRINSICS[0], None], "intrinsics": K},
        r"extrinsics must be an array of numbers: extrinsics\[1\] is None: leave its image out",
    ),
    (
        {"extrinsics": [EXTRINSICS[0], EXTRINSICS[1][:3]], "intrinsics": K},
        r"extrinsics\[0\] has shape \(4, 4\), but extrinsics\[1\] has shape \(3, 4\)",
    ),
    (
        {"extrinsics": EXTRINSICS, "intrinsics": [K[0], [[1, "f"]]]},
        r"intrinsics must be an array of numbers: intrinsics\[1\] is \[\[1, 'f'\]\]",
    ),
    ({"extrinsics": EXTRINSICS, "intrinsics": K[:, :2]}, r"intrinsics has shape \(2, 2, 3\)"),
]
BAD_OPTIONS = [
    ({"ref_view_strategy": "best"}, "ref_view_strategy is 'best', must be one of first"),
    ({"infer_gs": True}, "infer_gs is True, but da3-demo has no Gaussian head"),
    ({"process_res_method": "stretch"}, "process_res_method is 'stretch'"),
    ({"process_res": 0}, "process_res is 0"),
    (
        {"export_feat_layers": [99]},
        f"export_feat_layers holds 99, must be integers from 0 to {LAST}",
    ),
    ({"export_feat_layers": ["a"]}, "export_feat_layers holds 'a'"),
    ({"export_dir": "x", "export_format": "obj"}, "export format 'obj' is unknown; use mini_npz"),
    ({"export_dir": "x", "export_format": "gs_ply"}, "'gs_ply' needs infer_gs=True"),
    ({"export_dir": "x", "export_format": "feat_vis"}, "'feat_vis' needs export_feat_layers"),
    (
        {"export_dir": "x", "export_kwargs": {"speed": 2}},
        "option 'speed' is unknown to mini_npz",
    ),
    (
        {"export_dir": "x", "export_format": "glb", "export_kwargs": {"glb": 1}},
        "options of glb must be a dictionary, got 1",
    ),
    (
        {"export_dir": "x", "render_exts": np.eye(4)},
        r"render_exts has shape \(4, 4\), must be",
    ),
]


@pytest.fixture
def runs(model):
    """The calls of the network itself."""
    seen = []
    handle = model.model.register_forward_pre_hook(lambda *_: seen.append(1))
    yield seen
    handle.remove()


@pytest.mark.parametrize(("arguments", "said"), BAD_CAMERAS + BAD_OPTIONS)
def test_complaints_name_the_argument(model, runs, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        model.inference(pictures(2), **{"process_res": RES} | arguments)
    assert not list(tmp_path.iterdir()) and not runs
    model.inference(pictures(1), process_res=28)
    assert runs


@pytest.mark.parametrize("share", [2.1, 0.5, 0.25])
def test_intrinsics_of_another_size_are_named(recwarn, share):
    """Smaller ones, too: a prediction's own are those of the network's size."""
    check_intrinsics(K, [(75, 100)] * 2)
    check_intrinsics(np.diag([40, 40, 1]) @ K)  # of no picture in particular
    assert not recwarn
    other = np.stack([K[0], np.diag([share, share, 1]) @ K[1]])
    with pytest.warns(UserWarning, match=r"intrinsics\[1\] has its principal point at .*, far off"):
        check_intrinsics(other, [(75, 100)] * 2)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (picture(0), r"image is one array of shape \(75, 100, 3\)"),
        ([], "image is an empty list"),
        ("a.png", "image is a str, must be a list"),
        (["missing.png"], r"image\[0\]: cannot read 'missing.png', there is no such file"),
        ([picture(0), None], r"image\[1\] is a NoneType, must be a file name"),
        ([np.zeros((4, 5, 3), np.float32)], r"image\[0\] has dtype float32, must be uint8"),
        ([np.zeros((4, 5), np.uint16)], r"image\[0\] has dtype uint16"),
        (
            [np.zeros((3, 40, 50), np.uint8)],
            r"image\[0\] has shape \(3, 40, 50\), must be \(H, W\)",
        ),
        ([np.zeros((0, 5, 3), np.uint8)], r"image\[0\] has shape \(0, 5, 3\)"),
        ([Image.new("I;16", (20, 20))], "more than 8 bits"),
        ([np.zeros((2, 400, 3), np.uint8)], "too narrow"),
    ],
)
def test_complaints_about_images(model, images, said):
    with pytest.raises(ValueError, match=said):
        model.inference(images, process_res=RES)


def test_a_file_that_is_no_image(model, tmp_path):
    path = tmp_path / "a.png"
    path.write_text("hello")
    with pytest.raises(
        ValueError, match=r"image\[0\]: cannot read '.*a.png', it is not a readable"
    ):
        model.inference([path], process_res=RES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"extrinsics": EXTRINSICS, "intrinsics": K}, "da3metric-large takes no poses"),
        ({"use_ray_pose": True}, "da3metric-large predicts no rays"),
        ({"export_dir": "x", "export_format": "glb"}, "needs cameras, which da3metric-large"),
    ],
)
def test_complaints_of_one_view_models(metric, arguments, said):
    with pytest.raises(ValueError, match=said):
        metric.inference(pictures(2), process_res=RES, **arguments)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_color_picture_that_uses_12_of_16_bits_is_named(model, tmp_path, recwarn, suffix):
    paths = [str(tmp_path / f"{bits}.{suffix}") for bits in (16, 12)]
    for path, shift in zip(paths, (8, 4)):
        cv2.imwrite(path, picture(0).astype(np.uint16) << shift)
    model.inference(paths[:1], process_res=RES)
    assert not recwarn
    with pytest.warns(UserWarning, match=r"image\[1\] uses at most 12 of its 16 bits"):
        model.inference(paths, process_res=RES)
