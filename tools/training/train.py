"""Train the built-in model da3-demo on procedural scenes.

    python -m tools.training.train RUN --minutes 90                 # here, resumes what RUN holds
    python -m tools.training.train RUN --minutes 60 --device cuda --views-per-step 768 --fresh 64
    torchrun --nproc-per-node 2 -m tools.training.train RUN --minutes 90 --threads 1    # two cores

RUN gets `state.pt` (to resume), `best.pt` (averaged weights, best on held-out scenes) and
`curves.csv`. With --pool, windows come from files of tools.training.render_pool instead of
being rendered on the fly.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch

from da3_ros.net.network import Network
from da3_ros.net.presets import PRESETS
from tools.training import losses, samples
from tools.training.evaluate import measure
from tools.training.initialise import initialise
from tools.training.matching import AttentionListener
from tools.training.motion_stage import teach_motion
from tools.training.optimizers import learning_rate_factor, make_optimizers
from tools.training.predict import predict
from tools.training.ranks import Ranks
from tools.training.sources import LiveSource, PoolSource
from tools.training.triangulation import TriangulationProbe
from tools.training.windows import Windows, random_windows, training_atlas

EARLY_VIEW_ODDS = {1: 0.6, 2: 0.2, 4: 0.2}
VIEW_ODDS = {1: 0.1, 2: 0.15, 3: 0.15, 4: 0.45, 6: 0.15}
"""Most windows have one view at first: more scenes for the same work, from which the network
learns what rooms look like before it learns to compare views (--early)."""

POSED_ODDS = 0.75
RAY_EVERY = 4
"""Steps between those that also teach the ray branch, half the head's work."""

EMA = 0.99

HELD_OUT_SEED = 10**6
HELD_OUT_WINDOWS = 40


def main():
    args = _arguments()
    torch.manual_seed(args.seed)
    run = Run(args)
    run.resume()
    while run.minutes < args.minutes:
        run.step()
        if run.steps % args.evaluate_every == 0:
            run.evaluate_and_save()
    run.evaluate_and_save()


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--minutes", type=float, required=True, help="training time, all resumes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pool", type=Path, help="folder of rendered windows")
    parser.add_argument("--fresh", type=int, default=1, help="windows rendered anew per step")
    parser.add_argument("--scale", type=float, default=1.0, help="picture size against SIZES")
    parser.add_argument(
        "--early", type=float, default=0.2, help="share of the time with mostly one view"
    )
    parser.add_argument("--motion-steps", type=int, default=2500, help="of the first stage")
    parser.add_argument("--views-per-step", type=int, default=16)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps")
    return parser.parse_args()


