"""Meshes written here and read by others, written by others and read here."""

import json
import struct

import numpy as np
import pytest
import trimesh
from plyfile import PlyData

from da3_ros.core.scene.mesh import Mesh, MeshError


def tetrahedron():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    colors = np.array([[0, 0, 0], [255, 255, 255], [128, 64, 10], [7, 200, 99]], np.uint8)
    return Mesh(vertices, faces, colors)


def test_ply_read_by_plyfile(tmp_path):
    mesh = tetrahedron()
    mesh.save_ply(tmp_path / "m.ply")
    ply = PlyData.read(tmp_path / "m.ply")
    vertex = ply["vertex"]
    np.testing.assert_array_equal(np.c_[vertex["x"], vertex["y"], vertex["z"]], mesh.vertices)
    np.testing.assert_array_equal(
        np.c_[vertex["red"], vertex["green"], vertex["blue"]], mesh.vertex_colors
    )
    np.testing.assert_array_equal(np.stack(ply["face"]["vertex_indices"]), mesh.faces)


def test_glb_is_unlit_and_its_colors_are_linear(tmp_path):
    mesh = tetrahedron()
    mesh.save_glb(tmp_path / "m.glb")
    data = (tmp_path / "m.glb").read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + length])
    assert "KHR_materials_unlit" in tree["materials"][0]["extensions"]
    (primitive,) = tree["meshes"][0]["primitives"]
    assert primitive["mode"] == 4
    loaded = trimesh.load(tmp_path / "m.glb", force="mesh", process=False)
    x, y, z = mesh.vertices.T
    np.testing.assert_array_equal(loaded.vertices, np.c_[x, z, -y])  # y up
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    # sRGB 128 is 0.2158 of full light (IEC 61966-2-1).
    accessor = tree["accessors"][primitive["attributes"]["COLOR_0"]]
    view = tree["bufferViews"][accessor["bufferView"]]
    kind, full = {5126: ("<f4", 1.0), 5123: ("<u2", 65535)}[accessor["componentType"]]
    body = data[20 + length + 8 + view["byteOffset"] :][: view["byteLength"]]
    linear = np.frombuffer(body, kind).reshape(4, -1)[:, :3] / full
    np.testing.assert_allclose(linear[2], [0.21586, 0.05127, 0.00304], atol=2e-4)


def test_a_mesh_without_colors_saves_too(tmp_path):
    plain = Mesh(tetrahedron().vertices, tetrahedron().faces)
    plain.save_glb(tmp_path / "m.glb")
    plain.save_ply(tmp_path / "m.ply")
    for name in ("m.glb", "m.ply"):
        np.testing.assert_array_equal(Mesh.load(tmp_path / name).faces, plain.faces)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_files_of_trimesh_are_loaded(tmp_path, suffix):
    sphere = trimesh.creation.icosphere(subdivisions=2)
    sphere.export(tmp_path / f"ball{suffix}")
    mesh = Mesh.load(tmp_path / f"ball{suffix}")
    assert mesh.faces.shape == sphere.faces.shape
    volume = trimesh.Trimesh(mesh.vertices, mesh.faces).volume
    np.testing.assert_allclose(volume, sphere.volume, rtol=1e-5)


def test_the_parts_of_a_scene_become_one_mesh_where_they_stand(tmp_path):
    scene = trimesh.Scene()
    for x in (0.0, 5.0):
        move = trimesh.transformations.translation_matrix([x, 0, 0])
        scene.add_geometry(trimesh.creation.box((1, 1, 1)), transform=move)
    scene.export(tmp_path / "two.glb")
    mesh = Mesh.load(tmp_path / "two.glb")
    assert len(mesh.faces) == 24
    np.testing.assert_allclose([mesh.vertices[:, 0].min(), mesh.vertices[:, 0].max()], [-0.5, 5.5])


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_our_own_files_come_back_as_they_were(tmp_path, suffix):
    mesh, path = tetrahedron(), tmp_path / f"m{suffix}"
    (mesh.save_ply if suffix == ".ply" else mesh.save_glb)(path)
    loaded = Mesh.load(path)
    np.testing.assert_array_equal(loaded.vertices, mesh.vertices)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    np.testing.assert_array_equal(loaded.vertex_colors, mesh.vertex_colors)


