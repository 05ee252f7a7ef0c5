"""Collapse: closed classes of readers that neither real nor fresh data reach.

Reader k reads author j if alpha_k > 0 and W_kj > 0. A class of readers is closed if its members read each other, and
nobody outside, by some path. If besides no member trains on real data (alpha = 1 for all of them) and none hears fresh
data, all that the class knows is what its first models knew: with the noise of generated data its errors grow without
bound, at a spectral radius of one. Data that reach a class, but only some of its directions, are no collapse here.

Reference: DeGroot, Reaching a consensus, J. Amer. Statist. Assoc. 69 (1974); Kemeny and Snell, Finite Markov Chains
(1960), Chapter 2, for the classes of a graph.
"""

from __future__ import annotations

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.network import Reading
from crossfeed.theory.specification import Specification, Specified


def collapses(eco: Specified) -> tuple[tuple[int, ...], ...]:
    """Return the closed classes of readers that no real or fresh data reach; see `LinearEcosystem.collapses`.

    Args:
        eco: a `LinearEcosystem` with constant weights.

    Returns:
        The entities of each class, in order; empty where data reach everybody.

    Raises:
        InvalidInput: if alpha or beta is a function of the generation.

    Reference: Kemeny and Snell, Finite Markov Chains (1960), Chapter 2.
    """
    spec = eco.specification
    if not spec.weights.constant:
        raise InvalidInput(
            "whether data reach everybody is decided under constant weights, and alpha or beta is a function of the "
            "generation; give numbers"
        )
    K, weights, network = spec.entities, spec.weights.at(1), spec.network
    private, public, alpha = (
        np.broadcast_to(each, (K,)) for each in (weights.private, weights.public, weights.synthetic)
    )
    held = np.concatenate(list(map_blocks(lambda rows: _traces(spec, rows) > 0, K, spec.dimension)))
    reached = ((private > 0) & held) | ((public > 0) & bool(np.trace(spec.public) > 0))
    reached |= (alpha > 0) & (spec.fresh_fraction > 0) & bool(np.trace(spec.fresh_gram) > 0)
    if network is None:
        shares = np.broadcast_to(spec.shares, (K,))
        reading, there = Reading(np.ones((K, 1)), shares[None].copy()), np.ones(K, dtype=np.bool_)
    else:
        reading, there = network.reading, network.timing.there(network.timing.settled)
    return tuple(members for members in _closed_classes(reading, alpha, there) if not reached[list(members)].any())


def _traces(spec: Specification, rows: slice) -> Array:
    traces: Array = np.trace(spec.private.block(rows), axis1=1, axis2=2)
    return traces


def _closed_classes(reading: Reading, alpha: Array, there: Mask) -> list[tuple[int, ...]]:
    """Classes of readers without a way out, through channels where there are such."""
    from scipy.sparse import block_array, csr_array, diags_array
    from scipy.sparse.csgraph import connected_components

    reads, heard = diags_array(((alpha > 0) & there).astype(float)), diags_array(there.astype(float))
    first = csr_array(reads @ csr_array(reading.heard))
    if reading.mixed is None:
        graph = csr_array(first @ heard)
    else:
        graph = csr_array(block_array([[None, first], [csr_array(csr_array(reading.mixed) @ heard), None]]))
    graph.eliminate_zeros()
    count, labels = connected_components(graph, connection="strong")
    rows, columns = graph.nonzero()
    open_ = np.zeros(count, dtype=np.bool_)
    open_[labels[rows[labels[rows] != labels[columns]]]] = True
    found: dict[int, list[int]] = {}
    for k in np.flatnonzero(there):
        if not open_[labels[k]]:
            found.setdefault(int(labels[k]), []).append(int(k))
    return [tuple(members) for members in found.values()]
