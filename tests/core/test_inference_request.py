"""Whatever is wrong with a call of `inference` is named before the network runs.

`check_request` is all that happens before; it is given no network here.
"""

import inspect
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from spoiled import spoiled

from da3_ros.api import DepthAnything3
from da3_ros.core.export import FORMATS
from da3_ros.core.files.staging import UNFINISHED
from da3_ros.core.inference_request import InferenceOptions, check_request
from da3_ros.net.checkpoint import Weights
from da3_ros.net.presets import Preset, find_preset


@dataclass(frozen=True)
class Known:
    """All that is asked of a network before it runs."""

    preset: Preset
    weights: Weights


GIANT = Known(find_preset("da3-giant"), Weights("a test", "none", random=True))
NAMES = inspect.signature(DepthAnything3.inference).parameters
DEFAULTS = {name: p.default for name, p in NAMES.items() if name not in ("self", "image")}
PICTURES = [np.full((30, 40, 3), 50 * i, np.uint8) for i in range(3)]
POSES = np.tile(np.eye(4), (3, 1, 1))
POSES[:, 0, 3] = range(3)
K = np.tile([[40.0, 0, 20], [0, 40, 15], [0, 0, 1]], (3, 1, 1))


def check(folder, **arguments):
    """A call that is right but for `arguments`: it writes a film of given cameras."""
    right = {
        **{"image": PICTURES, "extrinsics": POSES, "intrinsics": K, "process_res": 28},
        **{"infer_gs": True, "export_dir": folder, "export_format": "gs_video-glb-feat_vis"},
        "export_feat_layers": [3],
    }
    return check_request(DEFAULTS | right | arguments, GIANT)


def test_options_have_the_defaults_of_inference():
    declared = {known.name: known.default for known in InferenceOptions.declared()}
    expected = {name: DEFAULTS[name] for name in declared}
    assert declared == expected | {"export_feat_layers": ()}
    by_themselves = {"extrinsics", "intrinsics", "export_dir", "export_format", "export_kwargs"}
    assert set(DEFAULTS) - set(declared) == by_themselves


def test_what_is_right_is_taken(tmp_path):
    request = check(
        tmp_path,
        process_res=np.int64(28),
        export_feat_layers=np.array([5, 2]),
        render_exts=POSES[None, :2],
        render_ixts=K[None, :2],
        render_hw=np.array([20, 30]),
        num_max_points=1e5,
        feat_vis_fps=np.float32(5),
        export_kwargs=None,
    )
    assert list(request.exports) == ["gs_video", "glb", "feat_vis"]
    film = request.exports["gs_video"]
    assert film.extrinsics.shape == (2, 4, 4) and film.out_image_hw == (20, 30)
    assert request.exports["glb"].num_max_points == 100_000
    assert request.exports["feat_vis"].fps == 5 and request.options.export_feat_layers == (5, 2)
    assert not list(tmp_path.iterdir())


def test_a_batch_of_one_is_the_cameras_in_it(tmp_path):
    one, many = check(tmp_path), check(tmp_path, extrinsics=POSES[None], intrinsics=K[None])
    np.testing.assert_array_equal(one.cameras.T_cam_world, many.cameras.T_cam_world)
    np.testing.assert_array_equal(one.K, many.K)