@pytest.mark.parametrize(
    "place",
    [(512345.37, 5404321.62, 431.18), (4177423.1, 855213.7, 4728911.9)],
    ids=["UTM", "ECEF"],
)
@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_far_meshes_keep_their_millimetres_in_files(tmp_path, suffix, place):
    ball = trimesh.creation.icosphere(subdivisions=2, radius=20.0)
    mesh, path = Mesh(ball.vertices + place, ball.faces), tmp_path / f"m{suffix}"
    (mesh.save_ply if suffix == ".ply" else mesh.save_glb)(path)
    np.testing.assert_allclose(Mesh.load(path).vertices, mesh.vertices, rtol=0, atol=1e-5)
    if suffix == ".ply":
        vertex = PlyData.read(path)["vertex"]
        np.testing.assert_array_equal(np.c_[vertex["x"], vertex["y"], vertex["z"]], mesh.vertices)
        return
    scene = trimesh.load_scene(path)
    assert np.abs(scene.bounds).max() < 30  # what a viewer's float32 can show
    T_world_gltf = np.array(scene.metadata["T_world_gltf"])
    shown = scene.to_mesh().vertices
    world = shown @ T_world_gltf[:3, :3].T + T_world_gltf[:3, 3]
    np.testing.assert_allclose(np.sort(world, axis=0), np.sort(mesh.vertices, axis=0), atol=1e-4)


@pytest.mark.parametrize(
    "colors, words",
    [
        (np.full((4, 3), 0.5), "float64 from 0.5 to 0.5"),
        (np.full((4, 3), 300), "from 300 to 300"),
        (np.full((4, 3), -1), "from -1 to -1"),
        (np.full((4, 3), 65535, np.uint16), "uint16 from 65535"),
        (np.full((4, 3), np.nan), "from nan"),
        ([["red"] * 3] * 4, "<U3"),
    ],
)
def test_colors_that_would_be_cut_or_wrapped_are_refused(colors, words):
    with pytest.raises(MeshError, match=f"from 0 to 255 .*multiply by 255.*{words}"):
        Mesh(tetrahedron().vertices, tetrahedron().faces, colors)


def test_whole_numbers_of_any_type_are_colors_and_faces():
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]], np.uint8), np.full((3, 3), 7, np.int64))
    assert mesh.vertex_colors.dtype == np.uint8 and mesh.faces.dtype == np.int64
    assert len(Mesh(np.eye(3), np.zeros((0, 3))).faces) == 0
    with pytest.raises(MeshError, match="faces must be whole numbers"):
        Mesh(np.eye(3), np.array([[0.0, 1.5, 2]]))


def test_a_mesh_without_vertices_has_no_bounds():
    with pytest.raises(MeshError, match="no bounds"):
        Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)).bounds  # noqa: B018


def test_files_that_are_no_meshes(tmp_path):
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(MeshError, match="it is a folder"):
        Mesh.load(tmp_path / "folder.ply")
    with pytest.raises(MeshError, match="no such file"):
        Mesh.load(tmp_path / "absent.ply")
    with pytest.raises(MeshError, match="mesh files end in"):
        Mesh.load(tmp_path / "room.pcd")
    (tmp_path / "junk.ply").write_bytes(b"not a ply at all")
    with pytest.raises(MeshError, match="cannot be read as a mesh"):
        Mesh.load(tmp_path / "junk.ply")
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "points.ply")
    with pytest.raises(
        MeshError, match=r"points\.ply cannot be read as a mesh: it holds no triangles"
    ):
        Mesh.load(tmp_path / "points.ply")


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_broken_files_raise_nothing_else(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    trimesh.creation.icosphere(subdivisions=1).export(path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for i in range(60):
        data = bytearray(whole)
        if i % 2:
            del data[rng.integers(len(data)) :]
        for position in rng.integers(max(len(data), 1), size=8 if data else 0):
            data[position] = rng.integers(256)
        path.write_bytes(data)
        try:
            Mesh.load(path)
        except MeshError as error:
            refused += 1
            assert "broken" in str(error)
    assert refused > 10
