"""Every export, read back by a library that is not ours."""

import json
import shutil
import subprocess
from dataclasses import replace

import av
import numpy as np
import plyfile
import pytest
import trimesh
from PIL import Image
from small_scene import HEIGHT, WALL_Y, WIDTH, prediction

from da3_ros.core import colormap, poses
from da3_ros.core.export import FORMATS, ExportError, export
from da3_ros.core.export.colmap import SourceImages
from da3_ros.core.files.srgb import linear_rgb


@pytest.fixture(scope="module")
def found():
    return prediction(gaussians=True)


def video_frames(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        return frames, stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate


# ---- the export function ----


def test_writes_all_formats_at_once_and_leaves_nothing_half_done(found, tmp_path):
    formats = [name for name in FORMATS if name != "gs_video"]
    paths = export(found, "-".join(formats), tmp_path / "new" / "folder")
    on_disk = {p for p in tmp_path.rglob("*") if p.is_file()}
    # depth_vis is written twice: by itself and beside the glb.
    assert set(paths) == on_disk and all(p.stat().st_size > 0 for p in on_disk)
    assert not [p for p in on_disk if p.name.startswith(".")]


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_is_where_its_format_says(found, tmp_path, name):
    options = {"colmap": {"model": "both"}} if name == "colmap" else {}
    declared = [tmp_path / pattern for pattern in FORMATS[name].files]
    for path in export(found, name, tmp_path, options):
        assert any(path.match(str(pattern)) for pattern in declared)


@pytest.mark.parametrize(
    ("formats", "options", "said"),
    [
        ("glb-xyz", {}, "'xyz' is unknown; use mini_npz, npz"),
        ("", {}, "'' is unknown"),
        ("glb", {"colour": 1}, "'colour' is unknown to glb; glb has conf_thresh_percentile"),
        ("ply", {"ply": {"show_cameras": True}}, "'show_cameras' is unknown to ply"),
        ("npz", {"fps": 3}, "npz has no options"),
    ],
)
def test_says_which_format_or_option_does_not_exist(found, tmp_path, formats, options, said):
    with pytest.raises(ExportError, match=said):
        export(found, formats, tmp_path, options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("lacking", "formats", "said"),
    [
        ({"extrinsics": None}, "mini_npz-glb", "needs camera poses"),
        ({"gaussians": None}, "gs_ply", "needs Gaussians"),
        ({"aux": {}}, "feat_vis", "needs features"),
        ({"processed_images": None}, "ply", "processed_images"),
    ],
)
def test_says_what_the_prediction_lacks_before_writing(found, tmp_path, lacking, formats, said):
    with pytest.raises(ExportError, match=said):
        export(replace(found, **lacking), formats, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_option_at_the_top_goes_to_every_format_that_has_it(found, tmp_path):
    export(found, "glb-ply-npz", tmp_path, {"num_max_points": 50, "glb": {"show_cameras": False}})
    assert len(plyfile.PlyData.read(tmp_path / "points.ply")["vertex"]) == 50
    (cloud,) = trimesh.load(tmp_path / "scene.glb").geometry.values()
    assert len(cloud.vertices) == 50


@pytest.fixture
def full_disk():
    """Files end after 5 kB, as if the disk were full there."""
    resource = pytest.importorskip("resource", reason="file size limits are a POSIX thing")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("gs_video", "depth_vis")])
def test_a_full_disk_is_an_error_and_leaves_no_file(found, tmp_path, full_disk, name):
    with pytest.raises(OSError, match="File too large"):
        export(found, name, tmp_path, {"glb": {"export_depth_vis": False}})
    assert not [p for p in tmp_path.rglob("*") if p.stat().st_size > 5000 or p.name[0] == "."]


# ---- arrays ----


def test_mini_npz_holds_the_very_numbers_under_both_public_names(found, tmp_path):
    (path,) = export(found, "mini_npz", tmp_path)
    assert path == tmp_path / "exports" / "mini_npz" / "results.npz"
    with np.load(path) as file:
        assert set(file) == {"depth", "conf", "extrinsics", "intrinsics", "exts", "ixts"}
        for name in ("depth", "conf", "extrinsics", "intrinsics"):
            np.testing.assert_array_equal(file[name], getattr(found, name))
        np.testing.assert_array_equal(file["exts"], found.extrinsics)
        np.testing.assert_array_equal(file["ixts"], found.intrinsics)


