"""How much fresh human data holds off collapse when models train on nothing but the pool (alpha = 1)?

Question. At alpha = 1 variance grows for ever. Let a fraction phi of each newly collected pool be human.

Method. Figure 2's ecosystem (K = 4, d = 15, private rank 5 in 15 rows; the fresh rows have the public features, here 30
rows) at alpha = 1, seeds 0 to 9. Exact limiting MSE against phi, over the mean MSE at generation 0 (beta_0 = 0.5), when
no model has read another's output yet.

Answer, as `python examples/fresh_human_data.py FOLDER` prints it in 5 s:

* Without fresh data the MSE of one draw is 213 times that of generation 0 after 40 generations, and grows linearly.
* Any fresh fraction gives a limit, and for small phi it goes as 1/phi (slope -1.016): 165 times generation 0 at 0.1
  %, 15.8 times at 1 %, 1.46 times at 10 %.
* 7.3 % keeps the error within twice that of generation 0, 16 % at it. The lowest is at 32 % (0.76 times): beyond that
  the pool's knowledge of private data is lost, and all-fresh (phi = 1) gives 1.33.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.theory import LinearEcosystem, random_features


def ecosystem(phi: float, seed: int, **options: float) -> LinearEcosystem:
    """Four models that train on the pool alone, a fraction phi of it human."""
    drawn = random_features(4, 15, 5, 15, seed, public_rows=30)
    return LinearEcosystem.from_features(
        drawn.private, drawn.public, fresh=drawn.public, fresh_fraction=phi, alpha=1.0, **options
    )


def main(folder: Path, seeds: int = 10, steps: int = 25) -> dict[str, float]:
    """Draw the figure and return the numbers."""
    fractions = np.geomspace(1e-3, 1.0, steps)
    start = np.array([ecosystem(0.5, seed).moments([0]).mse.mean() for seed in range(seeds)])
    limits = np.array([[ecosystem(phi, seed).limit().mse.mean() for seed in range(seeds)] for phi in fractions])
    median = np.median(limits / start, axis=1)
    asked = np.arange(41)
    paths = {phi: ecosystem(phi, 0).moments(asked).mse.mean(axis=1) / start[0] for phi in (0.0, 0.01, 0.1, 0.3)}
    parts = [
        Chart("The way there, one draw", "generation", "MSE over generation 0",
              [Curve(f"fresh {phi:g}", asked.astype(float), path) for phi, path in paths.items()], log="y"),
        Chart(f"The limit, median of {seeds} draws", "fresh fraction φ", "MSE over generation 0",
              [Curve("limit", fractions, median, 4)], {"generation 0": 1.0}, log="xy"),
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fresh_human_data.png").write_bytes(to_png(charts(parts, columns=2, height=2.4)))
    falling = slice(0, int(median.argmin()) + 1)  # past its lowest point more fresh data do harm
    needed = {level: float(np.exp(np.interp(-np.log(level), -np.log(median[falling]), np.log(fractions[falling]))))
              for level in (10.0, 2.0, 1.0)}  # fmt: skip
    slope = np.polyfit(np.log(fractions[:8]), np.log(median[:8]), 1)[0]
    return {
        **{f"limit over generation 0 at phi = {phi:g}": float(np.exp(np.interp(
            np.log(phi), np.log(fractions), np.log(median)))) for phi in (0.001, 0.01, 0.1, 0.5, 1.0)},
        **{f"phi for {level:g} times generation 0": phi for level, phi in needed.items()},
        "lowest limit": float(median.min()),
        "phi of the lowest limit": float(fractions[median.argmin()]),
        "slope of log MSE in log phi, small phi": float(slope),
        "generation 40 over generation 0 without fresh data": float(paths[0.0][-1]),
    }  # fmt: skip


if __name__ == "__main__":
    for name, value in main(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-out")).items():
        print(f"{name}: {value:.4g}")