MISTAKES = [
    ({"process_res": "a"}, "process_res is 'a', must be a whole number from 1 to 8192 px"),
    ({"process_res": "70"}, "process_res is '70', must be a whole number"),
    ({"process_res": np.inf}, "process_res is inf, must be a whole number"),
    ({"process_res": 10**9}, "process_res is 1000000000, must be at least 1 px and at most 8192"),
    ({"process_res_method": "resize"}, "process_res_method is 'resize', must be one of"),
    ({"ref_view_strategy": None}, "ref_view_strategy is None, must be one of first"),
    ({"infer_gs": "no"}, "infer_gs is 'no', must be True or False"),
    ({"num_max_points": -1}, "num_max_points is -1, must be at least 0"),
    ({"conf_thresh_percentile": 150}, "conf_thresh_percentile is 150, must be at least 0 %"),
    ({"conf_thresh_percentile": np.nan}, "conf_thresh_percentile is nan, must be a number"),
    ({"feat_vis_fps": 0}, "feat_vis_fps is 0, must be at least 0.1 frames/s"),
    ({"show_cameras": None}, "show_cameras is None, must be True or False"),
    ({"export_feat_layers": 5}, "export_feat_layers is 5, must be a list"),
    ({"export_feat_layers": np.array([2, 40])}, "export_feat_layers holds 40, must be integers"),
    ({"export_feat_layers": np.array([0.5])}, "export_feat_layers holds .*0.5.*, must be a whole"),
    ({"export_format": ["glb"]}, r"export_format is \['glb'\], must be names joined with '-'"),
    ({"export_format": "glb-gbl"}, "export format 'gbl' is unknown"),
    ({"export_kwargs": "glb"}, "export_kwargs is 'glb', must be a dictionary"),
    ({"export_kwargs": {"glb": []}}, "options of glb must be a dictionary"),
    ({"extrinsics": spoiled(POSES, (1, 0, 3), np.nan)}, r"extrinsics\[1\]: contains NaN"),
    ({"extrinsics": POSES[:2]}, "extrinsics has 2 matrices for 3 images"),
    ({"extrinsics": POSES[:, None]}, r"extrinsics has shape \(3, 1, 4, 4\)"),
    ({"intrinsics": K[0]}, r"intrinsics has shape \(3, 3\), must be \(N, 3, 3\)"),
    ({"render_exts": POSES[:0]}, r"render_exts has shape \(0, 4, 4\)"),
    ({"render_exts": 2 * POSES}, r"render_exts\[0\]: last row must be 0 0 0 1"),
    ({"render_ixts": 0 * K}, r"render_ixts\[0\]: K has focal length fx=0"),
    ({"render_ixts": spoiled(K, (2, 0, 0), np.nan)}, r"render_ixts\[2\]: K must be a finite"),
    ({"render_ixts": K[:2]}, "render_ixts has 2 cameras, there are 3"),
    ({"render_exts": POSES[:2], "render_ixts": K}, "render_ixts has 3 cameras, render_exts 2"),
    ({"render_hw": (0, 0)}, r"render_hw is \(0, 0\), must be \(height, width\)"),
    ({"render_hw": 480}, "render_hw is 480, must be .height, width."),
    ({"render_hw": (480, 10**6)}, "render_hw is .480, 1000000., must be .height, width."),
    ({"image": PICTURES[0]}, r"image is one array of shape \(30, 40, 3\), .* write \[image\]"),
    ({"image": PICTURES[0][..., 0]}, r"image is one array of shape \(30, 40\)"),
    ({"image": np.zeros((3, 30, 40), np.uint8)}, "image is one array of shape"),
    ({"image": dict(enumerate(PICTURES))}, "image is a dict, must be a list of images"),
    ({"image": iter(PICTURES)}, "image is a .*iterator, must be a list of images"),
    ({"image": torch.zeros(3, 3, 30, 40)}, r"image\[0\] is a Tensor, must be a file name"),
    ({"image": PICTURES[:1], "extrinsics": None, "intrinsics": None,
      "export_kwargs": {"trj_mode": "interpolate"}}, "trj_mode is 'interpolate', a path between"),
]  # fmt: skip