def test_npz_adds_images_sky_and_features(found, tmp_path):
    (path,) = export(found, "npz", tmp_path)
    with np.load(path) as file:
        np.testing.assert_array_equal(file["image"], found.processed_images)
        np.testing.assert_array_equal(file["sky"], found.sky)
        np.testing.assert_array_equal(file["feat_layer_3"], found.aux["feat_layer_3"])
        assert file["is_metric"]


def test_npz_leaves_out_what_a_one_view_model_does_not_have(found, tmp_path):
    alone = replace(found, conf=None, extrinsics=None, intrinsics=None)
    (path,) = export(alone, "mini_npz", tmp_path)
    assert set(np.load(path)) == {"depth"}


# ---- ply and colmap ----


def test_ply_points_lie_on_the_surfaces_they_show(found, tmp_path):
    (path,) = export(found, "ply", tmp_path)
    vertices = plyfile.PlyData.read(path)["vertex"].data
    x, y, z = (vertices[a].astype(float) for a in "xyz")
    ball = np.hypot(np.hypot(x - 0.2, y - 2.5), z - 0.5) - 0.5
    distance = np.min(np.abs([z, y - WALL_Y, ball]), axis=0)
    assert len(vertices) > 5000 and distance.max() < 1e-4
    red = vertices["red"][np.abs(ball) < 1e-4]
    assert np.median(red) > 120  # the ball is red


@pytest.mark.parametrize("model", ["binary", "text"])
def test_colmap_reads_its_model_without_reprojection_error(found, tmp_path, model):
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is a test-only reader")
    options = {"model": model, "num_max_points": 700}
    paths = export(found, "colmap", tmp_path, options)
    reconstruction = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert len(reconstruction.points3D) == 700 and len(reconstruction.images) == 3
    assert reconstruction.compute_mean_reprojection_error() < 1e-3
    for i, image in sorted(reconstruction.images.items()):
        pose = image.cam_from_world().matrix()
        np.testing.assert_allclose(pose, found.extrinsics[i - 1], atol=1e-6)
        picture = np.array(Image.open(tmp_path / "images" / image.name))
        np.testing.assert_array_equal(picture, found.processed_images[i - 1])
    assert all(p.exists() for p in paths)


def test_colmap_has_no_skew_and_that_is_said(found, tmp_path, recwarn):
    def skewed(view, pixels):
        K = found.intrinsics.copy()
        K[view, 0, 1] = pixels
        return replace(found, intrinsics=K)

    export(skewed(1, 1e-3), "colmap", tmp_path)
    assert not recwarn
    K = found.intrinsics[1]
    beside = 4 / K[1, 1] * max(K[1, 2], HEIGHT - 1 - K[1, 2])
    with pytest.warns(UserWarning, match=f"that of view 1 is left out.* up to {beside:.1f} px"):
        export(skewed(1, 4), "colmap", tmp_path)


def test_colmap_refers_to_the_source_images_at_their_own_size(found, tmp_path):
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is a test-only reader")
    # The network saw the middle of the pictures at half size.
    matrix = np.array([[0.5, 0, -10], [0, 0.5, -4], [0, 0, 1]])
    names = ["a.jpg", "b.jpg", "c.jpg"]
    source = SourceImages(names, [(200, 300)] * 3, np.tile(matrix, (3, 1, 1)))
    export(found, "colmap", tmp_path, {"images": source})
    reconstruction = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert sorted(i.name for i in reconstruction.images.values()) == names
    camera = reconstruction.cameras[1]
    assert (camera.width, camera.height) == (300, 200)
    np.testing.assert_allclose(camera.params, [160, 164, 117, 77], rtol=1e-6)
    assert reconstruction.compute_mean_reprojection_error() < 1e-3


FAR = {"UTM": (512345.37, 5404321.62, 431.18), "ECEF": (4177423.1, 855213.7, 4728911.9)}


