"""How good a network is on windows with ground truth, posed and unposed."""

from __future__ import annotations

import numpy as np
import torch

from da3_ros.net.network import Network
from tools.eval_weights.measure import abs_rel, delta1
from tools.training.samples import Sample, make_sample
from tools.training.windows import Windows

BATCH = 8


def measure(network: Network, windows: Windows, *, posed: bool) -> dict[str, float]:
    """Means over windows, of the reference view (view 0), which is what a robot gets.

    abs_rel, delta1: posed only, metres without fitting; the scale comes from the given against
    the predicted camera distances, as on the robot (one view: the unit of the input).
    scale_error: |ln| of the factor that a median fit would still apply.
    abs_rel_aligned, delta1_aligned: after fitting the median.
    rotation_deg, translation: error of the predicted cameras; translation as a share of the
    distance, after fitting one scale.
    """
    network.eval()
    rows = []
    for start in range(0, len(windows), BATCH):
        part = windows[start : start + BATCH]
        sample = make_sample(part, posed=posed)
        with torch.no_grad():
            features = network.aggregate(
                network.encode(sample.images), sample.cameras, reference="first", views=[0]
            )
            out = network.decode(features)
        rows += [_measure_one(sample, out, i, posed) for i in range(len(part))]
    names = rows[0].keys()
    return {name: _mean([row[name] for row in rows]) for name in names}


def _mean(values) -> float:
    """Mean of what is known; NaN where nothing is, as the cameras of windows of one view."""
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _measure_one(sample: Sample, out, i: int, posed: bool) -> dict[str, float]:
    unit = float(sample.unit[i])
    valid = sample.valid[i, 0].cpu().numpy()
    truth = sample.depth[i, 0].cpu().numpy()[valid] * unit
    said = out.depth[i, 0].cpu().numpy()[valid]
    cameras = camera_errors(sample.T_ref_cam[i].cpu().numpy(), out.T_cam_ref[i].cpu().numpy())
    scale = unit * (cameras["scale"] if len(sample.T_ref_cam[i]) > 1 else 1.0)
    factor = np.median(truth) / np.median(said)
    row = {
        "abs_rel_aligned": abs_rel(said * factor, truth),
        "delta1_aligned": delta1(said * factor, truth),
        "rotation_deg": cameras["rotation_deg"],
        "translation": cameras["translation"],
    }
    if posed:
        row |= {
            "abs_rel": abs_rel(said * scale, truth),
            "delta1": delta1(said * scale, truth),
            "scale_error": abs(np.log(factor / scale)),
        }
    return row


def camera_errors(T_ref_cam: np.ndarray, T_cam_ref_said: np.ndarray) -> dict[str, float]:
    """Errors of views 1.. against view 0; scale: true over predicted distances."""
    if len(T_ref_cam) < 2:
        return {"rotation_deg": np.nan, "translation": np.nan, "scale": 1.0}
    R_said, t_said = T_cam_ref_said[:, :3, :3], T_cam_ref_said[:, :3, 3]
    centres = -np.einsum("nji,nj->ni", R_said, t_said)
    centres = np.einsum("ij,nj->ni", R_said[0], centres - centres[0])
    true = T_ref_cam[1:, :3, 3]
    said = centres[1:]
    turn = np.einsum("ij,nkj->nik", R_said[0], R_said[1:])
    cosine = (np.einsum("nij,nij->n", turn, T_ref_cam[1:, :3, :3]) - 1) / 2
    fit = (true * said).sum() / max((said * said).sum(), 1e-12)
    distance = np.linalg.norm(true, axis=1)
    said_distance = np.linalg.norm(said, axis=1)
    return {
        "rotation_deg": float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()),
        "translation": float((np.linalg.norm(fit * said - true, axis=1) / distance).mean()),
        "scale": float((distance * said_distance).sum() / max((said_distance**2).sum(), 1e-12)),
    }


def constant_depth(windows: Windows, depth: float) -> dict[str, float]:
    """The same numbers of a network that says `depth` m everywhere."""
    rows = []
    for i in range(len(windows)):
        truth = windows.depth[i, 0].float().cpu().numpy()
        truth = truth[np.isfinite(truth)]
        aligned = np.full_like(truth, np.median(truth))
        said = np.full_like(truth, depth)
        rows.append(
            {
                "abs_rel": abs_rel(said, truth),
                "delta1": delta1(said, truth),
                "abs_rel_aligned": abs_rel(aligned, truth),
                "delta1_aligned": delta1(aligned, truth),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
