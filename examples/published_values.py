"""Three update schemes of one linear model after 100 generations, against published simulation values.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python examples/published_values.py    # about a minute on one core

K = 1, sigma = 1, d = 7, n = 89 rows a generation: published final test errors |theta - theta*|^2, means over 20 seeds,
are 8.7 (replace), 0.183 (accumulate) and 0.254 (accumulate-and-subsample). The first two have exact expectations over
Gaussian features; the third is simulated by the learner that reads draws. See docs/published-values.md.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from crossfeed import Experiment, MemoryStore, run
from crossfeed.records import state_scope_of

DIMENSION, ROWS, GENERATIONS, SEEDS = 7, 89, 100, 20
PUBLISHED = {"replace": 8.7, "accumulate": 0.183, "accumulate-and-subsample": 0.254}
REPLICATES = 100


def exact(scheme: str) -> float:
    """E |theta - theta*|^2 over noise and isotropic Gaussian features, where E tr S^-1 = d / (n - d - 1)."""
    once = DIMENSION / (ROWS - DIMENSION - 1)
    if scheme == "replace":
        return once * (GENERATIONS + 1)
    if scheme == "accumulate":
        return once * float((1.0 / np.arange(1, GENERATIONS + 2) ** 2).sum())
    return float("nan")


def final_errors(scheme: str, seed: int) -> NDArray[np.float64]:
    """Squared errors of the last generation's estimates, one for each replicate; the seed gives the features too."""
    subsampled = scheme == "accumulate-and-subsample"
    mixing = "alpha: proportional, history: accumulate, " if subsampled else ""
    learner, size = ("draws", f"n: {ROWS}\n") if subsampled else ("everything", "")
    task = f"{{source: regression, dimension: {DIMENSION}, rows: {ROWS}, replicates: {REPLICATES}, seed: {seed}}}"
    experiment = Experiment.from_yaml(
        f"ecosystem: {{entities: [{{name: solo, private: own}}], update: {scheme}, {mixing}beta: 1}}\n"
        f"learner: {{kind: linear, reads: {learner}}}\n{size}tasks: {{own: {task}}}\npublic: {task}\n"
        f"generations: {GENERATIONS}\nseeds: [{seed}]\nmetrics: {{}}\n"
    )
    store = MemoryStore()
    run(experiment, store)
    (cell,) = experiment.cells()
    (theta,) = store.read_states(state_scope_of(cell, GENERATIONS), GENERATIONS, ("solo",), lambda folder: None)
    return np.asarray((theta**2).sum(axis=1))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description="Three update schemes against published values.")
    parser.add_argument("--seeds", type=int, default=6, help="how many matrices of features (and of draws)")
    seeds = parser.parse_args().seeds
    print("| scheme | simulated | exact | published | distance (standard errors of 20 seeds) |")
    print("|---|--:|--:|--:|--:|")
    for scheme, published in PUBLISHED.items():
        errors = np.array([final_errors(scheme, seed) for seed in range(seeds)])
        mean, spread = errors.mean(), errors.mean(axis=1).std(ddof=1) / np.sqrt(seeds)
        expected = mean if np.isnan(exact(scheme)) else exact(scheme)
        distance = (published - expected) / (errors.std() / np.sqrt(SEEDS))
        known = "" if np.isnan(exact(scheme)) else f"{expected:.4f}"
        print(f"| {scheme} | {mean:.4f} ± {spread:.4f} | {known} | {published} | {distance:+.1f} |", flush=True)


if __name__ == "__main__":
    main()