@pytest.mark.parametrize("place", FAR.values(), ids=FAR)
def test_far_worlds_keep_their_millimetres(found, tmp_path, place):
    """The same scene there and at home: PLY, COLMAP and GLB differ by the place alone."""
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is a test-only reader")
    extrinsics = np.stack([poses.rigid(T)[:3] for T in found.extrinsics])
    home = replace(found, extrinsics=extrinsics.copy())
    extrinsics[:, :, 3] -= extrinsics[:, :, :3] @ place
    clouds = {}
    for name, scene in (("home", home), ("far", replace(found, extrinsics=extrinsics))):
        folder = tmp_path / name
        options = {"colmap": {"model": "both"}, "glb": {"frame": "world"}}
        export(scene, "ply-colmap-glb", folder, options)
        vertices = plyfile.PlyData.read(folder / "points.ply")["vertex"].data
        shown, cloud = load_cloud(folder / "scene.glb")
        T_world_gltf = np.array(shown.metadata["T_world_gltf"])
        text = np.loadtxt(folder / "sparse/0/points3D.txt", usecols=(0, 1, 2, 3))
        (folder / "binary").mkdir()
        for part in (folder / "sparse" / "0").glob("*.bin"):
            shutil.copy(part, folder / "binary")
        points = pycolmap.Reconstruction(folder / "binary").points3D
        clouds[name] = {
            "ply": np.stack([np.float64(vertices[a]) for a in "xyz"], axis=-1),
            "text": text[np.argsort(text[:, 0]), 1:],
            "binary": np.stack([points[i].xyz for i in sorted(points)]),
            "glb": trimesh.transform_points(
                cloud.vertices, T_world_gltf @ shown.graph[shown.graph.nodes_geometry[0]][0]
            ),
        }
    for kind in clouds["home"]:
        error = clouds["far"][kind] - clouds["home"][kind] - place
        assert np.abs(error).max() < 1e-4, kind


# ---- glb ----


def load_cloud(path):
    scene = trimesh.load(path)
    clouds = [g for g in scene.geometry.values() if isinstance(g, trimesh.PointCloud)]
    return scene, clouds[0]


def test_glb_carries_its_points_back_to_the_world(found, tmp_path):
    paths = export(found, "glb-ply", tmp_path)
    scene, cloud = load_cloud(tmp_path / "scene.glb")
    T_world_gltf = np.array(scene.metadata["T_world_gltf"])
    np.testing.assert_allclose(
        T_world_gltf @ np.array(scene.metadata["hf_alignment"]), np.eye(4), atol=1e-9
    )
    world = trimesh.transform_points(cloud.vertices, T_world_gltf)
    vertices = plyfile.PlyData.read(tmp_path / "points.ply")["vertex"].data
    np.testing.assert_allclose(world, np.stack([vertices[a] for a in "xyz"], -1), atol=1e-5)
    np.testing.assert_allclose(np.median(cloud.vertices, axis=0), 0, atol=1e-6)
    assert {p.name for p in paths} >= {"scene.glb", "scene.jpg", "0002.jpg"}


def test_glb_first_camera_looks_along_minus_z_with_y_up(found, tmp_path):
    export(found, "glb", tmp_path, {"filter_sky": False, "conf_thresh_percentile": 0})
    scene, cloud = load_cloud(tmp_path / "scene.glb")
    T_gltf_world = np.linalg.inv(scene.metadata["T_world_gltf"])
    up_and_ahead = T_gltf_world[:3, :3] @ np.array([[0, 0, 1.0], [0, 1.0, 0]]).T
    assert up_and_ahead[1, 0] == pytest.approx(1, abs=1e-6)
    assert up_and_ahead[2, 1] < -0.9


