"""One window through the pipeline, and how far it is from the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from da3_ros.core import poses
from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.prediction import WindowDepth
from da3_ros.core.sliding_window import make_window
from da3_ros.net.nested import NestedNetwork
from da3_ros.net.network import Network
from tools.eval_weights.recording import Shot

FARTHEST = 50.0
"""m: no truth beyond it is compared."""

CLOSE = 1.25
"""delta1: the share of pixels whose depth is wrong by no more than this factor."""


@dataclass(frozen=True)
class Way:
    """How a window is looked at. values: parameters of the node. posed: with the given poses."""

    name: str
    posed: bool = True
    values: dict = field(default_factory=dict)

    def having(self, values: dict) -> Way:
        """With further parameters."""
        return replace(self, values=self.values | values)


POINTS = Way("posed")
CAMERAS = Way("posed, cameras only", values={"scale.source": "cameras"})
UNPOSED = Way("unposed", posed=False, values={"pose.source": "none"})


def ways_of(network: Network | NestedNetwork) -> tuple[Way, ...]:
    """Those that say something about a network."""
    # One that sees one view at a time gets no unit from given cameras.
    return (POINTS, CAMERAS, UNPOSED) if network.preset.any_view else (POINTS, UNPOSED)


@dataclass(frozen=True)
class Compared:
    """Said and true depth (n,) m of one view where both are known, and the share of the known
    pixels that were said."""

    said: np.ndarray
    true: np.ndarray
    coverage: float


@dataclass(frozen=True)
class Measured:
    """One window. numbers: by name, see `errors`; NaN where nothing was said. compared: of the
    published view. rests_on: what its metres rest on (`Evidence`), or `nothing`."""

    numbers: dict[str, float]
    compared: Compared
    rests_on: str


def look(
    network: Network | NestedNetwork,
    frames: Sequence[Sequence[Frame]],
    way: Way,
) -> WindowDepth:
    """The window's result. frames: of each instant, oldest first, posed."""
    config = from_dict({"window.size": len(frames), **way.values})
    if not way.posed:
        frames = [[replace(f, T_world_cam=None) for f in instant] for instant in frames]
    window = make_window([tuple(instant) for instant in frames], config.window)
    return Pipeline(network, config).process(window)


def measure(
    network: Network | NestedNetwork,
    shots: Sequence[Shot],
    way: Way,
    given: np.ndarray | None = None,
) -> Measured:
    """Errors of the published view against its truth.

    given: (N, 4, 4) poses that the network gets instead of the true ones.
    """
    frames = [shot.frame for shot in shots]
    if given is not None:
        frames = [replace(f, T_world_cam=T) for f, T in zip(frames, given)]
    result = look(network, [[f] for f in frames], way)
    truth = shots[result.window.views[0]].depth
    true_poses = np.stack([shot.frame.T_world_cam for shot in shots])
    return judged(result, truth, true_poses)


def judged(result: WindowDepth, truth: np.ndarray, T_world_cam: np.ndarray) -> Measured:
    """The first published view of a result against its true depth (H, W), m, and all its cameras
    against the true ones (N, 4, 4)."""
    compared = compare(result.depth[0], truth)
    numbers = errors(compared, metric=result.is_metric) | camera_errors(
        T_world_cam, result.T_world_cam, result.window.reference
    )
    evidence = result.evidence
    return Measured(numbers, compared, evidence.source if evidence else "nothing")


def compare(said: np.ndarray, truth: np.ndarray) -> Compared:
    """Depth (h, w) of the network against true depth (H, W): the nearest true pixel of each."""
    height, width = said.shape
    true = cv2.resize(truth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    with np.errstate(invalid="ignore"):
        known = (true > 0) & (true < FARTHEST)
    both = known & np.isfinite(said)
    coverage = both.sum() / known.sum() if known.any() else np.nan
    return Compared(said[both], true[both], float(coverage))


def errors(compared: Compared, *, metric: bool) -> dict[str, float]:
    """Of one view; NaN where nothing can be said.

    abs_rel: mean of |said - true| / true; delta1: share within `CLOSE`; bias: mean of
    (said - true) / true; scale_error: |ln| of the factor that a fit of the median would still
    apply. These need metres. aligned, delta1_aligned: after that fit. coverage: share with depth.
    """
    said, true = compared.said, compared.true
    out = dict.fromkeys(("abs_rel", "delta1", "bias", "scale_error"), np.nan)
    out |= {"aligned": np.nan, "delta1_aligned": np.nan, "coverage": compared.coverage}
    if not len(said):
        return out
    factor = np.median(true) / np.median(said)
    out |= {"aligned": abs_rel(factor * said, true), "delta1_aligned": delta1(factor * said, true)}
    if metric:
        out |= {
            "abs_rel": abs_rel(said, true),
            "delta1": delta1(said, true),
            "bias": float(np.mean((said - true) / true)),
            "scale_error": float(abs(np.log(factor))),
        }
    return out


def abs_rel(said: np.ndarray, true: np.ndarray) -> float:
    """Mean relative error of depth."""
    return float(np.mean(np.abs(said - true) / true))


def delta1(said: np.ndarray, true: np.ndarray) -> float:
    """Share of the depth that is less than a quarter off."""
    with np.errstate(divide="ignore"):
        return float(np.mean(np.maximum(said / true, true / said) < CLOSE))


def camera_errors(
    T_world_cam: np.ndarray, said: np.ndarray | None, reference: int
) -> dict[str, float]:
    """Mean errors of the predicted cameras against the reference view.

    rotation_deg; translation: share of the true distance, after fitting one scale. NaN of one
    view, of a network without cameras, and of cameras that stood still.
    """
    out = {"rotation_deg": np.nan, "translation": np.nan}
    others = [i for i in range(len(T_world_cam)) if i != reference]
    if said is None or not others or not np.isfinite(said).all():
        return out
    true, found = (poses.inverse(T[reference]) @ T[others] for T in (T_world_cam, said))
    turn = np.swapaxes(true[:, :3, :3], 1, 2) @ found[:, :3, :3]
    out["rotation_deg"] = float(np.degrees(poses.rotation_angle(turn)).mean())
    t_true, t_found = true[:, :3, 3], found[:, :3, 3]
    distance, length = np.linalg.norm(t_true, axis=1), (t_found**2).sum()
    if distance.min() > 1e-3 and length > 0:
        scale = (t_true * t_found).sum() / length
        out["translation"] = float(
            (np.linalg.norm(scale * t_found - t_true, axis=1) / distance).mean()
        )
    return out


def summary(windows: Sequence[Measured]) -> dict[str, float | str]:
    """Means over windows of what is known, `windows` of them; NaN where none is. rests_on: how
    many rest on what."""
    names = windows[0].numbers
    means = {name: mean_of_known([w.numbers[name] for w in windows]) for name in names}
    # A window without any depth is seen in the coverage, not in the errors.
    counted = Counter(w.rests_on for w in windows).most_common()
    return means | {
        "windows": len(windows),
        "rests_on": ", ".join(f"{count} {what}" for what, count in counted),
    }


def mean_of_known(values: Sequence[float]) -> float:
    """NaN where nothing is known."""
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")
