"""The public API: right where upstream is not, and as documented."""

import inspect
import logging
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from api_models import RES, cameras, picture, pictures, small_model, spread_cameras, with_network
from PIL import Image

from da3_ros import api
from da3_ros.api import DepthAnything3
from da3_ros.core import poses
from da3_ros.core.export import export
from da3_ros.core.scale.align import to_camera_poses
from da3_ros.net.checkpoint import load_checkpoint, random_network
from da3_ros.net.presets import find_preset
from da3_ros.synthetic.room import CAMERA, demo_path, render_room

LAST = find_preset("da3-demo").backbone.depth - 1
model = pytest.fixture(small_model, scope="module")


@pytest.fixture(scope="module")
def giant():
    return with_network("da3-giant")


@pytest.fixture(scope="module")
def nested():
    return with_network("da3nested-giant-large")


@pytest.fixture(scope="module")
def metric():
    return with_network("da3metric-large")


# ---- what upstream gets wrong ----

LINE = np.outer(np.arange(4.0), [1.0, 0.3, 0])
MOTIONS = {
    "one view": np.zeros((1, 3)),
    "two views": LINE[:2],
    "a straight line": LINE,
    "standing still": np.zeros((4, 3)),
    "far from the origin": LINE + [5e5, 4e6, 100],
}


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_motion_of_a_robot_works(model, motion):
    extrinsics, K = cameras(MOTIONS[motion])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.inference(pictures(len(extrinsics)), extrinsics, K, process_res=RES)
    assert np.isfinite(found.depth).all() and (found.depth > 0).all()
    np.testing.assert_allclose(found.extrinsics, extrinsics[:, :3], rtol=1e-12, atol=1e-9)
    assert found.extrinsics.shape == (len(extrinsics), 3, 4)


def test_identical_poses_are_told_to_give_no_scale(model):
    extrinsics, K = cameras(np.zeros((3, 3)), seed=0)
    extrinsics[:] = extrinsics[0]
    with pytest.warns(UserWarning, match="all in one place, which tells no scale"):
        model.inference(pictures(3), extrinsics, K, process_res=RES)


@pytest.mark.parametrize(("step", "factor"), [(0.04, "10 "), (0.002, "100 ")])
@pytest.mark.parametrize("count", [2, 4])
def test_poses_in_too_large_a_unit_are_told_to_give_no_depth_in_it(model, count, step, factor):
    extrinsics, K = cameras(np.outer(np.arange(count), [step, 0, 0]))
    with pytest.warns(UserWarning, match=f"so near each other .* smaller unit .{factor}times"):
        model.inference(pictures(count), extrinsics, K, process_res=RES)
    extrinsics[:, :3, 3] *= float(factor)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.inference(pictures(count), extrinsics, K, process_res=RES)


def test_two_views_in_too_small_a_unit_are_told_that_depth_is_too_small():
    """The divisor of two views is 0.1 whatever their distance, as in the published package."""
    views = [render_room(pose, CAMERA.scaled(width=160, height=120)) for pose in demo_path(60)[:2]]
    T_world_cam, K = np.stack([v.T_world_cam for v in views]), np.stack([v.camera.K for v in views])
    distance = np.linalg.norm(T_world_cam[1, :3, 3] - T_world_cam[0, :3, 3])
    demo, depth = DepthAnything3("da3-demo"), {}

    def infer(apart):
        T_given = T_world_cam.copy()
        T_given[:, :3, 3] *= apart / distance
        found = demo.inference([v.image for v in views], poses.inverse(T_given), K, process_res=112)
        depth[apart] = np.median(found.depth) / apart

    with pytest.warns(UserWarning, match=r"given cameras 20 .* many times too small.*\(0.1 times"):
        infer(2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        infer(0.2)
    assert depth[2.0] < 0.5 * depth[0.2]


def test_a_view_far_from_all_others_is_told():
    extrinsics, K = cameras(np.outer([0, 1, 1.1, 60], [0.3, 0, 0]))
    with pytest.warns(UserWarning, match="given cameras 60 of its units .* leave out views that"):
        DepthAnything3("da3-demo").inference(pictures(4), extrinsics, K, process_res=RES)


@pytest.mark.parametrize("count", [3, 4, 7])
def test_depth_comes_in_the_unit_of_the_poses(model, count):
    extrinsics, K = cameras(np.outer(np.arange(count), [1.0, 0.3, 0.1]))
    tenfold = extrinsics.copy()
    tenfold[:, :3, 3] *= 10
    found = [model.inference(pictures(count), e, K, process_res=RES) for e in (extrinsics, tenfold)]
    np.testing.assert_allclose(found[1].depth, 10 * found[0].depth, rtol=1e-3)


def test_three_by_four_extrinsics_are_the_same(model):
    extrinsics, K = spread_cameras(3)
    full, short = (
        model.inference(pictures(3), e, K, process_res=RES) for e in (extrinsics, extrinsics[:, :3])
    )
    np.testing.assert_array_equal(full.depth, short.depth)


def test_without_alignment_the_poses_are_the_networks_own(model):
    extrinsics, K = spread_cameras(4)
    aligned, own = (
        model.inference(pictures(4), extrinsics, K, flag, process_res=RES) for flag in (True, False)
    )
    assert own.extrinsics.shape == (4, 3, 4)
    assert np.abs(own.extrinsics - extrinsics[:, :3]).max() > 0.01
    ratio = own.depth / aligned.depth
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-5)
    # That ratio is what the two sets of cameras say.
    from da3_ros.core.scale.align import align_cameras

    similarity = align_cameras(to_camera_poses(extrinsics), to_camera_poses(own.extrinsics))
    assert ratio[0, 0, 0] == pytest.approx(similarity.scale, rel=1e-5)
    np.testing.assert_array_equal(own.intrinsics, aligned.intrinsics)