@pytest.mark.parametrize("shift", [0.0, 5e5])
def test_glb_in_the_world_frame_keeps_world_coordinates(found, tmp_path, shift):
    extrinsics = np.stack([poses.rigid(T)[:3] for T in found.extrinsics])
    offset = np.array([shift, 2 * shift, 0])
    extrinsics[:, :, 3] -= extrinsics[:, :, :3] @ offset
    moved = replace(found, extrinsics=extrinsics)
    metadata = {"frame_id": "map"}
    options = {"frame": "world", "metadata": metadata, "export_depth_vis": False}
    assert export(moved, "glb", tmp_path, {"glb": options}) == [tmp_path / "scene.glb"]
    scene, cloud = load_cloud(tmp_path / "scene.glb")
    assert scene.metadata["frame_id"] == "map" and scene.metadata["unit"] == "m"
    node = next(n for n in scene.graph.nodes_geometry if scene.graph[n][1].startswith("points"))
    shown = trimesh.transform_points(cloud.vertices, scene.graph[node][0])
    world = trimesh.transform_points(shown, np.array(scene.metadata["T_world_gltf"]))
    y = world[:, 1] - offset[1]
    ball = np.linalg.norm(world - offset - [0.2, 2.5, 0.5], axis=1) - 0.5
    assert np.min(np.abs([world[:, 2], y - WALL_Y, ball]), axis=0).max() < 1e-4
    if shift == 0:
        np.testing.assert_allclose(world, cloud.vertices, atol=1e-6)
        np.testing.assert_allclose(shown[:, 1], cloud.vertices[:, 2], atol=1e-6)  # z up shows as y


def test_glb_cameras_are_one_draw_call_at_the_right_places(found, tmp_path):
    export(found, "glb", tmp_path, {"frame": "world", "camera_size": 0.1})
    scene = trimesh.load(tmp_path / "scene.glb")
    (lines,) = [g for g in scene.geometry.values() if isinstance(g, trimesh.path.Path3D)]
    R, t = found.extrinsics[:, :, :3], found.extrinsics[:, :, 3]
    centres = -np.einsum("nji,nj->ni", R, t)
    for centre in centres:
        assert np.linalg.norm(lines.vertices - centre, axis=1).min() < 1e-5
    assert tree(tmp_path / "scene.glb")["meshes"][1]["primitives"][0]["mode"] == 1
    export(found, "glb", tmp_path, {"show_cameras": False})
    assert len(tree(tmp_path / "scene.glb")["meshes"]) == 1


def tree(path):
    data = path.read_bytes()
    return json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])


def test_glb_colors_are_linear_and_unlit(found, tmp_path):
    # sRGB 188 is half of the light, within a step.
    assert linear_rgb(np.uint8([[0, 188, 255]]))[0].tolist() == [0, pytest.approx(0.5, rel=0.01), 1]
    export(replace(found, conf=None), "glb", tmp_path, {"filter_sky": False})
    document = tree(tmp_path / "scene.glb")
    assert document["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
    _, cloud = load_cloud(tmp_path / "scene.glb")
    linear = cloud.colors[:, :3] / 255  # trimesh rounds to bytes
    expected = ((found.processed_images.reshape(-1, 3) / 255 + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(linear, expected, atol=0.6 / 255)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"conf_thresh_percentile": 0, "filter_sky": False}, 1.0),
        ({"conf_thresh_percentile": 50, "filter_sky": False}, 0.5),
        ({"conf_thresh_percentile": 100, "filter_sky": False}, 0.1),
    ],
)
def test_glb_confidence_percentile_keeps_its_share(found, tmp_path, options, kept):
    conf = np.random.default_rng(0).uniform(1.1, 9, found.depth.shape).astype(np.float32)
    export(replace(found, conf=conf), "glb", tmp_path, options)
    _, cloud = load_cloud(tmp_path / "scene.glb")
    assert len(cloud.vertices) == pytest.approx(kept * conf.size, rel=1e-3)


def test_glb_filters_drop_sky_black_and_white(found, tmp_path):
    images = found.processed_images.copy()
    images[:, 60:, :10] = 3
    images[:, 60:, -10:] = 250
    painted = replace(found, processed_images=images, conf=None)
    counts = []
    for option in ("export_depth_vis", "filter_black_bg", "filter_white_bg", "filter_sky"):
        options = {"filter_sky": False, "export_depth_vis": False} | {option: True}
        export(painted, "glb", tmp_path, options)
        counts.append(len(load_cloud(tmp_path / "scene.glb")[1].vertices))
    everything, corner = found.depth.size, 3 * 10 * 10
    sky = int((found.sky > 0.3).sum())
    assert counts == [everything, everything - corner, everything - corner, everything - sky]
    np.testing.assert_array_equal(painted.processed_images, images)


