"""Gaussian splats: the picture they make, the file they become, the film through them."""

from dataclasses import replace

import av
import numpy as np
import plyfile
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_scene import HEIGHT, WIDTH, prediction

from da3_ros.core import poses
from da3_ros.core.export import ExportError, camera_paths, export, splat
from da3_ros.core.export.camera_paths import MODES, CameraPath
from da3_ros.core.export.gaussians import moved, unbatched
from da3_ros.core.scale.align import Similarity, to_camera_poses
from da3_ros.net.gaussians import Gaussians
from da3_ros.net.spherical_harmonics import basis

SMALL = (36, 48)


def random_gaussians(count=60, seed=0):
    """In front of a camera at the origin that looks along +z; some behind it."""
    rng = torch.Generator().manual_seed(seed)
    means = torch.randn(count, 3, generator=rng) * torch.tensor([1.0, 0.8, 1.0])
    means[:, 2] += 3
    means[:3, 2] = -1
    return Gaussians(
        means=means,
        scales=0.02 + 0.25 * torch.rand(count, 3, generator=rng),
        rotations=torch.randn(count, 4, generator=rng),
        harmonics=0.6 * torch.randn(count, 3, 9, generator=rng),
        opacities=torch.rand(count, generator=rng),
    )


def camera(height, width):
    T = torch.from_numpy(poses.from_quat_xyzw([0.05, -0.08, 0.03, 0.995], [0.1, 0.0, 0.2])).float()
    K = torch.tensor([[40.0, 0, width / 2 + 1], [0, 42.0, height / 2 - 2], [0, 0, 1]])
    return T, K


def painted_by_hand(g, T, K, height, width):
    """The definition, pixel by pixel in float64: sort by depth, blend front to back."""
    g = Gaussians(**{k: v.double().numpy() for k, v in vars(g).items()})
    T, K = T.double().numpy(), K.double().numpy()
    image = np.zeros((height, width, 5))
    transmittance = np.ones((height, width))
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    centres = g.means @ T[:3, :3].T + T[:3, 3]
    eye = -T[:3, :3].T @ T[:3, 3]
    for i in np.argsort(centres[:, 2]):
        x, y, z = centres[i]
        if z < splat.NEAR:
            continue
        w, *xyz = g.rotations[i] / np.linalg.norm(g.rotations[i])
        R = poses.from_quat_xyzw([*xyz, w], np.zeros(3))[:3, :3]
        covariance = T[:3, :3] @ R @ np.diag(g.scales[i] ** 2) @ R.T @ T[:3, :3].T
        limits = [
            (K[a, 2] / K[a, a], (n - K[a, 2]) / K[a, a]) for a, n in ((0, width), (1, height))
        ]
        slack = [0.15 * n / K[a, a] for a, n in ((0, width), (1, height))]
        sx, sy = (np.clip(p / z, -lo - s, hi + s) for p, (lo, hi), s in zip((x, y), limits, slack))
        J = np.array([[K[0, 0] / z, 0, -K[0, 0] * sx / z], [0, K[1, 1] / z, -K[1, 1] * sy / z]])
        inverse = np.linalg.inv(J @ covariance @ J.T + 0.3 * np.eye(2))
        dx = np.stack([u - K[0, 0] * x / z - K[0, 2], v - K[1, 1] * y / z - K[1, 2]], axis=-1)
        alpha = g.opacities[i] * np.exp(-0.5 * np.einsum("hwi,ij,hwj->hw", dx, inverse, dx))
        alpha = np.minimum(alpha, 0.999)
        alpha[alpha < 1 / 255] = 0
        view = (g.means[i] - eye) / np.linalg.norm(g.means[i] - eye)
        shade = np.maximum(g.harmonics[i] @ basis(torch.from_numpy(view)).numpy() + 0.5, 0)
        weight = np.where(transmittance * (1 - alpha) > 1e-4, alpha * transmittance, 0)
        image += weight[..., None] * np.array([*shade, z, 1])
        transmittance *= 1 - alpha
    return image


