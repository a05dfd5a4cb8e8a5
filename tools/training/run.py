"""One training run: its network, where it stands, and what it leaves in its folder."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import torch

from da3_ros.net.checkpoint import load_network
from da3_ros.net.network import Network
from tools.training import losses, samples
from tools.training.evaluate import measure
from tools.training.held_out import held_out_windows
from tools.training.initialise import initialise
from tools.training.matching import AttentionListener
from tools.training.motion_stage import teach_motion
from tools.training.optimizers import learning_rate_factor, make_optimizers
from tools.training.predict import predict
from tools.training.ranks import Ranks
from tools.training.schedule import Schedule
from tools.training.sizes import SIZES
from tools.training.sources import LiveSource, PoolSource
from tools.training.triangulation import TriangulationProbe

EARLY_VIEW_ODDS = {1: 0.6, 2: 0.2, 4: 0.2}
VIEW_ODDS = {1: 0.1, 2: 0.15, 3: 0.15, 4: 0.45, 6: 0.15}
"""Most windows have one view at first: more scenes for the same work, from which the network
learns what rooms look like before it learns to compare views (--early)."""

POSED_ODDS = 0.75
RAY_EVERY = 4
"""Steps between those that also teach the ray branch, half the head's work."""

EMA = 0.99

MOST_SKIPPED = 20
"""Batches in a row whose loss may be infinite, as after one wild step, before the run is lost."""


