r"""Expected heterozygosity of discrete models in the long run, where real data or a prior hold them.

With constant weights and the newest items alone in the pool, the recursion of `crossfeed.theory.discrete_moments` is
affine in the expected inner products. It has one fixed point if real data, fresh data or a prior reach every model:
if the matrix :math:`\lambda_k \alpha_k (1 - \varphi) W_{kj}`, by which models' means follow each other, has a spectral
radius below one. Otherwise drift goes on among some models for ever, until they write one symbol.

Source: derived in this text.
"""

from __future__ import annotations

import numpy as np

from crossfeed.theory.discrete import DiscreteEcosystem
from crossfeed.theory.discrete_moments import Sources
from crossfeed.theory.kernels import Array

__all__ = ["limiting_heterozygosity"]

# A spectral radius nearer to one than this counts as one.
_DRIFT = 1e-9

# The accuracy that is asked of the fixed point, and that which has to be reached.
_ASKED, _REACHED = 1e-14, 1e-9


def limiting_heterozygosity(ecosystem: DiscreteEcosystem) -> Array | None:
    """Compute the limit of the expected heterozygosity under the weights and sizes of the last generation.

    Args:
        ecosystem: the ecosystem, with T >= 1.

    Returns:
        Shape (K,); None where every generation stays in the pool, where drift goes on for ever, or where the fixed
        point is not found to nine digits.
    """
    eco, T = ecosystem, ecosystem.generations
    follows = (eco.kept(T) * eco.alpha[T] * (1 - eco.fresh))[:, None] * eco.reads
    if eco.accumulates or T < 1 or np.abs(np.linalg.eigvals(follows)).max() > 1 - _DRIFT:
        return None
    sources = Sources.real(eco)
    varies = sources.of_pool[:, None] | sources.of_pool[None, :]

    def step(values: Array) -> Array:
        products = sources.products.copy()
        products[varies] = values
        now = Sources(eco, sources.parts, products)
        return now.with_pool(T, now.fit(T)).products[varies]

    size = int(varies.sum())
    offset = step(np.zeros(size))
    from scipy.sparse.linalg import LinearOperator, gmres

    matrix = LinearOperator((size, size), matvec=lambda x: x - (step(x) - offset), dtype=np.float64)
    solution, _ = gmres(matrix, offset, rtol=_ASKED, atol=0.0, restart=min(size, 300), maxiter=20)
    if np.abs(step(solution) - solution).max() > _REACHED:
        return None
    products = sources.products.copy()
    products[varies] = solution
    return np.asarray(1 - np.diag(Sources(eco, sources.parts, products).fit(T).products))
