"""PLY and GLB files as other programs write them; truth from plyfile, trimesh and by hand."""

import json

import numpy as np
import pytest
import trimesh
from plyfile import PlyData, PlyElement

from da3_ros.core.scene.mesh import Mesh, MeshError

SQUARE = np.array([[0.0, 0, 3], [2, 0, 3], [2, 2, 3], [0, 2, 3], [3, 1, 3], [1, 0.5, 3]])


def area(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).area


# --- PLY ---


def ply(path, polygons, text=False, order="<", vertex=None, more=(), name="vertex_indices"):
    """A PLY by plyfile. more: (name, dtype, values) of face properties besides the corners."""
    if vertex is None:
        vertex = np.array([tuple(v) for v in SQUARE], [(a, "f8") for a in "xyz"])
    face = np.empty(len(polygons), [(name, "O"), *((n, t) for n, t, _ in more)])
    face[name] = (
        [np.array(p, np.int32) for p in polygons] + []
        if len({*map(len, polygons)}) > 1
        else [*map(np.int32, polygons)]
    )
    for n, _, values in more:
        face[n] = values
    types = {name: "i4"} | {n: "f4" for n, t, _ in more if t == "O"}
    elements = [
        PlyElement.describe(vertex, "vertex"),
        PlyElement.describe(face, "face", val_types=types),
    ]
    PlyData(elements, text=text, byte_order=order).write(path)


@pytest.mark.parametrize("text, order", [(True, "="), (False, "<"), (False, ">")])
@pytest.mark.parametrize(
    "polygons, expected",
    [
        ([[0, 1, 2], [0, 2, 3]], 4.0),
        ([[0, 1, 2, 3]], 4.0),
        ([[0, 1, 2, 3], [1, 4, 2]], 5.0),
        ([[0, 1, 4, 2, 3], [0, 1], [0, 2, 3]], 7.0),
        ([[5, 1, 2, 0]], 1.5),  # hollow: only one of its diagonals lies inside
    ],
    ids=["triangles", "quads", "mixed", "many corners", "hollow"],
)
def test_polygons_of_ply(tmp_path, text, order, polygons, expected):
    ply(tmp_path / "m.ply", polygons, text, order)
    mesh = Mesh.load(tmp_path / "m.ply")
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    np.testing.assert_allclose(area(mesh), expected)
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normals[:, 2] * normals[0, 2] > 0).all()


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("name", ["vertex_indices", "vertex_index"])
def test_faces_with_texture_coordinates_of_their_own(tmp_path, text, name):
    coordinates = [np.arange(6, dtype=np.float32), np.arange(8, dtype=np.float32)]
    more = [("texcoord", "O", coordinates), ("texnumber", "i4", [0, 1])]
    ply(tmp_path / "m.ply", [[0, 1, 2], [0, 1, 2, 3]], text, more=more, name=name)
    np.testing.assert_allclose(area(Mesh.load(tmp_path / "m.ply")), 6.0)


@pytest.mark.parametrize("kind, full", [("u1", 255), ("u2", 65535), ("f4", 1.0), ("f4", 255)])
def test_colors_of_ply(tmp_path, kind, full):
    rgb = np.linspace(0, 1, 18).reshape(6, 3)
    columns = [(a, "f4") for a in "xyz"] + [(c, kind) for c in ("red", "green", "blue", "alpha")]
    rows = [(*p, *(np.round(c * full) if full > 1 else c), full) for p, c in zip(SQUARE, rgb)]
    ply(tmp_path / "m.ply", [[0, 1, 2]], vertex=np.array(rows, columns))
    mesh = Mesh.load(tmp_path / "m.ply")
    assert np.abs(mesh.vertex_colors - rgb * 255).max() <= 0.51
    np.testing.assert_array_equal(mesh.vertices, SQUARE.astype(np.float32))