class Run:
    """One training run: the network, its average, the optimisers and where they stand."""

    def __init__(self, args):
        self._looked_at = time.monotonic()
        self.args = args
        args.run.mkdir(parents=True, exist_ok=True)
        if args.device == "cpu":
            torch.set_num_threads(args.threads)
        self.ranks = Ranks(args.device)
        device = self.ranks.device
        self._seed(args.seed)
        if args.pool:
            self.source = PoolSource(args.pool, device)
        else:
            seed = args.seed + self.ranks.rank
            self.source = LiveSource(seed, device, args.fresh, args.scale, args.workers)
        self.network = Network(SIZES[args.size]).to(device)
        self.attention = AttentionListener(self.network.backbone)
        self.probe = TriangulationProbe(self.network.backbone).to(device)
        self.network.backbone.pos_embed.requires_grad_(False)
        self.average = None
        self.optimizers = make_optimizers(self.network, self.probe, args.optimizer, args.lr)
        self.steps, self.best = 0, float("inf")
        self.began = 0  # at which step
        self.skipped = self.skips = 0  # batches: in a row, of this start
        self.schedule = Schedule(args.minutes)
        self.recent: list[dict] = []
        if self.ranks.is_first:
            self.held_out = held_out_windows(args.run, args.scale, device, args.held_out)
        if args.compile:
            compile_parts(self.network)

    def _seed(self, seed: int):
        """What kind of batch comes is drawn alike by all ranks, its windows by each for itself."""
        self.kinds = torch.Generator().manual_seed(seed)
        self.generator = torch.Generator().manual_seed(seed + 10**6 * self.ranks.rank)

    def resume(self):
        """Go on from state.pt, or start fresh."""
        path = self.args.run / "state.pt"
        if not path.exists():
            self._start()
            self._tick()
            return
        state = torch.load(path, weights_only=True, map_location=self.ranks.device)
        self.network.load_state_dict(state["network"])
        self.probe.load_state_dict(state["probe"])
        self.average = state["average"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            rates = [group["initial_lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, rate in zip(optimizer.param_groups, rates):
                group["initial_lr"] = rate
        self.began = self.steps = state["steps"]
        # An error of pictures of another size says nothing about these.
        self.best = state["best"] if state["scale"] == self.args.scale else float("inf")
        spent = state["minutes"]
        self.schedule = Schedule(self.args.minutes, spent, saved=spent, evaluated=spent)
        self._seed(self.args.seed + self.steps)
        self._tick()
        print(f"resumed at step {self.steps}, {self.schedule.spent:.1f} min", flush=True)

    def _start(self):
        if self.args.start:
            self.network.load_state_dict(_weights_of(self.args.start, self.args.size))
        else:
            self._start_from_nothing()
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()}

    def _start_from_nothing(self):
        windows = self.source.sample(64, self.generator)
        pictures = samples.make_sample(windows, posed=False).images[:, 0].cpu()
        self.network.cpu()
        initialise(self.network, pictures, self.args.seed)
        self.network.to(self.ranks.device)
        if self.ranks.is_first:
            self._teach_motion()
        self.ranks.share([*self.network.state_dict().values(), *self.probe.parameters()])

    def _teach_motion(self):
        steps = self.args.motion_steps
        learned = teach_motion(self.network, self.probe.motion, self.source, self.generator, steps)
        print("motion:", *(f"{k}={v:.3f}" for k, v in learned.items()), flush=True)

    def checkpoint(self):
        """Save and evaluate where it is time to."""
        if self.schedule.evaluation_is_due:
            self.evaluate_and_save()
        elif self.schedule.saving_is_due:
            self.schedule.saved = self.schedule.spent
            if self.ranks.is_first:
                self._save()

    def evaluate_and_save(self):
        """By the first rank, while the others wait."""
        began = self.schedule.spent
        if self.ranks.is_first:
            self._evaluate()
            self._save()
        self._tick()
        self.schedule.has_evaluated(self.schedule.spent - began)

    def _tick(self):
        """All that takes time counts, not the steps alone."""
        now = time.monotonic()
        self.schedule.spent += self.ranks.mean_number((now - self._looked_at) / 60)
        self._looked_at = now

    def _save(self):
        state = {
            "network": self.network.state_dict(),
            "probe": self.probe.state_dict(),
            "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "steps": self.steps,
            "minutes": self.schedule.spent,
            "best": self.best,
            "scale": self.args.scale,
        }
        _write(state, self.args.run / "state.pt")

    def step(self):
        """One batch."""
        self.learn(self._draw())
        self._tick()

    def learn(self, sample: samples.Sample):
        """From one batch; one whose loss or gradient is not finite teaches nothing.

        Raises `FloatingPointError` after `MOST_SKIPPED` of them in a row.
        """
        self.network.train()
        out = predict(self.network, sample, rays=self.steps % RAY_EVERY == 0)
        views = sample.images.shape[1]
        out["attention"] = self.attention.read(views)
        out["readings"] = self.probe.read(len(sample.images), views)
        loss, parts = losses.total_loss(out, sample, shape_only=self.args.shape_only)
        self.steps += 1
        if self._is_finite(loss) and self._is_finite(self._gradients(loss)):
            self._update()
            self.recent.append(parts)
            self.skipped = 0
            return
        self.skipped += 1
        self.skips += 1
        if self.skipped > MOST_SKIPPED:
            raise FloatingPointError(f"loss is not finite at step {self.steps}: {parts}")
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _gradients(self, loss: torch.Tensor) -> torch.Tensor:
        """Their sum of norms; those of the network are clipped."""
        loss.backward()
        network, probe = list(self.network.parameters()), list(self.probe.parameters())
        self.ranks.mean_gradients([*network, *probe])
        clip = torch.nn.utils.clip_grad_norm_
        return clip(network, 1.0) + clip(probe, float("inf"))

    def _is_finite(self, value: torch.Tensor) -> bool:
        """On all ranks, which must go on alike."""
        return self.ranks.mean_number(float(value.isfinite())) == 1.0

    def _draw(self) -> samples.Sample:
        odds = EARLY_VIEW_ODDS if self.schedule.progress < self.args.early else VIEW_ODDS
        views = int(self._choose(list(odds), list(odds.values())))
        posed = bool(torch.rand((), generator=self.kinds) < POSED_ODDS)
        return self.draw(views, posed)

    def draw(self, views: int, posed: bool) -> samples.Sample:
        """A batch of windows of so many views."""
        count = max(1, self.args.views_per_step // views)
        windows = samples.choose_views(
            self.source.sample(count, self.generator), views, self.generator
        )
        if torch.rand((), generator=self.generator) < 0.5:
            windows = samples.mirror(windows)
        windows = samples.zoom(windows, self.generator)
        windows = samples.change_pictures(windows, self.generator)
        return samples.make_sample(windows, posed=posed)

    def _choose(self, values, odds):
        return values[int(torch.multinomial(torch.tensor(odds), 1, generator=self.kinds))]

    def _update(self):
        factor = learning_rate_factor(self.steps, self.schedule.progress)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        decay = min(EMA, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)

    def _evaluate(self):
        """Held-out numbers of the averaged weights; keep them where their shape is the best so far.

        Not the metric error: early, one constant depth beats every real attempt at it.
        """
        began = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        posed = measure(self.network, self.held_out, posed=True)
        unposed = measure(self.network, self.held_out, posed=False)
        if posed["abs_rel_aligned"] < self.best:
            self.best = posed["abs_rel_aligned"]
            _write(self.average, self.args.run / "best.pt")
        self.network.load_state_dict(began)
        row = {"step": self.steps, "skipped": self.skips, "minutes": round(self.schedule.spent, 2)}
        row |= {f"loss_{k}": _mean(self.recent, k) for k in losses.WEIGHTS}
        row |= {f"posed_{k}": round(v, 4) for k, v in posed.items()}
        row |= {f"unposed_{k}": round(v, 4) for k, v in unposed.items()}
        self.recent = []
        _append(self.args.run / "curves.csv", row)
        print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)


def compile_parts(network: Network) -> None:
    """torch.compile what nothing listens to: the feed-forward layers and the head."""
    for block in network.backbone.blocks:
        block.mlp.compile(dynamic=True)
    network.head.compile(dynamic=True)


def _weights_of(name: str, size: str) -> dict[str, torch.Tensor]:
    """Of a trained network of that size. name: as in `load_network`."""
    trained = load_network(name)
    if trained.weights.random or trained.preset != SIZES[size]:
        raise SystemExit(
            f"{name} is not a trained network of size {size}; --start takes only those"
        )
    return trained.state_dict()


def _mean(rows, name):
    values = [row[name] for row in rows if name in row]
    return round(float(np.mean(values)), 4) if values else ""


def _append(path: Path, row: dict):
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _write(state, path: Path):
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)