def test_features_are_in_input_order_whatever_the_reference(model):
    forward = pictures(3)
    found = [
        model.inference(i, process_res=RES, ref_view_strategy="middle", export_feat_layers=[LAST])
        for i in (forward, forward[::-1])
    ]
    ours, reversed_ = (f.aux[f"feat_layer_{LAST}"] for f in found)
    np.testing.assert_allclose(reversed_[::-1], ours, atol=1e-4)
    assert np.abs(ours[0] - ours[2]).max() > 0.1


def test_layer_lists_need_no_order(model):
    one = model.inference(pictures(2), process_res=RES, export_feat_layers=[LAST, 2, 2])
    for layer in (2, LAST):
        alone = model.inference(pictures(2), process_res=RES, export_feat_layers=(layer,))
        name = f"feat_layer_{layer}"
        np.testing.assert_array_equal(one.aux[name], alone.aux[name])
        assert one.aux[name].shape == (2, 5, 7, 192)
    assert set(one.aux) == {"feat_layer_2", f"feat_layer_{LAST}"}


def test_no_state_stays_between_calls(model, tmp_path):
    kwargs = {"glb": {"camera_size": 0.05}}
    before = model.inference(pictures(2), process_res=RES)
    extrinsics, K = spread_cameras(2)
    model.inference(
        pictures(2),
        extrinsics,
        K,
        process_res=RES,
        export_dir=tmp_path,
        export_format="glb",
        export_kwargs=kwargs,
    )
    after = model.inference(pictures(2), process_res=RES)
    np.testing.assert_array_equal(before.depth, after.depth)
    assert kwargs == {"glb": {"camera_size": 0.05}}
    defaults = inspect.signature(DepthAnything3.inference).parameters
    assert defaults["export_kwargs"].default == {} and defaults["export_feat_layers"].default == []


def test_inputs_are_left_as_they_were(model):
    extrinsics, K = spread_cameras(3)
    images = pictures(3)
    copies = extrinsics.copy(), K.copy(), [i.copy() for i in images]
    model.inference(images, extrinsics, K, process_res=RES)
    np.testing.assert_array_equal(extrinsics, copies[0])
    np.testing.assert_array_equal(K, copies[1])
    np.testing.assert_array_equal(images, copies[2])


def test_ray_poses(model):
    found = model.inference(pictures(2), process_res=RES, use_ray_pose=True)
    decoded = model.inference(pictures(2), process_res=RES)
    assert found.extrinsics.shape == (2, 3, 4)
    assert np.abs(found.extrinsics - decoded.extrinsics).max() > 1e-3
    np.testing.assert_array_equal(found.depth, decoded.depth)


# ---- Gaussians ----


