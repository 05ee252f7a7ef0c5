"""Does the universal pathway pi^2/6 survive when models learn from each other?

Question. One model that keeps all its data, real and generated, ends with at most pi^2/6 = 1.6449 times the variance it
began with, whatever its features (Gerstgrasser et al., 2024; Dey and Donoho, 2024). What of K models that share one
growing pool?

Method. Every generation weighs as much as the real data (alpha_t = t/(t+1), history "accumulate", beta = 1: each model
keeps its own data). Each model's exact variance is divided by that of least squares on all models' data pooled. Unequal
features are S_k = V_k exp(h Z_k) V_k' with random rotations V_k and independent standard normals Z_k: h is the spread
of log eigenvalues, and h = 0 makes them equal.

Answer, as `python examples/universal_pathway.py FOLDER` prints it in 10 s:

* Equal features: the pathway survives, against the pooled estimator. 1.6425 at generation 400 for K = 4 and 16, as
  for K = 1 (1.6424). Every model ends as if it had owned everyone's data from the start, up to the one factor pi^2/6.
* Unequal features: pi^2/6 is then a bound that none of 48 draws reached (largest 1.6314), not the value. At
  generation 200 the median of 6 draws falls to 1.56 (K = 2) and 1.49 (K = 4) at h = 2: consensus is no longer exactly
  the pooled estimator, which costs some per cent, but synthetic noise is damped more than that.
* It breaks where the pool does not weigh models by their data. With equal features and shares w the ratio is K sum_j
  w_j^2 pi^2/6: 1.78, 2.19, 3.83 and 6.56 for a first share of 0.375, 0.5, 0.75 and 1 at K = 4; a dominant provider
  throws the others' data away (11.3 at h = 1). Publishing at other features than one holds breaks it as well: 2.21
  with equal private features.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.theory import LinearEcosystem

PATHWAY = {"π²/6": np.pi**2 / 6}


def grams(K: int, d: int, spread: float, seed: int) -> np.ndarray:
    """S_k = V_k exp(h Z_k) V_k', shape (K, d, d)."""
    rng = np.random.default_rng(seed)
    turns = np.linalg.qr(rng.standard_normal((K, d, d)))[0]
    return (turns * np.exp(spread * rng.standard_normal((K, 1, d)))) @ turns.swapaxes(1, 2)


def ratios(private: np.ndarray, generations: list[int], **options: Any) -> np.ndarray:
    """Each model's variance over that of pooled least squares, shape (n, K)."""
    d = private.shape[1]
    eco = LinearEcosystem(
        private, np.eye(d), alpha=lambda t: t / (t + 1), beta=1.0, history="accumulate", **options
    )  # fmt: skip
    return eco.moments(generations).variance / np.trace(np.linalg.inv(private.sum(axis=0)))


def main(folder: Path, last: int = 400, draws: int = 6, d: int = 6) -> dict[str, float]:
    """Draw the figure and return the numbers."""
    asked = sorted({int(t) for t in np.geomspace(1, last, 16)})
    equal = {K: ratios(grams(K, d, 0.0, 0), asked).mean(axis=1) for K in (1, 4, 16)}
    spreads, half = np.linspace(0.0, 2.0, 5), last // 2
    unequal = {K: np.array([[ratios(grams(K, d, h, seed), [half]).max() for seed in range(draws)] for h in spreads])
               for K in (2, 4)}  # fmt: skip
    first = np.linspace(0.25, 1.0, 7)
    shares = [np.array([w, *[(1 - w) / 3] * 3]) for w in first]
    uneven = {h: np.array([ratios(grams(4, d, h, 0), [half], shares=w).max() for w in shares]) for h in (0.0, 1.0)}
    parts = [
        Chart("Equal features", "generation", "variance over pooled",
              [Curve(f"K = {K}", np.array(asked), each) for K, each in equal.items()], PATHWAY, "x", (0.9, 1.8)),
        Chart("Unequal features", "spread h of log eigenvalues", "variance over pooled",
              [Curve(f"K = {K}, median", spreads, np.median(each, axis=1)) for K, each in unequal.items()],
              PATHWAY, span=(0.9, 1.8)),
        Chart("Unequal shares, K = 4", "share of the first provider", "variance over pooled",
              [Curve(f"h = {h:g}", first, each) for h, each in uneven.items()], PATHWAY),
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "universal_pathway.png").write_bytes(to_png(charts(parts, height=2.1)))
    other = ratios(grams(4, d, 0.0, 0), [half], generated=grams(4, d, 1.0, 99)).max()
    return {
        **{f"equal, K = {K}, t = {last}": each[-1] for K, each in equal.items()},
        **{f"unequal, K = {K}, h = {h:g}, median": np.median(each[i]) for K, each in unequal.items()
           for i, h in enumerate(spreads) if h > 0},
        "largest of all unequal": max(each[1:].max() for each in unequal.values()),
        **{f"first share {w:.3g}, h = 0": each for w, each in zip(first, uneven[0.0], strict=True)},
        "first share 1, h = 1": uneven[1.0][-1],
        "published features differ, K = 4": other,
    }  # fmt: skip


if __name__ == "__main__":
    for name, value in main(Path(sys.argv[1] if len(sys.argv) > 1 else "examples-out")).items():
        print(f"{name}: {value:.4f}")
