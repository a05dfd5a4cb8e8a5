"""Windows of the real kitchen (7-Scenes RedKitchen), for evaluation only."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from tools.training.windows import Windows

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "7scenes_redkitchen"


def kitchen_windows(views: int, count: int, height: int, width: int, *, gap: int = 1) -> Windows:
    """`count` windows of `views` frames, `gap` apart, the middle one first, all over the file."""
    names = sorted(p.stem for p in (FOLDER / "rgb").iterdir())
    span = (views - 1) * gap
    starts = np.linspace(0, len(names) - 1 - span, count).astype(int)
    groups = [[names[s + k * gap] for k in _middle_first(views)] for s in starts]
    views_read = [[read_view(name, height, width) for name in group] for group in groups]
    columns = zip(*(zip(*group) for group in views_read))
    image, depth, T, K = (np.stack([np.stack(v) for v in column]) for column in columns)
    return Windows(
        torch.from_numpy(image), torch.from_numpy(depth).half(), torch.from_numpy(T),
        torch.from_numpy(K).float(),
    )  # fmt: skip


def _middle_first(views):
    middle = views // 2
    return [middle, *(k for k in range(views) if k != middle)]


def read_view(name: str, height: int, width: int):
    """Image, depth (inf where unknown), pose and K at the given size."""
    image = cv2.imread(str(FOLDER / "rgb" / f"{name}.jpg"))[..., ::-1]
    depth = cv2.imread(str(FOLDER / "depth" / f"{name}.png"), cv2.IMREAD_UNCHANGED) / 1000.0
    depth[depth == 0] = np.inf
    rows, columns = image.shape[:2]
    K = np.loadtxt(FOLDER / "intrinsics.txt")[:3, :3]
    K[0] *= width / columns
    K[1] *= height / rows
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    depth = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    return image, depth, np.loadtxt(FOLDER / "pose" / f"{name}.txt"), K
