"""Exact theory of ecosystems of models that train on each other's outputs, for any number of entities.

numpy and scipy only. Start with `LinearEcosystem`; its methods give the moments at any generation, the limit, the
relative efficiency and the influence of every source.

Reference: Vu, Reeves, Wenger, "What happens when generative AI models train recursively on each other's outputs?",
ICLR 2026 ("the paper"), Section 5.
"""

from crossfeed.theory.efficiency import limiting_mse, pooled_mse, relative_efficiency
from crossfeed.theory.features import Features, random_features
from crossfeed.theory.limit import Limit, NoLimit, lemma_1
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.moments import Conditional, Moments
from crossfeed.theory.planning import (
    Equilibrium,
    Landscape,
    Optimum,
    best_reply,
    landscape,
    nash_weights,
    objective_value,
    optimal_weights,
)
from crossfeed.theory.spectrum import Growth

__all__ = [
    "Conditional",
    "Equilibrium",
    "Features",
    "Growth",
    "Landscape",
    "Limit",
    "LinearEcosystem",
    "Moments",
    "NoLimit",
    "Optimum",
    "best_reply",
    "landscape",
    "lemma_1",
    "limiting_mse",
    "nash_weights",
    "objective_value",
    "optimal_weights",
    "pooled_mse",
    "random_features",
    "relative_efficiency",
]
