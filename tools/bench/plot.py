"""Cost against window size, ours and upstream's, as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot_growth(rows: list[dict], path: Path) -> None:
    """One line per preset and side, at the largest resolution measured."""
    resolution = max(row["process_res"] for row in rows)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for color, preset in enumerate(dict.fromkeys(row["preset"] for row in rows)):
        mine = [r for r in rows if r["preset"] == preset and r["process_res"] == resolution]
        views = [r["views"] for r in mine]
        ours, theirs = ([r["ms"][who] / 1000 for r in mine] for who in ("ours", "bf16"))
        axes.plot(views, theirs, "o--", color=f"C{color}", label=f"{preset}, upstream (bf16)")
        axes.plot(views, ours, "s-", color=f"C{color}", label=f"{preset}, da3_ros")
    axes.set(xlabel="views in the window", ylabel="seconds per published frame", yscale="log")
    axes.set_xticks(sorted({r["views"] for r in rows}))
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