def test_ply_that_is_not_read_says_why(tmp_path):
    path = tmp_path / "m.ply"
    xyz = "property float x\nproperty float y\nproperty float z\n"
    corners = "property list uchar int vertex_indices\n"
    for header, words in (
        (f"element vertex 1\n{xyz}element tristrips 1\n{corners}", "triangle strips"),
        (f"element vertex 3\n{xyz}element face 1000000000\n{corners}", "it ends before"),
        (f"element vertex 1\nproperty float s\nelement face 1\n{corners}", "no vertices x, y, z"),
    ):
        path.write_text(f"ply\nformat ascii 1.0\n{header}end_header\n0 0 0\n3 0 0 0\n1 2 3\n")
        with pytest.raises(MeshError, match=f"m.ply cannot be read as a mesh: .*{words}"):
            Mesh.load(path)


# --- GLB ---


class Glb:
    """A GLB put together by hand."""

    def __init__(self):
        self.tree = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], "meshes": [],
                     "nodes": [], "scenes": [{"nodes": []}], "scene": 0}  # fmt: skip
        self.body = b""

    def view(self, array, stride=None):
        array = np.ascontiguousarray(array)
        if stride:
            padded = np.zeros((len(array), stride), np.uint8)
            padded[:, : array.strides[0]] = array.view(np.uint8).reshape(len(array), -1)
            array = padded
        view = {"buffer": 0, "byteOffset": len(self.body), "byteLength": array.nbytes}
        self.tree["bufferViews"].append(view | ({"byteStride": stride} if stride else {}))
        self.body += array.tobytes() + b"\0" * (-array.nbytes % 4)
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, array, stride=None, **more):
        codes = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
        kind = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[1 if array.ndim == 1 else array.shape[1]]
        about = {"componentType": codes[array.dtype.str[1:]], "count": len(array), "type": kind}
        self.tree["accessors"].append(about | {"bufferView": self.view(array, stride)} | more)
        return len(self.tree["accessors"]) - 1

    def add(self, primitive, **node):
        self.tree["meshes"].append({"primitives": [primitive]})
        self.tree["nodes"].append({"mesh": len(self.tree["meshes"]) - 1} | node)
        self.tree["scenes"][0]["nodes"].append(len(self.tree["nodes"]) - 1)

    def save(self, path, **more):
        self.tree["buffers"] = [{"byteLength": len(self.body)}]
        text = json.dumps(self.tree | more).encode()
        text += b" " * (-len(text) % 4)
        sizes = np.array([28 + len(text) + len(self.body), len(text), len(self.body)], "<u4")
        path.write_bytes(
            b"glTF" + np.uint32(2).tobytes() + sizes[0].tobytes() + sizes[1].tobytes() + b"JSON"
            + text + sizes[2].tobytes() + b"BIN\0" + self.body
        )  # fmt: skip
        return path


TRIANGLE = np.array([[-1, -1, 3], [1, -1, 3], [0, 1, 3]], np.float32)


def test_what_trimesh_exports_is_read_alike(tmp_path):
    scene = trimesh.Scene()
    for i, part in enumerate((trimesh.creation.icosphere(1), trimesh.creation.box((1, 2, 3)))):
        part.visual.vertex_colors = np.random.default_rng(i).integers(
            0, 256, (len(part.vertices), 4)
        )
        turn = trimesh.transformations.rotation_matrix(0.3 + i, [1, 2, 3], [4, 5, i])
        scene.add_geometry(part, transform=turn, parent_node_name=None)
    scene.export(tmp_path / "m.glb")
    theirs = trimesh.load(tmp_path / "m.glb", force="mesh", process=False)
    ours = Mesh.load(tmp_path / "m.glb")
    ours, theirs = (np.round(m.vertices[m.faces].reshape(-1, 9), 5) for m in (ours, theirs))
    # The parts come in another order.
    np.testing.assert_allclose(np.unique(ours, axis=0), np.unique(theirs, axis=0), atol=2e-5)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2"])
