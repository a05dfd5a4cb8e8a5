"""Gaussian splats as files: the PLY, and the film through them."""

import re
from dataclasses import replace

import av
import numpy as np
import plyfile
import pytest
import torch
from small_scene import HEIGHT, WIDTH, prediction, random_gaussians

from da3_ros.core import poses
from da3_ros.core.export import ExportError, camera_paths, export, splat
from da3_ros.core.export.camera_paths import MODES, CameraPath
from da3_ros.core.gaussians import moved, unbatched
from da3_ros.core.scale.align import Similarity, to_camera_poses
from da3_ros.net.gaussians import Gaussians

# ---- gs_ply ----


def with_random_gaussians():
    found = prediction()
    gaussians = random_gaussians(found.depth.size)
    return replace(found, gaussians=Gaussians(**{k: v[None] for k, v in vars(gaussians).items()}))


KEEP_ALL = {"prune_border_gs": False, "prune_by_depth_percent": 1.0, "filter_sky": False}


def test_gs_ply_is_the_standard_layout(tmp_path):
    found = with_random_gaussians()
    (path,) = export(found, "gs_ply", tmp_path, KEEP_ALL)
    assert path == tmp_path / "gs_ply" / "0000.ply"
    vertices = plyfile.PlyData.read(path)["vertex"]
    rest = [f"f_rest_{i}" for i in range(45)]  # degree three: some viewers read nothing else
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *rest, "opacity"]
    names += [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)]
    assert list(vertices.data.dtype.names) == names
    g = unbatched(found.gaussians)
    columns = {n: torch.from_numpy(vertices[n].copy()) for n in names}
    stacked = torch.stack([columns[f"scale_{i}"] for i in range(3)], dim=-1)
    torch.testing.assert_close(stacked.exp(), g.scales)
    torch.testing.assert_close(columns["opacity"].sigmoid(), g.opacities, atol=2e-6, rtol=1e-5)
    assert torch.equal(columns["rot_0"], g.rotations[:, 0])
    # Channel after channel: all of red's coefficients, then green's, then blue's.
    for channel in range(3):
        assert torch.equal(columns[f"f_dc_{channel}"], g.harmonics[:, channel, 0])
        assert torch.equal(columns[f"f_rest_{15 * channel + 3}"], g.harmonics[:, channel, 4])
        assert not any(columns[f"f_rest_{15 * channel + i}"].any() for i in range(8, 15))


def test_gs_ply_read_back_draws_the_same_picture(tmp_path):
    found = prediction(gaussians=True)
    (path,) = export(found, "gs_ply", tmp_path, KEEP_ALL)
    v = plyfile.PlyData.read(path)["vertex"]

    def column(*names):
        return torch.from_numpy(np.stack([v[n] for n in names], axis=-1))

    f_rest = column(*(f"f_rest_{i}" for i in range(45))).view(-1, 3, 15)[..., :8]
    f_dc = column("f_dc_0", "f_dc_1", "f_dc_2")[..., None]
    read = Gaussians(
        means=column("x", "y", "z"),
        scales=column("scale_0", "scale_1", "scale_2").exp(),
        rotations=column("rot_0", "rot_1", "rot_2", "rot_3"),
        harmonics=torch.cat([f_dc, f_rest], dim=-1),
        opacities=column("opacity")[:, 0].sigmoid(),
    )
    T = torch.eye(4)
    T[:3] = torch.from_numpy(found.extrinsics[1])
    K = torch.from_numpy(found.intrinsics[1]) / 3
    size = (HEIGHT // 3, WIDTH // 3)
    expected = splat.render(unbatched(found.gaussians), T, K, *size).rgb
    torch.testing.assert_close(splat.render(read, T, K, *size).rgb, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, 3 * HEIGHT * WIDTH),
        ({"gs_views_interval": 2}, 2 * HEIGHT * WIDTH),
        ({"gs_views_interval": None}, 3 * HEIGHT * WIDTH),
        ({"prune_border_gs": True}, 3 * (HEIGHT - 4) * (WIDTH - 6)),
        ({"prune_by_depth_percent": 0.5}, None),
        ({"filter_sky": True}, None),
        ({"save_sh_dc_only": True}, 3 * HEIGHT * WIDTH),
    ],
)
def test_gs_ply_keeps_what_the_options_say(tmp_path, options, kept):
    found = prediction(gaussians=True)
    if "filter_sky" in options:
        kept = int((found.sky < 0.3).sum())
    if "prune_by_depth_percent" in options:
        kept = int((found.depth <= np.quantile(found.depth, 0.5, axis=(1, 2))[:, None, None]).sum())
    (path,) = export(found, "gs_ply", tmp_path, KEEP_ALL | options)
    vertices = plyfile.PlyData.read(path)["vertex"]
    assert len(vertices) == kept
    assert ("f_rest_0" in vertices.data.dtype.names) != ("save_sh_dc_only" in options)