class Run:
    """One training run: the network, its average, the optimisers and where they stand."""

    def __init__(self, args):
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
            self.source = LiveSource(args.seed + self.ranks.rank, device, args.fresh, args.scale)
        self.network = Network(PRESETS["da3-demo"]).to(device)
        self.attention = AttentionListener(self.network.backbone)
        self.probe = TriangulationProbe(self.network.backbone).to(device)
        self.network.backbone.pos_embed.requires_grad_(False)
        self.average = None
        self.optimizers = make_optimizers(self.network, self.probe, args.optimizer, args.lr)
        self.steps, self.minutes, self.best = 0, 0.0, float("inf")
        self.recent: list[dict] = []
        if self.ranks.is_first:
            self.held_out = held_out_windows(args.run.parent, args.scale, device)

    def _seed(self, seed: int):
        """What kind of batch comes is drawn alike by all ranks, its windows by each for itself."""
        self.kinds = torch.Generator().manual_seed(seed)
        self.generator = torch.Generator().manual_seed(seed + 10**6 * self.ranks.rank)

    def resume(self):
        """Go on from state.pt, or start fresh."""
        path = self.args.run / "state.pt"
        if not path.exists():
            self._start()
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
        self.steps, self.minutes, self.best = state["steps"], state["minutes"], state["best"]
        self._seed(self.args.seed + self.steps)
        print(f"resumed at step {self.steps}, {self.minutes:.1f} min", flush=True)

    def _start(self):
        windows = self.source.sample(64, self.generator)
        pictures = samples.make_sample(windows, posed=False).images[:, 0].cpu()
        self.network.cpu()
        initialise(self.network, pictures, self.args.seed)
        self.network.to(self.ranks.device)
        if self.ranks.is_first:
            self._teach_motion()
        self.ranks.share([*self.network.state_dict().values(), *self.probe.parameters()])
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()}

    def _teach_motion(self):
        steps = self.args.motion_steps
        learned = teach_motion(self.network, self.probe.motion, self.source, self.generator, steps)
        print("motion:", *(f"{k}={v:.3f}" for k, v in learned.items()), flush=True)

    def evaluate_and_save(self):
        """By the first rank, while the others wait."""
        if self.ranks.is_first:
            self._evaluate()
            self._save()

    def _save(self):
        state = {
            "network": self.network.state_dict(),
            "probe": self.probe.state_dict(),
            "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "steps": self.steps,
            "minutes": self.minutes,
            "best": self.best,
        }
        _write(state, self.args.run / "state.pt")

    def step(self):
        """One batch."""
        began = time.monotonic()
        self.network.train()
        sample = self._draw()
        out = predict(self.network, sample, rays=self.steps % RAY_EVERY == 0)
        views = sample.images.shape[1]
        out["attention"] = self.attention.read(views)
        out["readings"] = self.probe.read(len(sample.images), views)
        loss, parts = losses.total_loss(out, sample)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"loss is not finite at step {self.steps}: {parts}")
        loss.backward()
        self.ranks.mean_gradients([*self.network.parameters(), *self.probe.parameters()])
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._update()
        self.recent.append(parts)
        self.steps += 1
        self.minutes += self.ranks.mean_number((time.monotonic() - began) / 60)

    def _draw(self) -> samples.Sample:
        odds = EARLY_VIEW_ODDS if self.minutes < self.args.early * self.args.minutes else VIEW_ODDS
        views = int(self._choose(list(odds), list(odds.values())))
        count = max(1, self.args.views_per_step // views)
        windows = samples.choose_views(
            self.source.sample(count, self.generator), views, self.generator
        )
        if torch.rand((), generator=self.generator) < 0.5:
            windows = samples.mirror(windows)
        windows = samples.zoom(windows, self.generator)
        windows = samples.change_pictures(windows, self.generator)
        posed = bool(torch.rand((), generator=self.kinds) < POSED_ODDS)
        return samples.make_sample(windows, posed=posed)

    def _choose(self, values, odds):
        return values[int(torch.multinomial(torch.tensor(odds), 1, generator=self.kinds))]

    def _update(self):
        factor = learning_rate_factor(self.steps, self.minutes / self.args.minutes)
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
        row = {"step": self.steps, "minutes": round(self.minutes, 2)}
        row |= {f"loss_{k}": _mean(self.recent, k) for k in losses.WEIGHTS}
        row |= {f"posed_{k}": round(v, 4) for k, v in posed.items()}
        row |= {f"unposed_{k}": round(v, 4) for k, v in unposed.items()}
        self.recent = []
        _append(self.args.run / "curves.csv", row)
        print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)


def held_out_windows(folder: Path, scale: float, device) -> Windows:
    """The same windows of 4 views for every run, rendered once."""
    height, width = round(84 * scale / 14) * 14, round(112 * scale / 14) * 14
    path = folder / f"held_out_{height}x{width}.pt"
    if not path.exists():
        rng = np.random.default_rng(HELD_OUT_SEED)
        atlas = training_atlas(rng, 160).to(device)
        parts = [random_windows(rng, atlas, 1, 4, height, width) for _ in range(HELD_OUT_WINDOWS)]
        Windows.cat(parts).save(path)
    windows = Windows.load(path).to(device)
    # The pipeline's reference is the middle of the window.
    return Windows(*(getattr(windows, f)[:, [2, 0, 1, 3]] for f in windows.__dataclass_fields__))


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


if __name__ == "__main__":
    main()