def test_glb_of_nothing_but_sky_still_shows_the_cameras(found, tmp_path):
    nothing = replace(found, depth=np.full_like(found.depth, np.nan))
    export(nothing, "glb-ply-colmap-depth_vis", tmp_path)
    assert tree(tmp_path / "scene.glb")["meshes"][0]["name"] == "cameras"
    assert len(plyfile.PlyData.read(tmp_path / "points.ply")["vertex"]) == 0
    export(nothing, "glb", tmp_path, {"show_cameras": False})
    assert "meshes" not in tree(tmp_path / "scene.glb")


@pytest.fixture(scope="session")
def gltf_validator(tmp_path_factory):
    if not shutil.which("npm"):
        pytest.skip("npm is not installed, and the Khronos validator comes from it")
    folder = tmp_path_factory.mktemp("npm")
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "gltf-validator"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot install gltf-validator here: {done.stderr.strip()[-200:]}")
    script = (
        "require('gltf-validator').validateBytes(new Uint8Array(require('fs')"
        ".readFileSync(process.argv[1]))).then(r => console.log(JSON.stringify(r.issues)))"
    )
    return lambda path: json.loads(
        subprocess.run(
            ["node", "-e", script, str(path)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
        ).stdout
    )


def test_glb_passes_the_khronos_validator(found, tmp_path, gltf_validator):
    nothing = replace(found, depth=np.full_like(found.depth, np.nan))
    cases = [
        (found, {}),
        (found, {"frame": "world", "metadata": {"frame_id": "map"}}),
        (found, {"show_cameras": False, "num_max_points": 1}),
        (nothing, {}),
        (nothing, {"show_cameras": False}),
    ]
    for scene, options in cases:
        export(scene, "glb", tmp_path, {"glb": options})
        issues = gltf_validator(tmp_path / "scene.glb")
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


# ---- pictures and videos ----


def test_depth_vis_shows_image_depth_and_a_legend_in_metres(found, tmp_path):
    paths = export(found, "depth_vis", tmp_path)
    assert [p.name for p in paths] == ["0000.jpg", "0001.jpg", "0002.jpg"]
    picture = np.array(Image.open(paths[0]))
    assert picture.shape == (HEIGHT, 2 * WIDTH + 72, 3)
    assert np.abs(picture[:, :WIDTH].astype(int) - found.processed_images[0]).mean() < 6
    export(replace(found, is_metric=False), "depth_vis", tmp_path)
    assert np.array(Image.open(paths[0])).shape == (HEIGHT, 2 * WIDTH, 3)


def test_depth_colors_run_from_red_to_violet_and_mark_the_unknown():
    depth = np.array([1.0, 1.5, 4.0, np.nan, -1, np.inf])
    colors = colormap.color_depth(depth, 1.0, 4.0)
    np.testing.assert_array_equal(colors[0], colormap.SPECTRAL[0])
    np.testing.assert_array_equal(colors[2], colormap.SPECTRAL[255])
    np.testing.assert_array_equal(colors[3:], [colormap.UNKNOWN] * 3)
    assert colormap.depth_range(np.full(5, np.nan)) == (1.0, 1.0)
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is a test-only comparison")
    theirs = matplotlib.colormaps["Spectral"](np.arange(256))[:, :3] * 255
    assert np.abs(colormap.SPECTRAL - theirs).max() < 1.5


def test_feat_vis_gives_like_features_like_colors_in_all_views(found, tmp_path):
    paths = export(found, "feat_vis", tmp_path, {"fps": 7})
    assert paths[-1] == tmp_path / "feat_vis" / "feat_layer_3.mp4"
    pictures = [np.array(Image.open(p)).astype(int) for p in paths[:-1]]
    assert all(p.shape == (HEIGHT, 2 * WIDTH, 3) for p in pictures)
    sky = [p[5, WIDTH + 45] for p in pictures]  # the same surface, seen from three places
    floor = [p[-5, WIDTH + 5] for p in pictures]
    assert np.ptp(sky, axis=0).max() < 25 < np.abs(sky[0] - floor[0]).max()
    frames, codec, pixels, rate = video_frames(paths[-1])
    assert (len(frames), codec, pixels, rate) == (3, "h264", "yuv420p", 7)