def test_gaussians_lie_where_depth_and_cameras_say(giant):
    """With the head's own offsets at zero, each mean is its pixel's ray times its depth."""
    bare = DepthAnything3("da3-demo")
    bare.model = random_network(giant.model.preset)
    for p in bare.model.gs_head.scratch.output_conv2.parameters():
        p.data.zero_()
    extrinsics, K = spread_cameras(3)
    for given in (
        {},
        {"extrinsics": extrinsics, "intrinsics": K, "align_to_input_ext_scale": False},
    ):
        found = bare.inference(pictures(3), infer_gs=True, process_res=56, **given)
        out_K = found.intrinsics if not given else None
        assert found.aux["gaussians"] is found.gaussians
        means = found.gaussians.means[0].numpy().reshape(*found.depth.shape, 3)
        T_world_cam = to_camera_poses(found.extrinsics)
        distance = np.linalg.norm(means - T_world_cam[:, None, None, :3, 3], axis=-1)
        np.testing.assert_allclose(distance, found.depth, rtol=1e-4)
        if out_K is not None:
            inside = (means - T_world_cam[:, None, None, :3, 3]) @ T_world_cam[:, None, :3, :3]
            pixel = inside @ np.swapaxes(out_K, 1, 2)[:, None]
            pixel = pixel[..., :2] / pixel[..., 2:]
            u = np.arange(found.depth.shape[2]) + 0.5
            np.testing.assert_allclose(pixel[0, 0, :, 0], u, atol=0.05)


def test_gaussians_come_along_into_the_given_frame(giant):
    extrinsics, K = spread_cameras(4)
    own, aligned = (
        giant.inference(pictures(4), extrinsics, K, flag, infer_gs=True, process_res=56)
        for flag in (False, True)
    )
    from da3_ros.core.scale.align import align_cameras

    to_network = align_cameras(to_camera_poses(extrinsics), to_camera_poses(own.extrinsics))
    expected = to_network.inverse().apply(own.gaussians.means[0].double().numpy())
    extent = np.ptp(expected, axis=0).max()
    np.testing.assert_allclose(aligned.gaussians.means[0], expected, atol=1e-4 * extent)
    np.testing.assert_allclose(
        aligned.gaussians.scales * to_network.scale, own.gaussians.scales, rtol=1e-3, atol=1e-9
    )


def test_nested_gaussians_are_metric(nested):
    """Their distance from the camera is the metric depth plus an offset of the same size."""
    found = nested.inference(pictures(2), infer_gs=True, process_res=56)
    assert found.is_metric and found.scale_factor > 0
    plain = DepthAnything3("da3-demo")
    plain.model = nested.model.da3
    plain.model.weights = nested.model.weights
    unscaled = plain.inference(pictures(2), infer_gs=True, process_res=56)
    for name in ("means", "scales"):
        ratio = getattr(found.gaussians, name) / getattr(unscaled.gaussians, name)
        assert ratio.median() == pytest.approx(found.scale_factor, rel=1e-4)


def sky_bias(nested):
    layers = nested.model.da3_metric.head.scratch.sky_output_conv2
    return [layer.bias for layer in layers if hasattr(layer, "bias")][-1]


def test_nested_depth_is_metric_while_nobody_moved_it_into_another_unit(nested):
    extrinsics, K = spread_cameras(3)
    alone = nested.inference(pictures(3), process_res=56)
    own = nested.inference(
        pictures(3), extrinsics, K, process_res=56, align_to_input_ext_scale=False
    )
    assert alone.is_metric and own.is_metric
    # The unit of the poses is the user's: 1 here may be a foot, and nobody has said metre.
    assert not nested.inference(pictures(3), extrinsics, K, process_res=56).is_metric
    extrinsics[:, :3, 3] = 0
    standing = nested.inference(pictures(3), extrinsics, K, process_res=56)
    assert standing.is_metric  # cameras in one place have no unit; depth keeps its metres


def test_an_all_sky_picture_has_no_depth_and_still_exports(nested, tmp_path):
    with torch.no_grad():
        bias = sky_bias(nested)
        before = bias.clone()
        bias += 1e4
    found = nested.inference(
        pictures(2), process_res=56, export_dir=tmp_path, export_format="glb-mini_npz"
    )
    with torch.no_grad():
        bias.copy_(before)
    assert np.isnan(found.depth).all() and (found.sky > 0.3).all()
    assert (tmp_path / "scene.glb").exists()


# ---- one-view models ----


def test_metric_model_is_in_metres_once_it_knows_the_lens(metric):
    raw = metric.inference(pictures(2), process_res=RES)
    assert not raw.is_metric and raw.extrinsics is None and raw.conf is None
    K = np.tile(np.array([[90.0, 0, 50], [0, 95.0, 37], [0, 0, 1]]), (2, 1, 1))
    found = metric.inference(pictures(2), intrinsics=K, process_res=RES)
    height, width = found.depth.shape[1:]
    focal = (90 * width / 100 + 95 * height / 75) / 2
    np.testing.assert_allclose(found.depth, raw.depth * focal / 300, rtol=1e-5)
    assert found.is_metric and found.sky.shape == found.depth.shape


# ---- images ----