PLACE = np.array([512345.37, 5404321.62, 431.18])  # UTM


def there(found):
    """The same prediction at `PLACE`."""
    extrinsics = np.stack([poses.rigid(T)[:3] for T in found.extrinsics])
    extrinsics[:, :, 3] -= extrinsics[:, :, :3] @ PLACE
    at_place = Similarity(np.eye(3), PLACE, None)
    return replace(found, extrinsics=extrinsics, gaussians=moved(found.gaussians, at_place))


def test_far_gaussians_keep_their_millimetres(tmp_path):
    """In float32 around an origin that the header names; near by there is none."""
    found = prediction(gaussians=True)
    near, far = (
        plyfile.PlyData.read(export(scene, "gs_ply", tmp_path / name, KEEP_ALL)[0])
        for name, scene in (("near", found), ("far", there(found)))
    )
    assert near.comments == ["world frame, metre"]
    (_, comment) = far.comments
    origin = [float(word) for word in re.match("origin (.*), to be", comment)[1].split()]
    for axis, place, start in zip("xyz", PLACE, origin):
        assert far["vertex"][axis].dtype == np.float32
        moved_by = np.float64(far["vertex"][axis]) + start - near["vertex"][axis]
        np.testing.assert_allclose(moved_by, place, rtol=0, atol=1e-4)


def test_gs_ply_alone_makes_no_video(tmp_path):
    export(prediction(gaussians=True), "gs_ply", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["gs_ply"]


def test_unknown_interval_is_refused(tmp_path):
    with pytest.raises(ExportError, match="'views_interval' is unknown to gs_ply"):
        export(prediction(gaussians=True), "gs_ply", tmp_path, {"views_interval": 2})
    with pytest.raises(ValueError, match="gs_views_interval is 0"):
        export(prediction(gaussians=True), "gs_ply", tmp_path, {"gs_views_interval": 0})


# ---- gs_video ----


def film(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 24
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def few():
    """Every fourth pixel of two views, three times as wide: quick to draw."""
    found = prediction(2, gaussians=True)
    thinned = {k: v[:, ::16] for k, v in vars(found.gaussians).items()}
    thinned["scales"] = thinned["scales"] * 5
    return replace(found, gaussians=Gaussians(**thinned))


def make(found, folder, **options):
    options = {"out_image_hw": (28, 42), "enable_tqdm": False, "video_quality": "low"} | options
    (path,) = export(found, "gs_video", folder, {"gs_video": options})
    return path, film(path)


@pytest.mark.parametrize("mode", [m for m in MODES if m != "extend"])
def test_gs_video_follows_every_mode(few, tmp_path, mode):
    path, frames = make(few, tmp_path, trj_mode=mode, vis_depth=None)
    assert path == tmp_path / "gs_video" / f"0000_{mode}.mp4"
    given = CameraPath(to_camera_poses(few.extrinsics), np.float64(few.intrinsics))
    assert len(frames) == len(camera_paths.follow(given, mode, 2.5))
    assert all(f.shape == (28, 42, 3) and f.std() > 5 for f in frames)


def test_gs_video_of_a_far_world_is_that_of_a_near_one(few, tmp_path):
    options = {"trj_mode": "wander", "vis_depth": None}
    _, near = make(few, tmp_path / "near", **options)
    _, far = make(there(few), tmp_path / "far", **options)
    for a, b in zip(near, far, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 1


def test_gs_video_extends_by_default(few, tmp_path):
    path, frames = make(few, tmp_path, vis_depth="none", out_image_hw=(14, 20))
    assert path.name == "0000_extend.mp4" and len(frames) == 48 + 1 + 38 + 36


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"vis_depth": "hcat"}, (28, 42 + 8 + 42)),
        ({"vis_depth": "vcat", "color_mode": "RGB+D"}, (28 + 8 + 28, 42)),
        ({"vis_depth": None, "out_image_hw": (27, 41), "chunk_size": None}, (28, 42)),
        ({"out_image_hw": None, "vis_depth": None, "chunk_size": 1}, (HEIGHT, WIDTH)),
        ({"color_mode": "RGB"}, (28, 42)),
        ({"color_mode": "D", "vis_depth": "vcat"}, (28, 42)),
        ({"color_mode": "ED", "vis_depth": None}, (28, 42)),
    ],
)
def test_gs_video_layouts(few, tmp_path, options, shape):
    path, frames = make(few, tmp_path, trj_mode="original", output_name="flight", **options)
    assert path.name == "flight.mp4" and frames[0].shape == (*shape, 3) and len(frames) == 2


