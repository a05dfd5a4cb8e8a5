"""Small files that ask for gigabytes are refused before memory is asked for."""

import base64
import json
import struct
import tracemalloc

import numpy as np
import pytest
import trimesh
from PIL import Image

from da3_ros.core.files.mesh_bounds import MeshBounds
from da3_ros.core.scene.mesh import Mesh, MeshError

TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
ACCESSOR = {"componentType": 5126, "type": "VEC3", "count": 3, "bufferView": 0}


def glb(path, nodes, *, accessors=(ACCESSOR,), primitive=None, roots=(0,)):
    """A GLB of one mesh, a triangle unless `accessors` and `primitive` say otherwise."""
    primitive = primitive or {"attributes": {"POSITION": 0}}
    tree = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": list(roots)}],
        "nodes": nodes,
        "meshes": [{"primitives": [primitive]}],
        "accessors": list(accessors),
        "bufferViews": [{"buffer": 0, "byteLength": len(TRIANGLE)}],
        "buffers": [{"byteLength": len(TRIANGLE)}],
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    size = 28 + len(text) + len(TRIANGLE)
    head = struct.pack("<4sIIII", b"glTF", 2, size, len(text), 0x4E4F534A)
    path.write_bytes(head + text + struct.pack("<II", len(TRIANGLE), 0x004E4942) + TRIANGLE)
    return path


def refused(path, said, bounds=None):
    """Loading needs next to no memory and names what there is too much of."""
    tracemalloc.start()
    with pytest.raises(MeshError, match=said) as caught:
        Mesh.load(path, *[bounds] * bool(bounds))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    assert len(str(caught.value)) < 900 and str(caught.value).isprintable()


@pytest.mark.parametrize("count", [10**9, 2**32, 2**62])
def test_an_accessor_of_zeros_without_data(tmp_path, count):
    about = {"componentType": 5126, "type": "VEC3", "count": count}
    refused(
        glb(tmp_path / "a.glb", [{"mesh": 0}], accessors=[about]), "vertices, at most 20,000,000"
    )


@pytest.mark.parametrize("which", ["indices", "COLOR_0"])
def test_other_accessors_of_zeros(tmp_path, which):
    about = {"componentType": 5121, "type": "SCALAR", "count": 300_000_000}
    primitive = {"attributes": {"POSITION": 0}}
    if which == "indices":
        primitive["indices"] = 1
    else:
        about["type"] = "VEC4"
        primitive["attributes"]["COLOR_0"] = 1
    path = glb(tmp_path / "a.glb", [{"mesh": 0}], accessors=[ACCESSOR, about], primitive=primitive)
    refused(path, "100,000,000 triangles, at most|300000000 colors for 3 vertices")


def test_one_mesh_that_is_repeated_too_often(tmp_path):
    nodes = [{"mesh": 0}] * 2000
    path = glb(tmp_path / "a.glb", nodes, roots=range(2000))
    assert len(Mesh.load(path).faces) == 2000
    refused(path, "it has 1,002 vertices, at most 1,000", MeshBounds(vertices=1000))
    refused(path, "it has 101 triangles, at most 100", MeshBounds(triangles=100))


@pytest.mark.parametrize("leaf", [{"mesh": 0}, {}])
def test_branches_that_meet_again_multiply(tmp_path, leaf):
    """Forty nodes, each twice the child of the one before: 2^40 ways down, of triangles or not."""
    nodes = [{"children": [k + 1, k + 1]} for k in range(40)] + [leaf]
    bounds = MeshBounds(instances=2000)
    refused(glb(tmp_path / "a.glb", nodes), "it has 2,001 instances, at most 2,000", bounds)


def test_a_description_of_megabytes(tmp_path):
    nodes = [{"name": "x" * (40 << 20)}]
    refused(glb(tmp_path / "a.glb", nodes), "its description has 40 MB, at most 32")


def ply(path, count, corners, kind="ascii"):
    head = f"ply\nformat {kind} 1.0\nelement vertex {count}\n"
    head += "".join(f"property uchar {axis}\n" for axis in "xyz")
    head += f"element face {len(corners)}\nproperty list int int vertex_indices\nend_header\n"
    body = bytes(3 * count)
    body += b"".join(struct.pack(f"<i{len(c)}i", len(c), *c) for c in corners)
    path.write_bytes(head.encode() + body)
    return path


def test_counts_of_ply(tmp_path):
    binary = "binary_little_endian"
    path = ply(tmp_path / "a.ply", 5000, [(0, 1, 2)] * 700, binary)
    assert len(Mesh.load(path).faces) == 700
    refused(path, "it has 5,000 vertices, at most 4,999", MeshBounds(vertices=4999))
    refused(path, "it has 700 triangles, at most 699", MeshBounds(triangles=699))
    fan = ply(tmp_path / "fan.ply", 5000, [range(4000)], binary)
    refused(fan, "it has 3,998 triangles, at most 3,000", MeshBounds(triangles=3000))
    polygon = ply(tmp_path / "round.ply", 5000, [range(5000)], binary)
    refused(polygon, "a polygon has 5,000 corners, at most 4,096 are split")


@pytest.mark.parametrize("name", ["a.ply", "a.obj", "a.glb"])
def test_files_that_are_too_large_are_not_opened(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(2 << 30)  # of holes: it takes no room on the disk
    refused(
        path, "it has 2,147,483,648 file bytes, at most 1,073,741,824 are read: make it coarser"
    )


def test_text_has_a_bound_of_its_own(tmp_path):
    box = trimesh.creation.box()
    for suffix, options in ((".obj", {}), (".ply", {"encoding": "ascii"})):
        path = tmp_path / f"a{suffix}"
        box.export(path, **options)
        assert len(Mesh.load(path).faces) == 12
        refused(path, "text bytes, at most 50", MeshBounds(text_bytes=50))


def test_the_materials_of_an_obj_are_not_looked_for(tmp_path):
    """They would name pictures anywhere on the disk, which are decoded whatever their size."""
    Image.new("1", (9000, 9000)).save(tmp_path / "large.png")
    (tmp_path / "m.mtl").write_text("newmtl a\nmap_Kd large.png\n")
    obj = "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl a\nf 1/1 2/1 3/1\n"
    (tmp_path / "a.obj").write_text(obj)
    tracemalloc.start()
    assert len(Mesh.load(tmp_path / "a.obj").faces) == 1
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_buffer_in_the_description_is_decoded_once(tmp_path, monkeypatch):
    """10 MB, named by a hundred parts: a hundred times as much work otherwise."""
    calls = []
    decode = base64.b64decode
    monkeypatch.setattr(base64, "b64decode", lambda text: (calls.append(1), decode(text))[1])
    uri = "data:;base64," + base64.b64encode(TRIANGLE).decode()
    part = {"attributes": {"POSITION": 0}}
    path = glb(tmp_path / "x.glb", [{"mesh": 0}])
    length = int.from_bytes(path.read_bytes()[12:16], "little")
    tree = json.loads(path.read_bytes()[20 : 20 + length])
    tree["buffers"], tree["meshes"] = [{"uri": uri}], [{"primitives": [part] * 100}]
    text = json.dumps(tree).encode()
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A)
    path.write_bytes(head + text)
    assert len(Mesh.load(path).faces) == 100 and len(calls) == 1


def test_a_ply_header_of_megabytes(tmp_path):
    path = tmp_path / "x.ply"
    path.write_bytes(b"ply\nformat ascii 1.0\n" + b"element a 0\n" * 300_000 + b"end_header\n")
    refused(path, "no PLY header of at most 64 kB")
