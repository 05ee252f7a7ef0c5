"""What does a dominant provider do to everyone, itself included?

Question. Shares of what is published run from equal to one provider's monopoly. Who pays?

Method. K = 8 entities, d = 15, private features of rank 5 in 15 rows, 15 public rows (the generator of
`crossfeed.theory.random_features`, seeds 0 to 9), beta = 0.5. Provider 1 publishes a share w, the others the rest in
equal parts. Exact limiting MSE, mean over seeds, at alpha = 0.5 and 0.9.

Answer, as `python examples/dominant_provider.py FOLDER` prints it in 5 s:

* Everybody pays, the dominant provider most. At alpha = 0.5 its MSE goes from 0.82 (equal shares) to 1.11 (a share of
  0.56) and 4.36 (monopoly); the others' from 0.82 to 1.05 and 2.56: they still hear someone else's data, it hears
  only itself.
* Most of the damage is in the last tenth of the share, and more at a higher synthetic share: at alpha = 0.9, 1.3 to
  12.9 for the monopolist and 8.8 for the others.
* A monopoly makes models less alike, not more: the dispersion grows from 0.22 to 1.85 at alpha = 0.5.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.theory import LinearEcosystem, random_features

K = 8


def errors(share: float, alpha: float, seed: int) -> tuple[float, float, float]:
    """Limiting MSE of provider 1, the mean of the others', and the mean squared distance between models."""
    drawn = random_features(K, 15, 5, 15, seed, public_rows=15)
    shares = np.array([share, *[(1 - share) / (K - 1)] * (K - 1)])
    limit = LinearEcosystem.from_features(drawn.private, drawn.public, alpha=alpha, shares=shares).limit()
    return limit.mse[0], limit.mse[1:].mean(), limit.dispersion


def main(folder: Path, seeds: int = 10, steps: int = 15) -> dict[str, float]:
    """Draw the figure and return the numbers."""
    shares = np.linspace(1 / K, 1.0, steps)
    found, parts = {}, []
    for alpha in (0.5, 0.9):
        numbers = np.array([[errors(w, alpha, seed) for seed in range(seeds)] for w in shares]).mean(axis=1)
        lines = [Curve(label, shares, numbers[:, i]) for i, label in enumerate(
            ["MSE of the dominant provider", "mean MSE of the others", "dispersion"])]  # fmt: skip
        parts.append(Chart(f"α = {alpha}", "share of the dominant provider", "in the limit", lines,
                           span=(0, 1.05 * numbers.max())))  # fmt: skip
        for w, row in ((shares[0], numbers[0]), (shares[steps // 2], numbers[steps // 2]), (1.0, numbers[-1])):
            found |= {f"alpha {alpha}, share {w:.3f}: {what}": value for what, value in zip(
                ("dominant", "others", "dispersion"), row, strict=True)}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dominant_provider.png").write_bytes(to_png(charts(parts, columns=2, height=2.4)))
    return found


if __name__ == "__main__":
    for name, value in main(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-out")).items():
        print(f"{name}: {value:.4g}")
