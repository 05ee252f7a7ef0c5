"""Should the pool keep every generation, or the newest one alone?

Question. The paper's pool is the newest generation. Keeping all of them averages synthetic noise out; what is it worth,
at which synthetic share, and does it change which weights are best?

Method. Figure 2's ecosystem (K = 4, d = 15, private rank 5 in 15 rows, 15 public rows; seeds 0 to 9), beta = 0.5. Exact
mean relative efficiency in the limit against alpha under both histories, and one draw's mean MSE over generations at
alpha = 0.9 and 1.

Answer, as `python examples/accumulate_or_latest.py FOLDER` prints it in 5 s:

* Keeping everything is better at every alpha > 0, and turns the question around. "Latest" is best at alpha = 0.45
  (efficiency 0.621) and falls to 0.273 at 0.9; "accumulate" keeps rising with alpha: 0.653 at 0.3, 0.786 at 0.5,
  0.945 at 0.9 and 0.973 at 0.999, the last value tried. Old noise averages out, so more exchange is only more data.
* At alpha = 1 "latest" explodes (mean MSE 1066 at generation 300); "accumulate" stays at 8.1: bounded, but what
  generation 0 did not know is never learnt.
* The price is time: with one generation's weight falling as 1/t, the limit is approached by a power of t.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import numpy as np

from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.theory import LinearEcosystem, random_features

History = Literal["latest", "accumulate"]
HISTORIES: tuple[History, History] = ("latest", "accumulate")


def ecosystem(history: History, alpha: float, seed: int) -> LinearEcosystem:
    """Four models under one history."""
    drawn = random_features(4, 15, 5, 15, seed, public_rows=15)
    return LinearEcosystem.from_features(drawn.private, drawn.public, alpha=alpha, history=history)


def main(folder: Path, seeds: int = 10, steps: int = 34) -> dict[str, float]:
    """Draw the figure and return the numbers."""
    alphas = np.append(np.linspace(0.0, 0.99, steps), 0.999)
    efficiency = {
        history: np.array([[ecosystem(history, a, seed).relative_efficiency().mean() for seed in range(seeds)]
                           for a in alphas]).mean(axis=1)
        for history in HISTORIES
    }  # fmt: skip
    asked = np.unique(np.geomspace(1, 300, 30).astype(int))
    paths = {(history, a): ecosystem(history, a, 0).moments(asked).mse.mean(axis=1)
             for history in HISTORIES for a in (0.9, 1.0)}  # fmt: skip
    parts = [
        Chart(f"In the limit, mean of {seeds} draws", "α", "relative efficiency",
              [Curve(h, alphas, efficiency[h], look, look) for look, h in enumerate(HISTORIES)], span=(0, 1.02)),
        Chart("The way there, one draw", "generation", "mean MSE",
              [Curve(f"{h}, α = {a:g}", asked.astype(float), path, place, place)
               for place, ((h, a), path) in enumerate(paths.items(), 2)], log="xy"),
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accumulate_or_latest.png").write_bytes(to_png(charts(parts, columns=2, height=2.4)))
    found = {}
    for history, values in efficiency.items():
        found |= {f"{history}: best efficiency": float(values.max()),
                  f"{history}: best alpha": float(alphas[values.argmax()])}  # fmt: skip
        found |= {f"{history}: at alpha {a:g}": float(np.interp(a, alphas, values)) for a in (0.3, 0.5, 0.9, 0.99)}
        found[f"{history}: generation 300 at alpha 1"] = float(paths[history, 1.0][-1])
    return found


if __name__ == "__main__":
    for name, value in main(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-out")).items():
        print(f"{name}: {value:.4g}")
