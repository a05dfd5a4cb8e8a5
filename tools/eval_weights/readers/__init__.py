"""Folders of pictures with depth and poses, in the layouts that datasets come in.

    plain         rgb/ depth/ pose/ intrinsics.txt                plain.py
    TUM, Bonn     rgb.txt depth.txt groundtruth.txt               tum.py
    ScanNet       color/ depth/ pose/ intrinsic/                  scannet.py
    7-Scenes      frame-000000.color.png ..., in seq-01/ ...      seven_scenes.py
    EuRoC         mav0/cam0 mav0/cam1 ..., a stereo camera        euroc.py

Another layout is a file beside these with `fits(folder)` and `read(folder)`, and a line below.
"""

from __future__ import annotations

from pathlib import Path

from tools.eval_weights.readers import euroc, plain, scannet, seven_scenes, tum
from tools.eval_weights.recording import DataError, Dataset

LAYOUTS = {
    "plain": plain,
    "TUM RGB-D or Bonn": tum,
    "ScanNet": scannet,
    "7-Scenes": seven_scenes,
    "EuRoC": euroc,
}


def read_dataset(folder: Path) -> Dataset:
    """The recordings of a folder, whatever its layout. Raises `DataError`."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    folder = folder.absolute()  # layouts look at its name
    for layout in LAYOUTS.values():
        if layout.fits(folder):
            return layout.read(folder)
    raise DataError(
        f"{folder} has none of the layouts {', '.join(LAYOUTS)}; see tools/eval_weights/readers"
    )
