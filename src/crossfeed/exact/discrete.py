"""The exact prediction of an experiment of discrete models, as the tables of `crossfeed.exact.prediction`.

| metric | of | what it is |
|---|---|---|
| ``heterozygosity`` | each model | expectation, exact |
| ``surviving_symbols`` | each model | expectation, exact; of one model with the newest pool and one real data set |
| ``surviving_symbols_lower``, ``_upper`` | each model | bounds of the expectation, everywhere |
| ``squared_distance`` | each model and task | expectation of sum (p - truth)^2 over symbols, exact |
| ``total_variation_of_mean`` | each model and task | total variation from the truth of the expected distribution |
| ``probability_I`` | each model | expected probability of symbol I, exact; there for at most 12 symbols |

Where items are chosen among candidates, `crossfeed.exact.curated` has the numbers, without sampling noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from crossfeed.description.experiment import Experiment
from crossfeed.exact.discrete_ecosystem import discrete_ecosystem, truths_of
from crossfeed.exact.linear_ecosystem import settled_weights
from crossfeed.protocols import Array
from crossfeed.theory.discrete import DiscreteEcosystem
from crossfeed.theory.discrete_limit import limiting_heterozygosity
from crossfeed.theory.discrete_moments import DiscreteMoments, discrete_moments
from crossfeed.theory.survival import expected_survivors
from crossfeed.theory.wright_fisher import CountChain

__all__ = ["HETEROZYGOSITY", "LISTED", "SURVIVORS", "discrete_limit", "discrete_numbers", "exact_survivors"]

#: Numbers that a run measures, too.
HETEROZYGOSITY: Final = "heterozygosity"
SURVIVORS: Final = "surviving_symbols"

#: Of at most so many symbols every expected probability is listed.
LISTED: Final = 12

#: A chain of more states, or more numbers of all its matrices, is not taken.
_STATES: Final = 1000
_NUMBERS: Final = 10**8


def discrete_numbers(experiment: Experiment) -> list[tuple[str, Array, int]]:
    """Compute every number of one cell.

    Args:
        experiment: The cell's experiment.

    Returns:
        Metrics, their numbers of each model (K,), or of each model and task (K, M), and generations.

    Raises:
        InvalidDescription: The description has no exact theory of discrete models.
    """
    ecosystem = discrete_ecosystem(experiment)
    moments = discrete_moments(ecosystem)
    series = dict(_series(ecosystem, moments, np.stack(list(truths_of(experiment).values()))))
    return [(name, values[t], t) for t in range(ecosystem.generations + 1) for name, values in series.items()]


def discrete_limit(experiment: Experiment) -> list[tuple[str, Array]] | None:
    """Compute the long run of one cell, under lasting weights and the sizes of the last generation.

    Args:
        experiment: The cell's experiment.

    Returns:
        Metrics and their numbers of each model, shape (K,); None if weights never settle, every generation stays in
        the pool, or drift goes on for ever.

    Raises:
        InvalidDescription: The description has no exact theory of discrete models.
    """
    lasting, ecosystem = settled_weights(experiment.ecosystem), discrete_ecosystem(experiment)
    if lasting is None or ecosystem.generations == 0:
        return None
    alpha, beta = (
        np.concatenate([each[:-1], last[None]])
        for each, last in zip((ecosystem.alpha, ecosystem.beta), lasting, strict=True)
    )
    limit = limiting_heterozygosity(replace(ecosystem, alpha=alpha, beta=beta))
    return None if limit is None else [(HETEROZYGOSITY, limit)]


def _series(ecosystem: DiscreteEcosystem, moments: DiscreteMoments, truths: Array) -> Iterator[tuple[str, Array]]:
    """Yield metrics with their numbers at all generations."""
    yield HETEROZYGOSITY, moments.heterozygosity
    yield from _survivors(ecosystem, moments)
    yield "squared_distance", moments.squared_distance(truths)
    yield "total_variation_of_mean", moments.total_variation(truths)
    if ecosystem.symbols <= LISTED:
        expected = np.stack([moments.distribution(t) for t in range(ecosystem.generations + 1)])
        for symbol in range(ecosystem.symbols):
            yield f"probability_{symbol}", expected[:, :, symbol]


def _survivors(ecosystem: DiscreteEcosystem, moments: DiscreteMoments) -> Iterator[tuple[str, Array]]:
    exact = exact_survivors(ecosystem)
    if exact is not None:
        yield SURVIVORS, exact
    if ecosystem.prior == 0:
        bounds = expected_survivors(ecosystem, moments)
        yield f"{SURVIVORS}_lower", bounds.lower
        yield f"{SURVIVORS}_upper", bounds.upper


def exact_survivors(ecosystem: DiscreteEcosystem) -> Array | None:
    """Compute the expected number of symbols in every model, where it is known exactly.

    Args:
        ecosystem: The ecosystem.

    Returns:
        Shape (T + 1, K); None where no chain of a symbol's count is known, or its matrices would be too large.
    """
    shape = ecosystem.alpha.shape
    if ecosystem.prior > 0:
        return np.full(shape, float(ecosystem.symbols))
    found = _chain_of(ecosystem)
    if found is None:
        return None
    chain, truth, rows = found
    return np.asarray(chain.survival(truth, ecosystem.generations, rows).sum(axis=1)[:, None])


def _chain_of(eco: DiscreteEcosystem) -> tuple[CountChain, Array, int] | None:
    """Return the chain of one model, the truth and the number of rows of its one real data set."""
    if eco.entities > 1 or eco.accumulates or eco.fresh > 0 or eco.drawn is None:
        return None
    # Weights, sizes and the one real data set are to be the same at all generations at which they are used.
    used = eco.real_weights(0)[0] > 0
    lasting = [eco.alpha[1:], eco.drawn, eco.published[1:]]
    later = np.concatenate([eco.real_weights(t) > 0 for t in range(eco.generations + 1)])
    if used.all() or (later & ~used).any() or any((each != each[:1]).any() for each in lasting):
        return None
    source, alpha = int(np.flatnonzero(used)[0]), float(eco.alpha[-1, 0])
    n, pool, rows = int(eco.drawn[0, 0]), int(eco.published[-1, 0]), int(eco.rows[source])
    states = max(n, pool)
    if states > _STATES or rows * states * (states if alpha < 1 else eco.symbols / rows + 1) > _NUMBERS:
        return None
    return CountChain(n, pool=pool, alpha=alpha), eco.truths[source], rows
