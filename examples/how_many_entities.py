"""What happens to each model as more and more of them feed on each other, K = 1 to 100,000?

Question. The paper's figures have K = 2 and 4. Does a crowd of models help its members, and for how long?

Method. d = 15. Every entity owns 5 rows of standard normal features (rank 5), the public data are 30 such rows. The
limit's exact mean MSE at alpha = beta = 0.5, at alpha = 0 (nobody trains on anybody's output) with beta = 0.5, and at
the best alpha and beta for each K up to 1,000. The pooled estimator, which sees all data, is the floor.

Answer, as `python examples/how_many_entities.py FOLDER` prints it in 15 s:

* At one half and one half a crowd helps until K is about 30, then no more: MSE 1.157 (K = 1), 0.893 (3), 0.584 (10),
  0.509 (30), 0.470 (1,000 and 100,000), against 1.0 without exchange. What is left is each model's own and the public
  noise.
* The best weights move to the corner as K grows: alpha 0.34, 0.61, 0.78, 0.88, 0.96 and beta 0.65, 0.77, 0.87, 0.94,
  0.99 for K = 3, 10, 30, 100, 1,000. Then error keeps falling, to 0.0175 at K = 1,000 (27 times below one half and
  one half), though slower than the pooled estimator's 0.0030.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.theory import LinearEcosystem, optimal_weights, pooled_mse

COUNTS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)


def ecosystem(K: int, d: int = 15, rows: int = 5) -> LinearEcosystem:
    """K entities with random features; the first ones are the same for every K."""
    private = np.random.default_rng(0).standard_normal((K, rows, d))
    return LinearEcosystem.from_features(private, np.random.default_rng(1).standard_normal((2 * d, d)))


def best_of(eco: LinearEcosystem) -> tuple[float, float, float]:
    """The best alpha and beta, and the mean MSE there."""
    best = optimal_weights(eco)
    return best.alpha, best.beta, best.value


def main(folder: Path, counts: tuple[int, ...] = COUNTS, searched: int = 1000) -> dict[str, float]:
    """Draw the figure and return the numbers; the best weights are searched up to `searched` entities."""
    half, alone, pooled, best = [], [], [], []
    for K in counts:
        eco = ecosystem(K)
        half.append(float(eco.limit().mse.mean()))
        alone.append(float(eco.with_weights(0.0, 0.5).limit().mse.mean()))
        pooled.append(float(pooled_mse(eco)[0]))
        best.append(best_of(eco) if searched >= K else (np.nan, np.nan, np.nan))
    x, tuned = np.array(counts, dtype=float), np.array(best)
    errors = {"α = 0, β = 0.5 (no exchange)": alone, "α = β = 0.5": half, "best α, β": tuned[:, 2], "pooled": pooled}
    weights = {"best α": tuned[:, 0], "best β": tuned[:, 1]}
    parts = [
        Chart("Error in the limit", "number of models K", "mean MSE",
              [Curve(label, x, np.array(y)) for label, y in errors.items()], log="xy"),
        Chart("The best weights", "number of models K", "weight",
              [Curve(label, x, y, look) for look, (label, y) in enumerate(weights.items(), 4)], log="x",
              span=(0, 1.03)),
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "how_many_entities.png").write_bytes(to_png(charts(parts, columns=2, height=2.4)))
    tables = errors | weights
    return {f"K = {K}, {label}": float(y[i]) for i, K in enumerate(counts) for label, y in tables.items()}


if __name__ == "__main__":
    for name, value in main(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-out")).items():
        print(f"{name}: {value:.4g}")
