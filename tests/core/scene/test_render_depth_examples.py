"""The documented examples run as they stand, and do what they say."""

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/render_depth.md"


def room():
    box = trimesh.creation.box((6.0, 4.6, 2.6))
    box.apply_translation([3.0, 2.3, 1.3])
    box.invert()  # seen from inside
    return box


def far_ball():
    ball = trimesh.creation.icosphere(subdivisions=4, radius=2.0)
    ball.apply_translation([512345.0, 5404321.0, 431.0])
    ball.invert()
    return ball


def town():
    parts = [trimesh.creation.box((40, 30, 0.1))]
    for x in range(-15, 16, 6):
        parts.append(trimesh.creation.box((2, 9, 5 + x % 4)).apply_translation((x, x / 3, 2.5)))
    return trimesh.util.concatenate(parts)


def run_examples(mesh):
    mesh.export("room.ply", vertex_normal=False)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    assert len(blocks) == 9
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)  # noqa: S102
    return names


def test_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples(room())
    # From x = 1.2 along x to the wall at x = 6.
    np.testing.assert_allclose(names["depth"][240, 320], 4.8, rtol=1e-5)
    assert (names["alpha"] == 1).all() and names["state"].tolist() == [2, 1, 0]
    np.testing.assert_allclose(names["again"][240, 320], 4.8, atol=0.025)
    np.testing.assert_allclose(names["metres"], names["depth"], rtol=1e-5)
    np.testing.assert_allclose(names["field"].height, 0.0, atol=1e-5)
    written = {p.name for p in tmp_path.iterdir()}
    assert written == {
        "room.ply", "fused.glb", "depth.png", "depth.tiff", "heights.tif", "heights.tfw",
        "depth_000000.tiff", "depth_000001.tiff",
    }  # fmt: skip


@pytest.mark.parametrize("mesh", [far_ball, town])
def test_examples_run_on_any_mesh(tmp_path, monkeypatch, mesh):
    monkeypatch.chdir(tmp_path)
    names = run_examples(mesh())
    assert np.isfinite(names["depth"]).mean() > 0.05
    assert np.isfinite(names["field"].height).mean() > 0.5