def test_all_kinds_of_images_are_one(model, tmp_path):
    rgb = picture(0)
    path = tmp_path / "a b.png"
    Image.fromarray(rgb).save(path)
    alpha = np.dstack([rgb, np.full(rgb.shape[:2], 9, np.uint8)])
    kinds = [[rgb], [path], [str(path)], [Image.fromarray(rgb)], [alpha], rgb[None], (rgb,)]
    depths = [model.inference(images, process_res=RES).depth for images in kinds]
    for depth in depths[1:]:
        np.testing.assert_array_equal(depth, depths[0])
    grey = rgb[..., 0]
    kinds = [[grey], [grey[..., None]], [Image.fromarray(grey)], [np.dstack([grey] * 3)]]
    depths = [model.inference(images, process_res=RES).depth for images in kinds]
    for depth in depths[1:]:
        np.testing.assert_array_equal(depth, depths[0])


def test_prediction_types_and_shapes(model):
    found = model.inference(pictures(2), process_res=RES)
    assert found.depth.shape == found.conf.shape == (2, 70, 98)
    assert found.depth.dtype == found.conf.dtype == np.float32
    assert (
        found.processed_images.shape == (2, 70, 98, 3) and found.processed_images.dtype == np.uint8
    )
    assert found.extrinsics.shape == (2, 3, 4) and found.intrinsics.shape == (2, 3, 3)
    assert found.conf.min() >= 1 and not found.is_metric


# ---- exports ----


def test_every_format_through_the_api_from_real_pictures(giant, shared_data, tmp_path):
    images = sorted((shared_data / "7scenes_redkitchen" / "rgb").iterdir())[:40:20]
    formats = "mini_npz-npz-glb-ply-colmap-gs_ply-gs_video-feat_vis-depth_vis"
    found = giant.inference(
        [str(p) for p in images],
        infer_gs=True,
        process_res=56,
        export_dir=tmp_path,
        export_format=formats,
        export_feat_layers=[3],
        conf_thresh_percentile=10,
        num_max_points=900,
        show_cameras=False,
        feat_vis_fps=5,
        render_exts=np.tile(np.eye(4), (2, 1, 1)),
        render_ixts=np.tile([[30.0, 0, 20], [0, 30, 14], [0, 0, 1]], (2, 1, 1)),
        render_hw=(28, 40),
        export_kwargs={"gs_video": {"vis_depth": None, "enable_tqdm": False}},
    )
    import av
    import plyfile
    import trimesh

    (cloud,) = trimesh.load(tmp_path / "scene.glb").geometry.values()
    assert (
        len(cloud.vertices) == len(plyfile.PlyData.read(tmp_path / "points.ply")["vertex"]) == 900
    )
    with np.load(tmp_path / "exports" / "npz" / "results.npz") as file:
        np.testing.assert_array_equal(file["depth"], found.depth)
    for name, rate, size in (
        ("feat_vis/feat_layer_3", 5, (112, 42)),
        ("gs_video/0000_original", 24, (40, 28)),
    ):
        with av.open(str(tmp_path / f"{name}.mp4")) as film:
            stream = film.streams.video[0]
            assert stream.average_rate == rate and stream.frames == 2
            assert (stream.width, stream.height) == size
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is a test-only reader")
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert {i.name for i in model.images.values()} == {p.name for p in images}
    assert {(c.width, c.height) for c in model.cameras.values()} == {Image.open(images[0]).size}
    assert (tmp_path / "gs_ply" / "0000.ply").exists() and (
        tmp_path / "depth_vis" / "0001.jpg"
    ).exists()


def test_files_of_an_earlier_export_are_replaced_with_a_word(model, tmp_path, caplog):
    options = {"process_res": 56, "export_dir": tmp_path, "export_format": "depth_vis-mini_npz"}
    model.inference(pictures(2), **options)
    before = (tmp_path / "exports/mini_npz/results.npz").read_bytes()
    assert not caplog.text
    with caplog.at_level(logging.WARNING):
        model.inference(pictures(2)[:1], **options)
    assert f"replaced 2 files of an earlier export in '{tmp_path}'; 1 more" in caplog.text
    assert (tmp_path / "exports/mini_npz/results.npz").read_bytes() != before
    assert len(list(tmp_path.rglob("*.*"))) == 3