@pytest.mark.parametrize(("height", "width"), [SMALL, (17, 33)])
def test_picture_follows_the_definition(height, width):
    gaussians, (T, K) = random_gaussians(), camera(height, width)
    picture = splat.render(gaussians, T, K, height, width)
    expected = painted_by_hand(gaussians, T, K, height, width)
    found = torch.cat([picture.rgb, picture.depth[..., None], picture.alpha[..., None]], dim=-1)
    # A splat may end at its box, where it is fainter than a grey level.
    assert np.abs(found.numpy() - expected).max() < 2 / 255
    assert np.abs(found.numpy() - expected).mean() < 1e-4


def test_nothing_in_view_is_black():
    gaussians, (T, K) = random_gaussians(3), camera(*SMALL)
    picture = splat.render(gaussians, T, K, *SMALL)
    assert picture.rgb.abs().max() == 0 and picture.expected_depth.abs().max() == 0


def test_one_splat_per_pixel_shows_the_image_and_depth_it_came_from():
    found = prediction(1, gaussians=True)
    T = torch.eye(4)
    T[:3] = torch.from_numpy(found.extrinsics[0])
    picture = splat.render(
        unbatched(found.gaussians), T, torch.from_numpy(found.intrinsics[0]), HEIGHT, WIDTH
    )
    middle = (slice(4, -4), slice(4, -4))
    error = np.abs(picture.rgb.numpy() - found.processed_images[0] / 255)[middle]
    assert np.median(error) < 0.02 and error.mean() < 0.05
    depth_error = np.abs(picture.expected_depth.numpy() - found.depth[0])[middle]
    assert np.median(depth_error) < 0.02


def test_a_moved_scene_looks_the_same_from_the_moved_camera():
    gaussians, (T, K) = random_gaussians(), camera(*SMALL)
    R = poses.from_quat_xyzw([0.5, -0.5, 0.5, 0.5], np.zeros(3))[:3, :3]
    similarity = Similarity(R, np.array([1.0, -2, 0.5]), 2.5)
    T_world_cam = to_camera_poses(T.numpy()[None])[0]
    T_moved = poses.compose(R @ T_world_cam[:3, :3], similarity.apply(T_world_cam[None, :3, 3])[0])
    T_moved = torch.from_numpy(poses.inverse(T_moved)).float()
    before = splat.render(gaussians, T, K, *SMALL)
    after = splat.render(moved(gaussians, similarity), T_moved, K, *SMALL)
    np.testing.assert_allclose(after.rgb, before.rgb, atol=5e-3)
    np.testing.assert_allclose(after.depth, 2.5 * before.depth, atol=2e-2)


@pytest.mark.gpu
def test_gsplat_draws_the_same_picture():
    pytest.importorskip("gsplat", reason="an extra: pip install .[gs]")
    gaussians = Gaussians(**{k: v.cuda() for k, v in vars(random_gaussians(2000)).items()})
    T, K = (x.cuda() for x in camera(270, 480))
    K[:2, :2] *= 10
    (theirs,) = splat.render_gsplat(gaussians, T[None], K[None], 270, 480)
    ours = splat.render(gaussians, T, K, 270, 480)
    assert (ours.rgb - theirs.rgb).abs().mean() < 1e-3
    assert (ours.rgb - theirs.rgb).abs().max() < 2 / 255
    assert (ours.expected_depth - theirs.expected_depth).abs().median() < 1e-3


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


