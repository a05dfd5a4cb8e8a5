"""PLY files on the page: in ASCII as well, and those that lack or lie."""

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from da3_ros.core.files.gaussian_columns import NEEDED
from da3_ros.ros.view.files import ViewFileError, add_file
from da3_ros.ros.view.page import Page


@pytest.fixture(scope="module")
def page():
    page = Page(port=8793)
    yield page
    page.close()


def write(path, columns, faces=None, text=False):
    """columns: values by the name of the property. faces: (n, 3) or None."""
    kinds = [(name, "u1" if name in ("red", "green", "blue") else "f4") for name in columns]
    rows = np.array(list(zip(*columns.values())), dtype=kinds)
    elements = [PlyElement.describe(rows, "vertex")]
    if faces is not None:
        corners = np.array([(face,) for face in faces], dtype=[("vertex_indices", "i4", (3,))])
        elements.append(PlyElement.describe(corners, "face"))
    PlyData(elements, text=text).write(path)
    return path


CORNERS = {"x": [0, 1, 0], "y": [0, 0, 1], "z": [0, 0, 0]}
SPLATS = CORNERS | {name: [0.5, 0.25, 0.125] for name in NEEDED[3:]}


@pytest.mark.parametrize("text", [False, True])
def test_ascii_is_shown_like_binary(page, tmp_path, text):
    mesh = write(tmp_path / "mesh.ply", CORNERS, [(0, 1, 2)], text=text)
    assert add_file(page, mesh) == "mesh of 1 triangles"
    plain = write(tmp_path / "plain.ply", CORNERS, text=text)
    assert add_file(page, plain) == "3 points"
    red = CORNERS | {"red": [9, 8, 7], "green": [0] * 3, "blue": [0] * 3}
    assert add_file(page, write(tmp_path / "red.ply", red, text=text)) == "3 points"
    assert page.server.scene.get_handle_by_name("/file").colors[:, 0].tolist() == [9, 8, 7]
    splats = write(tmp_path / "splats.ply", SPLATS, text=text)
    assert add_file(page, splats) == "3 3D Gaussians"
    shown = page.server.scene.get_handle_by_name("/file")
    np.testing.assert_allclose(shown.centers[:, :2], [[0, 0], [1, 0], [0, 1]])


NO_TURN = SPLATS | {f"rot_{i}": [0, 0, 0] for i in range(4)}
ONLY_COLOR = CORNERS | {"f_dc_0": [0, 0, 0]}


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize(
    "columns, faces, sentence",
    [
        (ONLY_COLOR, None, "but no f_dc_1, f_dc_2, opacity, scale_0"),
        ({n: v for n, v in SPLATS.items() if n != "rot_0"}, None, "but no rot_0: write all"),
        (NO_TURN, None, "a rotation of zeros: leave them out"),
        (SPLATS | {"opacity": [0, np.nan, 0]}, None, "3D Gaussians of NaN"),
        (CORNERS | {"x": [0, np.inf, 0]}, None, "has vertices of NaN or infinity"),
        (CORNERS, [(0, 1, 7)], "triangles with vertices that it lacks"),
        ({"x": [], "y": [], "z": []}, None, "holds no vertices"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(page, tmp_path, columns, faces, sentence, text):
    path = write(tmp_path / "odd.ply", columns, faces, text)
    with pytest.raises(ViewFileError, match=sentence) as raised:
        add_file(page, path)
    assert str(raised.value).startswith("odd.ply ") and "\n" not in str(raised.value)
