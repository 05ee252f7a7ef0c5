"""1,000 replicates of a 100-generation trajectory at d = 7, n = 89 on one core, against loops that one would write.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/monte_carlo.py

The library's time is that of a whole `crossfeed.run`: responses drawn with a key of their own for every item, pools and
states of every generation kept in a `MemoryStore`, nothing else measured. The rivals simulate one trajectory at a time:

- lstsq: one `numpy.linalg.lstsq` call a generation, the loop that comes to mind first;
- solve: the normal equations, X'X formed once, one `numpy.linalg.solve` call a generation;
- pinv:  for fixed features and weights, the pseudo-inverse computed once and one product a generation.

Two workflows of one entity: `replace` (each generation fits the newest responses alone) and `mix` (alpha = beta = 0.5:
private, public and generated rows, weighted). Rounds take turns, so that all are measured under the same load; times
are medians over the rounds, in milliseconds per trajectory: wall time, and processor time, which other work on the
machine disturbs less; ratios are of processor times. Bar: 0.4 ms in `replace`.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from crossfeed import Experiment, MemoryStore, run

REPLICATES, GENERATIONS, DIMENSION, ROWS = 1_000, 100, 7, 89
ROUNDS, TRAJECTORIES = 7, 20
SCHEMES = {"replace": "update: replace, beta: 1", "mix": "alpha: 0.5, beta: 0.5"}
TASK = f"{{source: regression, dimension: {DIMENSION}, rows: {ROWS}, replicates: {REPLICATES}}}"


def described(scheme):
    return Experiment.from_yaml(
        f"ecosystem: {{entities: [{{name: solo, private: own}}], {SCHEMES[scheme]}}}\n"
        f"learner: {{kind: linear}}\ntasks: {{own: {TASK}}}\npublic: {TASK}\n"
        f"generations: {GENERATIONS}\nmetrics: {{}}\n"
    )


def library(scheme):
    outcome = run(described(scheme), MemoryStore())
    assert not outcome.failures


def by_lstsq(design, _):
    return lambda values: np.linalg.lstsq(design, values)[0]


def by_solve(design, gram):
    return lambda values: np.linalg.solve(gram, design.T @ values)


def by_pinv(design, _):
    inverse = np.linalg.pinv(design)
    return lambda values: inverse @ values


def trajectory(rng, scheme, private, public, solver):
    """One trajectory from the zero truth, one generation after another."""
    truth = np.zeros(DIMENSION)
    y_private = private @ truth + rng.standard_normal(ROWS)
    if scheme == "replace":
        fit = solver(private, private.T @ private)
        theta = fit(y_private)
        for _ in range(GENERATIONS):
            theta = fit(private @ theta + rng.standard_normal(ROWS))
        return theta
    y_public = public @ truth + rng.standard_normal(ROWS)
    first = np.sqrt(0.5) * np.concatenate([private, public])
    theta = solver(first, first.T @ first)(np.sqrt(0.5) * np.concatenate([y_private, y_public]))
    roots = np.repeat(np.sqrt([0.25, 0.25, 0.5]), ROWS)
    design = roots[:, None] * np.concatenate([private, public, private])
    fit = solver(design, design.T @ design)
    for _ in range(GENERATIONS):
        generated = private @ theta + rng.standard_normal(ROWS)
        theta = fit(roots * np.concatenate([y_private, y_public, generated]))
    return theta


def rival(scheme, solver):
    rng = np.random.default_rng(0)
    private, public = rng.standard_normal((2, ROWS, DIMENSION))
    for _ in range(TRAJECTORIES):
        trajectory(rng, scheme, private, public, solver)


def timed(work, trajectories):
    wall, processor = time.perf_counter(), time.process_time()
    work()
    spent = time.perf_counter() - wall, time.process_time() - processor
    return tuple(1e3 * each / trajectories for each in spent)


def main():
    solvers = {"lstsq": by_lstsq, "solve": by_solve, "pinv": by_pinv}
    for scheme in SCHEMES:
        library(scheme)  # imports and caches, before anything is measured
        times = {name: [] for name in ("library", *solvers)}
        for _ in range(ROUNDS):
            times["library"].append(timed(lambda: library(scheme), REPLICATES))  # noqa: B023 - called at once
            for name, solver in solvers.items():
                times[name].append(timed(lambda: rival(scheme, solver), TRAJECTORIES))  # noqa: B023 - as above
        medians = {
            name: [statistics.median(times) for times in zip(*each, strict=True)] for name, each in times.items()
        }
        print(f"{scheme:<10} {'wall ms':>8} {'cpu ms':>8} {'ratio':>7}")
        for name, (wall, processor) in medians.items():
            print(f"  {name:<8} {wall:8.3f} {processor:8.3f} {processor / medians['library'][1]:7.1f}")


if __name__ == "__main__":
    main()