WRONG_OPTIONS = {
    "glb": {
        **{"frame": "wolrd", "camera_size": -1, "conf_thresh": np.nan, "metadata": {"a": np.inf}},
        **{"ensure_thresh_percentile": 101, "filter_sky": "no", "export_depth_vis": 2},
    },
    "colmap": {"model": "txt", "images": ["a.png"], "num_max_points": 0.5},
    "gs_ply": {"gs_views_interval": 0, "prune_by_depth_percent": np.nan, "save_sh_dc_only": "x"},
    "gs_video": {
        **{"color_mode": "RGBD", "trj_mode": "fly", "vis_depth": "left", "video_quality": "best"},
        **{"output_name": "../x", "chunk_size": 0, "enable_tqdm": None, "out_image_hw": (5,)},
        **{"extrinsics": "here", "intrinsics": np.full((3, 3, 3), np.nan)},
    },
    "feat_vis": {"fps": 0},
    "depth_vis": {"percentile": 60, "legend": "yes"},
}
MISTAKES += [
    ({"export_kwargs": {format: {name: value}}}, name)
    for format, options in WRONG_OPTIONS.items()
    for name, value in options.items()
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES)
def test_a_mistake_is_named_and_leaves_nothing(tmp_path, arguments, said):
    with pytest.raises(ValueError, match=said) as caught:
        check(tmp_path / "new", **arguments)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("argument", ["num_max_points", "render_ixts", "export_kwargs"])
def test_a_mistake_is_one_without_files_too(argument):
    wrong = {"num_max_points": -1, "render_ixts": 0 * K, "export_kwargs": {"glb": {"frame": "w"}}}
    with pytest.raises(ValueError, match="frame" if argument == "export_kwargs" else argument):
        check(None, export_format="mini_npz", **{argument: wrong[argument]})


TAKEN = (
    *("exports/npz/results.npz", "scene.glb", "scene.jpg", "depth_vis/0001.jpg", "points.ply"),
    *("images/0000.png", "sparse/0/cameras.bin", "gs_video/0000_extend.mp4", "gs_ply/0000.ply"),
    *("feat_vis/feat_layer_1.mp4", "feat_vis/feat_layer_1/000000.jpg"),
)


def folder_cases(tmp_path):
    (tmp_path / "file").write_text("here")
    (tmp_path / "outside").mkdir()
    for name in ("linked", "deep", "taken"):
        (tmp_path / name).mkdir()
    for number, place in enumerate(TAKEN):
        (tmp_path / f"taken{number}" / place).mkdir(parents=True)
    (tmp_path / "linked" / "gs_video").symlink_to(tmp_path / "outside")
    (tmp_path / "deep" / "depth_vis").symlink_to("../../..")
    (tmp_path / "taken" / "feat_vis").write_text("a file")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    taken = {
        tmp_path / f"taken{number}": f"{place}' is a folder, where a file has to be; remove it"
        for number, place in enumerate(TAKEN)
    }
    return taken | {
        Path("/proc/nope"): "'/proc' may not be written to: ",
        tmp_path / "file": "file' is a file, not a folder",
        tmp_path / "file" / "below": "file' is a file, not a folder",
        tmp_path / "linked": "gs_video' is a link that leads out of it",
        tmp_path / "deep": "depth_vis' is a link that leads out of it",
        tmp_path / "taken": "feat_vis' is a file, not a folder",
        tmp_path / "circle": "circle",
        tmp_path / "loose": "loose' is a link to .*nowhere.*, which is not there; make that folder",
        tmp_path / "loose" / "below": "loose' is a link to .*nowhere",
        tmp_path / ("x" * 300): "which is not possible: File name too long",
        "a\0b": "which is not possible: ",
        "": "is '', must be the path of a folder",
        5: "is 5, must be the path of a folder",
        b"out": "is b'out', must be the path of a folder",
    }


def test_a_folder_that_cannot_be_is_named(tmp_path):
    for folder, said in folder_cases(tmp_path).items():
        with pytest.raises(ValueError, match=f"^export_dir .*{said}"):
            check(folder, export_format="-".join(FORMATS))
    assert not list(tmp_path.rglob(f"{UNFINISHED}*"))


