"""Does the universal pathway hold for logistic regression, and with several models?

    OMP_NUM_THREADS=1 python examples/logistic_pathway.py FOLDER                       # docs/literature.md
    OMP_NUM_THREADS=1 python examples/logistic_pathway.py FOLDER --replicates 100      # quick and rough

Question. A model that keeps its real data and everything it generated ends with pi^2 / 6 times the variance of its
first estimate (Dey and Donoho, 2024). Exact theory says the same of K linear models with equal features that share one
growing pool: pi^2 / 6 times the variance of the estimate from everyone's real data (examples/universal_pathway.py).
Logistic models follow linear ones in the limit of many rows; do they here?

Method. The learner `glm`, update: accumulate, n rows of one matrix of features for every model, responses of their own.
The trace of the estimates' covariance at generation t, the mean over the models, over that of maximum likelihood on all
real data; beside it the exact ratio of linear models with the same information. With one model that is the sum of
1 / s^2 for s = 1, ..., t + 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfeed import Experiment, MemoryStore, run
from crossfeed.learners.regression.newton import maximum_likelihood
from crossfeed.learners.regression.replicates import WeightedSource
from crossfeed.records import state_scope_of
from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.style import to_png
from crossfeed.tasks.regression import features_of, responses_of
from crossfeed.theory import LinearEcosystem

Array = NDArray[np.float64]


def described(entities: int, rows: int, generations: int, replicates: int) -> Experiment:
    """K models, one matrix of features, responses of their own."""
    common = f"rows: {rows}, truth: [0.8, -0.6], family: logistic, replicates: {replicates}"
    task = f"{{source: regression, dimension: 2, {common}}}"
    return Experiment.from_yaml(
        f"ecosystem: {{entities: {entities}, update: accumulate, beta: 1}}\nlearner: {{kind: glm, family: logistic}}\n"
        f"tasks: {{each: {task}}}\npublic: {task}\ngenerations: {generations}\ncheckpoints: all\nmetrics: {{}}\n"
    )


def ratios(entities: int, rows: int, generations: int, replicates: int) -> tuple[Array, Array, Array]:
    """Variance over that of the estimate from all real data: simulated, its standard error, and of linear models."""
    experiment = described(entities, rows, generations, replicates)
    store = MemoryStore()
    failures = run(experiment, store).failures
    if failures:
        raise RuntimeError(str(failures))
    (cell,) = experiment.cells()
    names = experiment.ecosystem.names
    kept = [store.read_states(state_scope_of(cell, t), t, names, lambda folder: None) for t in range(generations + 1)]
    states = np.array(kept)  # (T + 1, K, R, d)
    tasks: list[Any] = [experiment.tasks[name].build(name, None) for name in names]
    parts = [WeightedSource(1.0, features_of(task.train), responses_of(task.train)) for task in tasks]
    pooled = maximum_likelihood("logistic", parts, np.zeros_like(states[0, 0]), 0.0).estimates

    def squares(estimates: Array) -> Array:
        return np.asarray(((estimates - estimates.mean(axis=-2, keepdims=True)) ** 2).sum(axis=-1))

    own, best = squares(states).mean(axis=1), squares(pooled)
    ratio = own.mean(axis=1) / best.mean()
    error = (own - ratio[:, None] * best).std(axis=1, ddof=1) / np.sqrt(replicates) / best.mean()
    return ratio, error, linear_law(tasks, generations)


def linear_law(tasks: list[Any], generations: int) -> Array:
    """The same ratio of linear models with the logistic models' information at the truth in place of Gram matrices."""
    slope = features_of(tasks[0].train) @ tasks[0].truth
    weight = 1 / (2 + 2 * np.cosh(slope))
    information = features_of(tasks[0].train).T @ (weight[:, None] * features_of(tasks[0].train))
    K = len(tasks)
    eco = LinearEcosystem(
        np.array([information] * K), information, alpha=lambda t: t / (t + 1), beta=1.0, history="accumulate"
    )
    return np.asarray(
        eco.moments(range(generations + 1)).variance.mean(axis=1) * K / np.trace(np.linalg.inv(information))
    )


def main(folder: Path, replicates: int = 1000, rows: int = 100, generations: int = 20) -> dict[str, float]:
    """Draw the figure and return the numbers."""
    found, parts = {}, []
    for K in (1, 4):
        ratio, error, law = ratios(K, rows, generations, replicates)
        t = np.arange(generations + 1, dtype=float)
        lines = [Curve("logistic, simulated", t, ratio, 0, 0), Curve("linear, exact", t, law, 1, 1)]
        parts.append(Chart(f"K = {K}", "generation", "variance ratio", lines, levels={"π²/6": np.pi**2 / 6}))
        found |= {f"K = {K}: simulated": float(ratio[-1]), f"K = {K}: standard error": float(error[-1])}
        found |= {f"K = {K}: linear, exact": float(law[-1]), f"K = {K}, generation 0: simulated": float(ratio[0])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "logistic_pathway.png").write_bytes(to_png(charts(parts, columns=2, height=2.2)))
    return found | {"pi^2 / 6": np.pi**2 / 6}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("examples-out"))
    parser.add_argument("--replicates", type=int, default=1000)
    given = parser.parse_args()
    for name, value in main(given.folder, given.replicates).items():
        print(f"{name}: {value:.4g}")
