"""Who gains and who loses when models whose tasks truly differ learn from each other, and how alike do they become?

Question. With one common truth, exchange is a gift of data. Let three entities share a truth and a fourth have one of
its own, a distance delta away.

Method. K = 4, d = 10, 20 private rows of full rank each, 20 public rows that follow the common truth (seeds 0 to 9),
beta = 0.5, sigma = 1. The exact limit of each entity's MSE, against its own truth, at alpha = 0.2 and 0.5 over that at
alpha = 0 (medians); and the squared distance of the fourth model's mean from the others' mean, over delta^2: 1 keeps
its own voice, 0 is consensus.

Answer, as `python examples/different_truths.py FOLDER` prints it in 5 s:

* With one truth all gain: at alpha = 0.5 MSE falls to 0.67 (the three) and 0.72 (the fourth) of that without
  exchange.
* The odd one out loses first: from delta = 0.73 at alpha = 0.5 (1.13 at 0.2), while the three gain until delta = 2.3;
  at alpha = 0.2 they still gain at delta = 3 (0.87). For scale, without exchange a model's MSE is 0.33 at delta = 0.
* They become alike fast: of the squared distance between truths the means keep 0.39 at alpha = 0 (public data alone
  pull them together), 0.21 at 0.2, 0.07 at 0.5 and 0.003 at 0.9, with beta = 0.5; with beta = 0.9, 0.77, 0.44, 0.16,
  0.007.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.theory import LinearEcosystem, random_features

D = 10


def ecosystem(delta: float, alpha: float, seed: int) -> LinearEcosystem:
    """Three entities of one truth (zero, for only distances count) and a fourth at a distance delta."""
    drawn = random_features(4, D, D, 20, seed, public_rows=20)
    direction = np.random.default_rng(seed).standard_normal(D)
    truths = np.zeros((4, D))
    truths[3] = delta * direction / np.linalg.norm(direction)
    return LinearEcosystem.from_features(
        drawn.private, drawn.public, alpha=alpha, truths=truths, truth_public=np.zeros(D)
    )


def gains(delta: float, alpha: float, seeds: int) -> np.ndarray:
    """MSE with exchange over MSE without, of the three and of the fourth, median over seeds."""
    pairs = [(ecosystem(delta, alpha, s).limit().mse, ecosystem(delta, 0.0, s).limit().mse) for s in range(seeds)]
    ratio = np.array([with_exchange / without for with_exchange, without in pairs])
    return np.median([[row[:3].mean(), row[3]] for row in ratio], axis=0)


def voice(alpha: float, beta: float, seeds: int) -> float:
    """Squared distance of the fourth mean from the others', over delta^2, median over seeds; delta does not matter."""
    means = [ecosystem(1.0, 0.0, s).with_weights(alpha, beta).limit().mean for s in range(seeds)]
    return float(np.median([((mean[3] - mean[:3].mean(axis=0)) ** 2).sum() for mean in means]))


def main(folder: Path, seeds: int = 10, steps: int = 13) -> dict[str, float]:
    """Draw the figure and return the numbers."""
    deltas = np.linspace(0.0, 3.0, steps)
    alphas = np.linspace(0.0, 0.98, steps)
    moved = {alpha: np.array([gains(delta, alpha, seeds) for delta in deltas]) for alpha in (0.2, 0.5)}
    voices = {beta: np.array([voice(alpha, beta, seeds) for alpha in alphas]) for beta in (0.5, 0.9)}
    parts = [
        Chart("Who gains", "distance δ of the fourth truth", "MSE over that at α = 0",
              [Curve(f"{who}, α = {alpha}", deltas, each[:, i]) for alpha, each in moved.items()
               for i, who in enumerate(("the three", "the fourth"))], {"no exchange": 1.0}, span=(0, 2)),
        Chart("How alike they become", "α", "distance² of means / δ²",
              [Curve(f"β = {beta}", alphas, each) for beta, each in voices.items()], span=(0, 1.02)),
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "different_truths.png").write_bytes(to_png(charts(parts, columns=2, height=2.4)))
    found = {}
    for alpha, each in moved.items():
        for i, who in enumerate(("the three", "the fourth")):
            found |= {f"alpha {alpha}, delta {d:g}: {who}": float(np.interp(d, deltas, each[:, i])) for d in (0, 1, 3)}
            over = np.flatnonzero(each[:, i] > 1)
            found[f"alpha {alpha}: {who} lose from delta"] = float(
                np.interp(0, np.log(each[over[0] - 1 : over[0] + 1, i]), deltas[over[0] - 1 : over[0] + 1])
            ) if len(over) else np.inf  # fmt: skip
    found |= {f"voice at beta {beta}, alpha {a:g}": float(np.interp(a, alphas, each)) for beta, each in voices.items()
              for a in (0.0, 0.2, 0.5, 0.9)}  # fmt: skip
    return found


if __name__ == "__main__":
    for name, value in main(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-out")).items():
        print(f"{name}: {value:.4g}")