def test_gs_ply_alone_makes_no_video(tmp_path):
    export(prediction(gaussians=True), "gs_ply", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["gs_ply"]


# ---- camera paths ----


def views(count=5):
    found = prediction(count)
    return CameraPath(to_camera_poses(found.extrinsics), np.float64(found.intrinsics))


@pytest.mark.parametrize("mode", MODES)
def test_paths_are_rigid_and_steady(mode):
    path = camera_paths.follow(views(), mode, 2.5)
    for T in path.T_world_cam:
        np.testing.assert_allclose(poses.rigid(T), T, atol=1e-6)
    steps = np.linalg.norm(np.diff(path.T_world_cam[:, :3, 3], axis=0), axis=1)
    assert len(path) == len(path.K) and steps.max() < 0.5


def test_interpolation_passes_through_every_view():
    given, path = views(), camera_paths.interpolate(views())
    for T in given.T_world_cam:
        assert np.abs(path.T_world_cam - T).max(axis=(1, 2)).min() < 1e-6
    assert len(path) == 4 * 12 + 1  # at least two seconds
    many = CameraPath(np.tile(given.T_world_cam, (20, 1, 1)), np.tile(given.K, (20, 1, 1)))
    assert len(camera_paths.interpolate(many)) <= camera_paths.FPS * camera_paths.MAX_SECONDS


@given(st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_smoothed_paths_are_rotations_however_the_views_turn(count, seed):
    """The mean of few, widely turned rotations is nearer to a reflection than to any of them."""
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
    R = camera_paths.smooth(CameraPath(T, np.tile(np.eye(3), (count, 1, 1)))).T_world_cam[:, :3, :3]
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-9)
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), np.eye(3) + np.zeros_like(R), atol=1e-9)


def test_smoothing_calms_a_trembling_hand():
    given = camera_paths.interpolate(views())
    shake = np.random.default_rng(0).normal(scale=0.02, size=(len(given), 3))
    T = given.T_world_cam.copy()
    T[:, :3, 3] += shake

    def jerk(path):
        return np.abs(np.diff(path.T_world_cam[:, :3, 3], 3, axis=0)).mean()

    assert jerk(camera_paths.smooth(CameraPath(T, given.K))) < 0.05 * jerk(CameraPath(T, given.K))


def test_dolly_zoom_keeps_the_size_of_what_is_in_focus():
    view, focus = views(1), 2.5
    path = camera_paths.dolly_zoom(view, focus)
    target = view.T_world_cam[0] @ np.array([[0.4, 0.1, focus, 1], [-0.4, 0.1, focus, 1]]).T
    pixels = path.K @ (poses.inverse(path.T_world_cam) @ target)[:, :3]
    pixels = pixels[:, :2] / pixels[:, 2:]
    np.testing.assert_allclose(pixels, np.broadcast_to(pixels[0], pixels.shape), atol=1e-9)
    assert np.linalg.norm(np.diff(path.T_world_cam[:, :3, 3], axis=0), axis=1).sum() > 1


def test_wandering_ends_where_it_began():
    path = camera_paths.wander(views(1), 2.5)
    np.testing.assert_array_equal(path.T_world_cam[0], path.T_world_cam[-1])
    aside = path.T_world_cam[:, :3, 3] - path.T_world_cam[0, :3, 3]
    moved_pixels = np.linalg.norm(aside @ path.T_world_cam[0, :3, 0][:, None], axis=1) * 80 / 2.5
    assert moved_pixels.max() == pytest.approx(24, rel=0.01)


def test_one_view_extends_but_cannot_be_interpolated():
    assert len(camera_paths.follow(views(1), "extend", 2.5)) > 48
    with pytest.raises(ValueError, match="needs at least 2 of them; use wander or dolly_zoom"):
        camera_paths.follow(views(1), "interpolate", 2.5)
    with pytest.raises(ValueError, match="trj_mode is 'fly', must be one of original"):
        camera_paths.follow(views(1), "fly", 2.5)


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


def test_gaussians_of_several_scenes_are_refused():
    gaussians = random_gaussians(4)
    batch = Gaussians(**{k: torch.stack([v, v]) for k, v in vars(gaussians).items()})
    with pytest.raises(ValueError, match="one scene, got 2"):
        unbatched(batch)


def test_unknown_interval_is_refused(tmp_path):
    with pytest.raises(ExportError, match="'views_interval' is unknown to gs_ply"):
        export(prediction(gaussians=True), "gs_ply", tmp_path, {"views_interval": 2})
    with pytest.raises(ValueError, match="gs_views_interval is 0"):
        export(prediction(gaussians=True), "gs_ply", tmp_path, {"gs_views_interval": 0})