def test_gs_video_shows_the_parts_that_the_color_mode_names(few, tmp_path):
    """The joined film is its parts side by side; depth as sum is not depth as mean."""
    pictures = {}
    thin = replace(few.gaussians, opacities=0.2 * few.gaussians.opacities)
    for mode in ("RGB", "D", "ED", "RGB+D", "RGB+ED"):
        thin_few = replace(few, gaussians=thin)
        _, films = make(thin_few, tmp_path / mode, trj_mode="original", color_mode=mode)
        pictures[mode] = films[0].astype(float)
    for kind in ("D", "ED"):
        joined = pictures[f"RGB+{kind}"]
        for part, there in ((pictures["RGB"], joined[:, :42]), (pictures[kind], joined[:, 50:])):
            assert np.abs(part - there).mean() < 12  # an encoder at low quality
    assert np.abs(pictures["D"] - pictures["ED"]).mean() > 12
    assert np.abs(pictures["RGB"] - pictures["ED"]).mean() > 12


def test_gs_video_shows_what_the_cameras_saw(tmp_path):
    found = prediction(2, gaussians=True)
    _, frames = make(
        found,
        tmp_path,
        trj_mode="original",
        vis_depth=None,
        out_image_hw=None,
        video_quality="high",
    )
    error = np.abs(frames[1].astype(int) - found.processed_images[1])[4:-4, 4:-4]
    assert np.median(error) < 8


def test_gs_video_renders_the_views_asked_for(few, tmp_path):
    extrinsics = np.float64(few.extrinsics)[[1, 0, 1]]
    K = few.intrinsics[[0] * 3] * np.array([42 / WIDTH, 28 / HEIGHT, 1])[:, None]
    _, frames = make(few, tmp_path, extrinsics=extrinsics, vis_depth=None)
    _, same = make(few, tmp_path, extrinsics=extrinsics, intrinsics=K, vis_depth=None)
    assert len(frames) == len(same) == 3
    _, originals = make(few, tmp_path, trj_mode="original", vis_depth=None)

    def apart(a, b):
        return np.abs(np.subtract(a, b, dtype=float)).mean()

    # A last bit of a matrix product can tip the encoder: films are compared, not bytes.
    between_views = apart(*originals)
    assert apart(frames, same) < 0.5 * between_views
    assert apart(frames[1], originals[0]) < 0.7 * between_views
    with pytest.raises(ValueError, match="render_ixts has 2 cameras, render_exts 3"):
        make(few, tmp_path, extrinsics=extrinsics, intrinsics=K[:2])


def test_gs_video_quality_costs_bytes(few, tmp_path):
    sizes = []
    for quality in ("low", "medium", "high"):
        path, _ = make(few, tmp_path, trj_mode="original", video_quality=quality)
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]


def test_gs_video_shows_progress_when_asked(few, tmp_path, capsys):
    make(few, tmp_path, trj_mode="original", enable_tqdm=True)
    assert "gs_video" in capsys.readouterr().err
    make(few, tmp_path, trj_mode="original")
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"color_mode": "RGBD"}, "color_mode is 'RGBD', must be one of RGB, D, ED, RGB"),
        ({"vis_depth": "left"}, "vis_depth is 'left'"),
        ({"video_quality": "best"}, "video_quality is 'best'"),
        ({"chunk_size": 0}, "chunk_size is 0, must be at least 1"),
        ({"output_name": "../x"}, "output_name is '../x'"),
        ({"trj_mode": "fly"}, "trj_mode is 'fly'"),
        ({"out_image_hw": (0, 0)}, r"out_image_hw is \(0, 0\)"),
    ],
)
def test_gs_video_refuses_in_words(few, tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        make(few, tmp_path, **options)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
