"""Exact theory of ecosystems of models that train on each other's outputs, for any number of entities.

numpy and scipy only. Start with `LinearEcosystem`; its methods give the moments at any generation, the limit, the
relative efficiency and the influence of every source. `DiscreteEcosystem` is that of distributions over symbols:
`crossfeed.theory.discrete_moments` has their moments.

Reference: Vu, Reeves, Wenger, "What happens when generative AI models train recursively on each other's outputs?",
ICLR 2026 ("the paper"), Section 5.
"""

from crossfeed.theory.choices import Weights
from crossfeed.theory.curation import CuratedEcosystem, Taste
from crossfeed.theory.discrete import DiscreteEcosystem
from crossfeed.theory.discrete_limit import limiting_heterozygosity
from crossfeed.theory.discrete_moments import DiscreteMoments
from crossfeed.theory.efficiency import limiting_mse, pooled_mse, relative_efficiency
from crossfeed.theory.equilibrium import Equilibrium, Play, best_reply, nash_points, nash_weights
from crossfeed.theory.features import Features, random_features
from crossfeed.theory.gaussian_median import LogDeviation
from crossfeed.theory.limit import Limit, NoLimit, lemma_1
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.objectives import Criterion, Objective, objective_value
from crossfeed.theory.planning import Chosen, Landscape, Optimum, best_choice, landscape, optimal_weights
from crossfeed.theory.readouts import Conditional, Moments
from crossfeed.theory.spectrum import Growth
from crossfeed.theory.survival import Survival, expected_survivors
from crossfeed.theory.tempering import tempered, tempered_path
from crossfeed.theory.wright_fisher import CountChain, diffusion_absorption_time, feller_survival

__all__ = [
    "Chosen",
    "Conditional",
    "CountChain",
    "Criterion",
    "CuratedEcosystem",
    "DiscreteEcosystem",
    "DiscreteMoments",
    "Equilibrium",
    "Features",
    "Growth",
    "Landscape",
    "Limit",
    "LinearEcosystem",
    "LogDeviation",
    "Moments",
    "NoLimit",
    "Objective",
    "Optimum",
    "Play",
    "Survival",
    "Taste",
    "Weights",
    "best_choice",
    "best_reply",
    "diffusion_absorption_time",
    "expected_survivors",
    "feller_survival",
    "landscape",
    "lemma_1",
    "limiting_heterozygosity",
    "limiting_mse",
    "nash_points",
    "nash_weights",
    "objective_value",
    "optimal_weights",
    "pooled_mse",
    "random_features",
    "relative_efficiency",
    "tempered",
    "tempered_path",
]