@pytest.mark.parametrize("name", DEFAULTS)
@settings(max_examples=25)
@given(
    value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    | st.lists(st.floats() | st.text(max_size=3), max_size=3)
    | st.dictionaries(st.sampled_from([*FORMATS, "frame", "fps"]), st.floats() | st.none())
    | st.builds(np.full, st.lists(st.integers(0, 4), max_size=4), st.floats())
)  # fmt: skip
def test_anything_is_taken_or_named(tmp_path_factory, name, value):
    folder = tmp_path_factory.getbasetemp() / "never_made"
    try:
        check(folder, **{name: value})
    except ValueError as error:
        said = name.replace("export_format", "format").replace("export_kwargs", "")
        assert said in str(error).replace("export format", "format")
    assert not folder.exists()


OPTIONS = [(f, known) for f, about in FORMATS.items() for known in about.options.declared()]


@settings(max_examples=150)
@given(
    st.sampled_from(OPTIONS),
    st.none()
    | st.floats()
    | st.integers()
    | st.text(max_size=9)
    | st.lists(st.floats(), max_size=2),
)
def test_any_value_of_any_option_is_taken_or_named(option, value):
    format, known = option
    try:
        check(None, export_kwargs={format: {known.name: value}})
    except ValueError as error:
        assert known.name in str(error)


def test_pictures_that_are_files_are_named_in_colmap(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, picture in zip(files, PICTURES):
        Image.fromarray(picture).save(file)
    request = check(tmp_path / "out", image=files, export_format="colmap")
    assert request.exports["colmap"].images.sizes == [(30, 40)] * 3
    own = replace(request.exports["colmap"].images, names=["b", "c", "d"])
    kwargs = {"colmap": {"images": own}}
    request = check(tmp_path, image=files, export_format="colmap", export_kwargs=kwargs)
    assert request.exports["colmap"].images is own


def test_given_images_are_never_replaced(tmp_path):
    """Files, and pictures that Pillow has opened: by name, whatever is in them."""
    (tmp_path / "depth_vis").mkdir()
    for name in ("scene.jpg", "depth_vis/0000.jpg"):
        Image.fromarray(PICTURES[1]).save(tmp_path / name)
    for image in (tmp_path / "scene.jpg", Image.open(tmp_path / "scene.jpg")):
        with pytest.raises(ValueError, match="given image '.*scene.jpg' has the name of a file to"):
            check(tmp_path, image=[*PICTURES[:2], image], export_format="glb")
    check(tmp_path, export_format="glb")


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("given", ["names", "arrays"])
def test_pictures_of_a_colmap_project_stay(tmp_path, given, orientation):
    """Files are referred to; pictures would be written for arrays and for files turned upright."""
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x112] = orientation
    files = [tmp_path / "images" / f"{i:04d}.png" for i in range(3)]
    for file, picture in zip(files, PICTURES):
        Image.fromarray(picture).save(file, exif=exif)
    call = {"image": files if given == "names" else PICTURES, "export_format": "colmap"}
    call |= {"extrinsics": None, "intrinsics": None}
    if given == "names" and orientation == 1:
        assert check(tmp_path, **call).exports["colmap"].images is not None
        return
    said = "is not of an earlier export" if given == "arrays" else "has the name of a file to write"
    with pytest.raises(ValueError, match=f"images/0000.png' {said}"):
        check(tmp_path, **call)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([b"0.png", b"1.png", b"./0.png"], "the image '0.png' is given twice"),
        ([b"caf\xe9.png", b"1.png", b"2.png"], r"name 'caf\\udce9.png' is not UTF-8"),
    ],
)
def test_names_that_a_colmap_model_cannot_hold(tmp_path, names, said):
    files = [Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)) for name in names]
    for file, picture in zip(files, PICTURES):
        try:
            Image.fromarray(picture).save(file)
        except OSError:
            pytest.skip("the file system takes UTF-8 alone")
    with pytest.raises(ValueError, match=said):
        check(tmp_path / "out", image=files, export_format="colmap")
    assert check(tmp_path / "out", image=files, export_format="glb")
