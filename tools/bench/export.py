"""Our preprocessing and exports beside upstream's, in one run, on the same prediction.

    python -m tools.bench.export [--repeat 5]

Needs the upstream wheel (depth-anything-3) with the packages it imports.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from da3_ros.core.export import export
from da3_ros.core.prediction import Prediction
from da3_ros.core.user_input.images import read_batch
from tools import upstream
from tools.stopwatch import timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    upstream.import_upstream()
    print(f"{'':44}{'upstream':>12}{'da3_ros':>12}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        bench_exports(Path(folder), repeat)
    bench_preprocessing(repeat)


def bench_exports(folder: Path, repeat: int) -> None:
    """16 views of 504x280 px: 1.3 M points pass the threshold, 1 M are kept."""
    from depth_anything_3.specs import Prediction as Theirs
    from depth_anything_3.utils.export.glb import export_to_glb
    from depth_anything_3.utils.export.npz import export_to_mini_npz

    ours = smooth_prediction(16, 280, 504)
    fields = ("depth", "conf", "extrinsics", "intrinsics", "processed_images")
    theirs = Theirs(**{f: getattr(ours, f) for f in fields}, is_metric=0, aux={})
    # Upstream runs this one in a thread that nobody waits for.
    save_mini_npz = export_to_mini_npz.__closure__[0].cell_contents
    for pictures in (False, True):
        compare(
            f"glb, 1 M points{' and 16 depth pictures' if pictures else ''}",
            lambda: export_to_glb(theirs, str(folder / "a"), export_depth_vis=pictures),
            lambda: export(ours, "glb", folder / "b", {"export_depth_vis": pictures}),
            repeat,
        )
    compare(
        "mini_npz, 16 views",
        lambda: save_mini_npz(theirs, str(folder / "a")),
        lambda: export(ours, "mini_npz", folder / "b"),
        repeat,
    )
    for name in ("scene.glb", "exports/mini_npz/results.npz"):
        a, b = ((folder / side / name).stat().st_size / 1e6 for side in "ab")
        print(f"  {name:42}{a:9.1f} MB{b:9.1f} MB")


def bench_preprocessing(repeat: int) -> None:
    """16 images of 1280x720 px to 504x280."""
    from depth_anything_3.utils.io.input_processor import InputProcessor

    rng = np.random.default_rng(0)
    small = [rng.integers(0, 256, (36, 64, 3), dtype=np.uint8) for _ in range(16)]
    images = [np.array(Image.fromarray(s).resize((1280, 720))) for s in small]
    processor = InputProcessor()
    found = compare(
        "preprocessing, 16 images of 1280x720",
        lambda: processor(images, None, None, 504, "upper_bound_resize")[0],
        lambda: read_batch(images, 504, "upper_bound_resize").tensor,
        repeat,
    )
    print(f"  bit-equal: {torch.equal(*found)}")


def compare(what: str, theirs, ours, repeat: int):
    """Print the median seconds of both, taken in turns; returns both last results."""
    results = [theirs(), ours()]
    seconds = [[], []]
    for _ in range(repeat):
        for i, action in enumerate((theirs, ours)):
            taken, results[i] = timed(action)
            seconds[i].append(taken)
    a, b = map(statistics.median, seconds)
    print(f"{what:44}{a * 1e3:9.0f} ms{b * 1e3:9.0f} ms{a / b:7.1f}x", flush=True)
    return results


def smooth_prediction(count: int, height: int, width: int) -> Prediction:
    """Rolling hills with the noise that a network's maps have."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:height, :width]
    waves = 2 + np.sin(u / 40)[None] * np.cos(v / 30) + 0.1 * np.arange(count)[:, None, None]
    noise = rng.normal(scale=0.01, size=waves.shape)
    extrinsics = np.tile(np.eye(4)[:3], (count, 1, 1))
    extrinsics[:, 0, 3] = -0.1 * np.arange(count)
    K = np.array([[400.0, 0, width / 2], [0, 400, height / 2], [0, 0, 1]])
    return Prediction(
        depth=(waves + noise).astype(np.float32),
        conf=(1 + np.exp(rng.normal(size=waves.shape))).astype(np.float32),
        extrinsics=extrinsics.astype(np.float32),
        intrinsics=np.tile(K, (count, 1, 1)).astype(np.float32),
        processed_images=rng.integers(0, 256, (*waves.shape, 3), dtype=np.uint8),
    )


if __name__ == "__main__":
    main()
