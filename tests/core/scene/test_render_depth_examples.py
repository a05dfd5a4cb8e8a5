"""The documented examples run as they stand, and do what they say."""

import re
from pathlib import Path

import numpy as np
import trimesh

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/render_depth.md"


def test_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    room = trimesh.creation.box((6.0, 4.6, 2.6))
    room.apply_translation([3.0, 2.3, 1.3])
    room.invert()  # seen from inside
    room.export("room.ply")
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)  # noqa: S102
    # From (1, 2, 1.2) along x to the wall at x = 6.
    np.testing.assert_allclose(names["depth"][240, 320], 5.0, rtol=1e-5)
    assert (names["alpha"] == 1).all()
    np.testing.assert_allclose(names["again"][240, 320], 5.0, atol=0.025)
    np.testing.assert_allclose(names["metres"], names["depth"], rtol=1e-5)
    np.testing.assert_allclose(names["field"].height, 0.0, atol=1e-5)
    written = {p.name for p in tmp_path.iterdir()}
    assert written == {
        "room.ply", "fused.glb", "depth.png", "depth.tiff", "heights.tif", "heights.tfw",
        "depth_000000.tiff", "depth_000001.tiff",
    }  # fmt: skip