@pytest.mark.parametrize("normalized", [True, False])
def test_quantised_positions(tmp_path, kind, normalized):
    """KHR_mesh_quantization: integers, as shares of the largest or as they are, padded to 4."""
    full = np.iinfo(kind).max
    shares = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1]])
    quantised = (shares * (full if normalized else 100)).astype(kind)
    glb = Glb()
    stride = (3 * quantised.itemsize + 3) // 4 * 4
    position = glb.accessor(quantised, stride, normalized=normalized)
    size = 3.0 if normalized else 0.03
    glb.add({"attributes": {"POSITION": position}}, scale=[size] * 3, translation=[1, 0, 0])
    mesh = Mesh.load(glb.save(tmp_path / "m.glb", extensionsRequired=["KHR_mesh_quantization"],
                              extensionsUsed=["KHR_mesh_quantization"]))  # fmt: skip
    np.testing.assert_allclose(mesh.vertices, 3 * shares + [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("kind", ["f4", "u1", "u2"])
@pytest.mark.parametrize("width", [3, 4])
def test_vertex_colors_are_linear_in_the_file_and_srgb_here(tmp_path, kind, width):
    """sRGB 128, 64, 200 is .21586, .05127, .57758 of full light (IEC 61966-2-1)."""
    linear = np.tile([0.21586, 0.05127, 0.57758, 1.0], (3, 1))[:, :width]
    full = 1.0 if kind == "f4" else np.iinfo(kind).max
    values = (linear if kind == "f4" else np.round(linear * full)).astype(kind)
    glb = Glb()
    color = glb.accessor(values, (width * values.itemsize + 3) // 4 * 4, normalized=kind != "f4")
    glb.add({"attributes": {"POSITION": glb.accessor(TRIANGLE), "COLOR_0": color}})
    colors = Mesh.load(glb.save(tmp_path / "m.glb")).vertex_colors
    assert np.abs(colors.astype(int) - (128, 64, 200)).max() <= (3 if kind == "u1" else 1)


def test_parts_without_colors_are_white_beside_parts_that_have_some(tmp_path):
    glb = Glb()
    position = glb.accessor(TRIANGLE)
    glb.add({"attributes": {"POSITION": position, "COLOR_0": glb.accessor(np.zeros((3, 3), "f4"))}})
    glb.add({"attributes": {"POSITION": position}})
    colors = Mesh.load(glb.save(tmp_path / "m.glb")).vertex_colors
    assert (colors[:3] == 0).all() and (colors[3:] == 255).all()


def test_strips_fans_sparse_mirrors_and_what_is_no_surface(tmp_path):
    corners = np.array([[0, 0, 3], [1, 0, 3], [0, 1, 3], [1, 1, 3]], np.float32)
    around = corners[[0, 1, 3, 2]]
    glb = Glb()
    glb.add({"attributes": {"POSITION": glb.accessor(corners)}, "mode": 5})
    glb.add({"attributes": {"POSITION": glb.accessor(around)}, "mode": 6}, translation=[2, 0, 0])
    moved = glb.accessor(np.zeros((3, 3), "f4"))
    glb.tree["accessors"][moved]["sparse"] = {
        "count": 2,
        "indices": {"bufferView": glb.view(np.array([1, 2], "u2")), "componentType": 5123},
        "values": {"bufferView": glb.view(np.array([[1, 0, 0], [0, 1, 0]], "f4"))},
    }
    glb.add({"attributes": {"POSITION": moved}}, scale=[-1, 1, 1], translation=[0, 0, 3])
    glb.add({"attributes": {"POSITION": glb.accessor(corners)}, "mode": 0})
    mesh = Mesh.load(glb.save(tmp_path / "m.glb"))
    np.testing.assert_allclose(area(mesh), 2.5)
    triangles = mesh.vertices[mesh.faces]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert len(mesh.faces) == 5 and (normals[:, 2] > 0).all()  # a mirrored front is still a front


@pytest.mark.parametrize(
    "name, required, words",
    [
        ("KHR_draco_mesh_compression", True, "Draco"),
        ("KHR_draco_mesh_compression", False, "Draco"),
        ("EXT_meshopt_compression", True, "meshopt"),
        ("EXT_mesh_gpu_instancing", False, "repeats meshes"),
        ("ACME_bent_space", True, "requires the extension ACME_bent_space"),
    ],
)
def test_extensions_that_change_geometry_are_refused_by_name(tmp_path, name, required, words):
    glb = Glb()
    glb.add({"attributes": {"POSITION": glb.accessor(TRIANGLE)}})
    more = {"extensionsUsed": [name]} | ({"extensionsRequired": [name]} if required else {})
    with pytest.raises(MeshError, match=rf"m\.glb cannot be read as a mesh: .*{words}") as error:
        Mesh.load(glb.save(tmp_path / "m.glb", **more))
    assert "\n" not in str(error.value)


def test_skins_morphs_and_other_files_are_refused_by_name(tmp_path):
    glb = Glb()
    primitive = {"attributes": {"POSITION": glb.accessor(TRIANGLE)}}
    for node, tree, words in (
        ({"skin": 0}, {}, "skin"),
        ({"weights": [1.0]}, {}, "morph"),
        ({}, {"buffers": [{"uri": "room.bin", "byteLength": 36}]}, "another file, 'room.bin'"),
    ):
        glb.tree["nodes"], glb.tree["scenes"][0]["nodes"] = [], []
        glb.add(primitive | {"targets": [{}]}, **node)
        path = glb.save(tmp_path / "m.glb")
        if tree:
            text = json.dumps(glb.tree | tree).encode()
            length = np.uint32(len(text)).tobytes()
            path.write_bytes(path.read_bytes()[:12] + length + b"JSON" + text)
        with pytest.raises(MeshError, match=words):
            Mesh.load(path)


BEFORE, BEHIND = "v -3 -3 3\nv -3 3 3\nv 3 3 3\n", "v 3 -3 3\n"
OBJ = {
    "from the end": f"{BEFORE}f -3 -2 -1\n{BEHIND}f -4 -2 -1\n",
    "textures too": f"{BEFORE}vt 0 0\nf -3/-1 -2/-1 -1/1\nvt 1 1\n{BEHIND}f -4/2 3/2 -1/-1\n",
    "normals too": f"{BEFORE}vn 0 0 1\nf 1//-1 2//-1 3//-1\n{BEHIND}f 1//1 3//-1 -1//1\n",
    "tabs": f"{BEFORE}{BEHIND}f 1 2 3\nf 1 3 4\n".replace(" ", "\t"),
    "blanks before": f"{BEFORE}{BEHIND}f 1 2 3 # -1 0\nf 1 3 4\n".replace("\n", "\r\n  "),
    "a face in two lines": f"{BEFORE}{BEHIND}f 1 \\\n2 3\nf 1 3 \\\n-1\n",
}


@pytest.mark.parametrize("text", OBJ.values(), ids=OBJ)
def test_words_and_indices_of_obj(tmp_path, text):
    (tmp_path / "a.obj").write_bytes(text.encode())
    mesh = Mesh.load(tmp_path / "a.obj")
    corners = np.array([[-3, -3, 3], [-3, 3, 3], [3, 3, 3], [3, -3, 3.0]])
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], corners[[[0, 1, 2], [0, 2, 3]]])


@pytest.mark.parametrize("face", ["0 1 2", "1 0/1 2", "-4 -2 -1", "1 2 0", "1 2 x-1"])
def test_vertices_of_obj_that_are_not_there(tmp_path, face):
    (tmp_path / "a.obj").write_text(f"{BEFORE}f {face}\n{BEHIND}")
    with pytest.raises(MeshError, match="cannot be read as a mesh"):
        Mesh.load(tmp_path / "a.obj")


NOTCH = np.array([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], float)
"""A wall with a notch; the first corner sees all of it, the third does not."""


@pytest.mark.parametrize("first", range(5))
def test_hollow_polygons_of_obj_stay_hollow(first, tmp_path):
    """A fan from a corner that does not see the whole polygon would fill the notch."""
    corners = np.roll(np.arange(5), first) + 1
    text = "".join(f"v {x:g} {y:g} 0\n" for x, y in NOTCH)
    text += "f " + " ".join(f"{corner}//1" for corner in corners) + "\nvn 0 0 1\nf 1 2 3\n"
    (tmp_path / "a.obj").write_text(text)
    triangles = Mesh.load(tmp_path / "a.obj")
    areas = [np.cross(b - a, c - a)[2] / 2 for a, b, c in triangles.vertices[triangles.faces]]
    # The wall, and the triangle below it that is a face of its own.
    assert min(areas) > 0 and sum(areas) == pytest.approx((16 - 6) + 8)