def test_a_prediction_outlives_an_export_that_fails(model, tmp_path):
    """A disk that is full after the network has run, as a limit on the size of files shows it."""
    resource = pytest.importorskip("resource", reason="file size limits are a POSIX thing")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    wanted = model.inference(pictures(2), process_res=56)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(api.FailedExportError, match=f"make room below '{tmp_path}'") as failure:
            model.inference(
                pictures(2), process_res=56, export_dir=tmp_path, export_format="mini_npz-ply"
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(failure.value, ValueError) and isinstance(failure.value, OSError)
    np.testing.assert_array_equal(failure.value.prediction.depth, wanted.depth)
    assert not list(tmp_path.iterdir())
    assert len(export(failure.value.prediction, "mini_npz-ply", tmp_path)) == 2
    again = pickle.loads(pickle.dumps(failure.value))  # as pools of processes hand it back
    assert type(again) is api.FailedExportError and str(again) == str(failure.value)
    np.testing.assert_array_equal(again.prediction.depth, wanted.depth)


def test_nothing_is_written_without_a_folder(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.inference(pictures(1), process_res=RES, export_format="glb")
    assert not list(tmp_path.iterdir())


def test_colmap_names_stay_apart(model, tmp_path):
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is a test-only reader")
    paths = []
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "0.png")
        Image.fromarray(picture(1)).save(paths[-1])
    model.inference(paths, process_res=RES, export_dir=tmp_path, export_format="colmap")
    images = pycolmap.Reconstruction(tmp_path / "sparse" / "0").images.values()
    assert sorted(i.name for i in images) == ["left/0.png", "right/0.png"]


# ---- loading ----


def test_messages_alone_need_no_torch_and_the_package_has_the_class():
    code = """
import sys
import da3_ros, da3_ros.msg, da3_ros.srv
assert not {"torch", "cv2"} & set(sys.modules)
try:
    da3_ros.no_such_name
except AttributeError as error:
    print(error)
from da3_ros import DepthAnything3
from da3_ros.api import DepthAnything3 as same
assert DepthAnything3 is same
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "module 'da3_ros' has no attribute 'no_such_name'\n"


def test_signature_is_the_documented_one():
    parameters = inspect.signature(DepthAnything3.inference).parameters
    assert {n: p.default for n, p in list(parameters.items())[2:]} == {
        "extrinsics": None,
        "intrinsics": None,
        "align_to_input_ext_scale": True,
        "infer_gs": False,
        "use_ray_pose": False,
        "ref_view_strategy": "saddle_balanced",
        "render_exts": None,
        "render_ixts": None,
        "render_hw": None,
        "process_res": None,
        "process_res_method": "upper_bound_resize",
        "export_dir": None,
        "export_format": "mini_npz",
        "export_feat_layers": [],
        "conf_thresh_percentile": 40.0,
        "num_max_points": 1_000_000,
        "show_cameras": True,
        "feat_vis_fps": 15,
        "export_kwargs": {},
    }
    assert list(parameters)[:2] == ["self", "image"]
    assert inspect.signature(DepthAnything3).parameters["model_name"].default == "da3-large"
    assert set(api.__all__) >= {"DepthAnything3", "Prediction", "Mesh", "CameraModel"}


def test_precision_is_the_nodes_switch():
    """bf16 changes a little, fp32 nothing at all on a CPU; the choice is named when it is none."""
    pictures = [np.random.default_rng(k).integers(0, 255, (56, 56, 3), np.uint8) for k in (0, 1)]
    depth = {
        precision: DepthAnything3.from_pretrained("da3-demo", precision=precision)
        .inference(pictures, process_res=56)
        .depth
        for precision in (None, "fp32", "bf16")
    }
    np.testing.assert_allclose(depth["fp32"], depth[None], rtol=1e-4)
    assert 1e-5 < np.abs(depth["bf16"] / depth[None] - 1).mean() < 0.05
    with pytest.raises(ValueError, match="precision is 'fp16', must be one of auto, fp32, bf16"):
        DepthAnything3("da3-demo", precision="fp16")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("precision, mean", [("fp32", 1e-4), (None, 0.02)])
def test_a_gpu_says_what_the_processor_says(device, precision, mean):
    """With and without given cameras; by default a GPU lowers the backbone alone."""
    exact = DepthAnything3("da3-demo", precision="fp32")
    moved = DepthAnything3("da3-demo", precision=precision).to(device)
    assert moved.device.type == device
    for given in ((), spread_cameras(3)):
        depth = [m.inference(pictures(3), *given, process_res=RES).depth for m in (exact, moved)]
        assert np.abs(depth[1] / depth[0] - 1).mean() < mean


def test_from_a_folder_moves_and_says_where_it_is(tmp_path):
    from da3_ros.net.checkpoint import save_checkpoint

    save_checkpoint(random_network(find_preset("da3-demo"), seed=3), tmp_path)
    loaded = DepthAnything3.from_pretrained(tmp_path)
    assert loaded.to("cpu") is loaded and loaded.device == torch.device("cpu")
    expected = load_checkpoint(tmp_path).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.model.state_dict().items())
