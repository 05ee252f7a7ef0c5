"""From how many rows on do logistic and Poisson models follow the linear theory?

    python examples/universality.py                    # about 20 s of one core
    python examples/universality.py --replicates 4000  # the table of docs/universality.md

Runs of the learner `glm` are held against `LinearEcosystem` with information matrices in place of Gram matrices: the
relative deviation of the simulated covariance's trace, the mean over entities, at generations 0, 1, 5 and 10.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed import Experiment, MemoryStore, run
from crossfeed.records import state_scope_of
from crossfeed.tasks.regression import mean_response
from crossfeed.theory import LinearEcosystem, Moments

FAMILIES = ("logistic", "poisson")
ENTITIES = (1, 2)
ROWS = (25, 50, 100, 200, 400, 800)
GENERATIONS = (0, 1, 5, 10)
ALPHA, BETA, DIMENSION = 0.5, 0.5, 3
AGREEMENT = 0.1


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        family: Of the responses.
        entities: K.
        rows: n, of each entity's private data and of the public data.
        deviation: Simulated over predicted trace of the covariance, less 1, at each generation; None where the data of
            some replicate were separated.
        error: Standard errors.
    """

    family: str
    entities: int
    rows: int
    deviation: NDArray[np.float64] | None
    error: NDArray[np.float64] | None


def described(family: str, entities: int, rows: int, replicates: int) -> Experiment:
    """One common truth of norm 1, features of full rank, alpha = beta = 0.5."""
    common = f"dimension: {DIMENSION}, rows: {rows}, truth: {{norm: 1}}, family: {family}, replicates: {replicates}"
    owners = "".join(f"    - {{name: owner-{k}, private: own-{k}}}\n" for k in range(entities))
    tasks = "".join(f"  own-{k}: {{source: regression, entity: {k}, {common}}}\n" for k in range(entities))
    return Experiment.from_yaml(
        f"ecosystem:\n  entities:\n{owners}  alpha: {ALPHA}\n  beta: {BETA}\n"
        f"learner: {{kind: glm, family: {family}}}\n"
        f"tasks:\n{tasks}public: {{source: regression, {common}}}\n"
        f"generations: {max(GENERATIONS)}\ncheckpoints: all\nmetrics: {{}}\n"
    )


def predicted(experiment: Experiment) -> Moments:
    """The linear theory with information matrices at the truth, X' diag(b''(X theta*)) X, and sigma = 1."""
    tasks = [settings.build(name, None) for name, settings in experiment.tasks.items()]
    informations = []
    for task in [*tasks, experiment.public.build("public", None)]:
        mean = mean_response(task.family, task.features @ task.truth)
        variance = mean * (1 - mean) if task.family == "logistic" else mean
        informations.append(task.features.T @ (variance[:, None] * task.features))
    eco = LinearEcosystem(
        np.array(informations[:-1]), informations[-1], alpha=ALPHA, beta=BETA, truth_public=tasks[0].truth
    )
    return eco.moments(GENERATIONS)


def simulated(experiment: Experiment) -> NDArray[np.float64] | None:
    """States ``(generations, R, K, d)`` of a run; None if it failed because data were separated."""
    store = MemoryStore()
    if run(experiment, store).failures:
        return None
    (cell,) = experiment.cells()
    names = experiment.ecosystem.names
    kept = [store.read_states(state_scope_of(cell, t), t, names, lambda folder: None) for t in GENERATIONS]
    return np.stack([np.stack(states, axis=1) for states in kept])


def compare(family: str, entities: int, rows: int, replicates: int) -> Row:
    """One line of the table."""
    experiment = described(family, entities, rows, replicates)
    states = simulated(experiment)
    if states is None:
        return Row(family, entities, rows, None, None)
    squares = ((states - states.mean(axis=1, keepdims=True)) ** 2).sum(axis=3).mean(axis=2)
    wanted = predicted(experiment).variance.mean(axis=1)
    trace = squares.sum(axis=1) / (replicates - 1)
    return Row(family, entities, rows, trace / wanted - 1, squares.std(axis=1, ddof=1) / np.sqrt(replicates) / wanted)


def agreeing(table: list[Row]) -> int | None:
    """The smallest n from which on every deviation is at most 10 %."""
    enough = None
    for row in sorted(table, key=lambda row: -row.rows):
        if row.deviation is None or np.abs(row.deviation).max() > AGREEMENT:
            break
        enough = row.rows
    return enough


def line(row: Row) -> str:
    """A line of a Markdown table."""
    if row.deviation is None or row.error is None:
        cells = ["separated"] * len(GENERATIONS)
    else:
        cells = [f"{100 * d:+.1f} ± {100 * e:.1f}" for d, e in zip(row.deviation, row.error, strict=True)]
    return f"| {row.family} | {row.entities} | {row.rows} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table and the sample sizes of agreement."""
    parser = argparse.ArgumentParser(description="GLMs against the linear theory.")
    parser.add_argument("--replicates", type=int, default=1000)
    replicates = parser.parse_args().replicates
    print("| family | K | n | " + " | ".join(f"t = {t} (%)" for t in GENERATIONS) + " |")
    print("|---|--:|--:|" + "--:|" * len(GENERATIONS))
    verdicts = []
    for family, entities in itertools.product(FAMILIES, ENTITIES):
        table = []
        for rows in ROWS:
            table.append(compare(family, entities, rows, replicates))
            print(line(table[-1]), flush=True)
        verdicts.append(f"{family}, K = {entities}: within 10 % from n = {agreeing(table)} on")
    print("\n" + "\n".join(verdicts))


if __name__ == "__main__":
    main()
