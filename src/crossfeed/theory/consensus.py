"""The consensus reduction: the lifted Kd x Kd system through its one d-dimensional coupling.

Entities touch each other only through the pool moment zbar_t in R^d. Write u_j = X~_j'(y~_j - X~_j theta*_j) for the
noise of source j's data, Cov u_j = sigma^2 S~_j, s_j = (1 - phi) w_j, and R_tj = G_tj^+ S_j (d x d). Then

    z_{t+1} = A_t zbar_t + sum_j D_tj X~_j'y~_j + D_t* X_*'y_* + phi S_F theta*_0 + xi_{t+1},     Cov xi = N,
    A_t = sum_j s_j a_j R_tj',      D_tj = s_j p_j R_tj',      D_t* = sum_j s_j q_j R_tj',
    zbar_{t+1} = (1 - g) zbar_t + g z_{t+1},      g = 1 ("latest") or 1/(t+1) ("accumulate"),

so with H_t = (1 - g) I + g A_t everything shared by the entities is d x d. The lifted Q = U V (U: Kd x d) has
V U = A, hence the same non-zero spectrum. Per entity one more d x d matrix is needed, the covariance of its own data
with the pool,

    C_tj = Cov(u_j, zbar_t) / sigma^2,      C_{t+1,j} = C_tj H_t' + g s_j p_j S~_j R_tj,

which never needs a pseudo-inverse of a data Gram. With constant weights it is a shared linear function of two
fixed matrices, C_tj = (s p S~ R)_j L_t' + (s p S~ R)_{0j} R_t', and a generation costs O(d^3) whatever K is.

Everything here streams over blocks of entities: O(K d^3) time, O(d^2) memory beyond the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt

from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, inverse_of_sum, transposed, weighted_sum
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.weights import Weights


@dataclass(frozen=True)
class Response:
    """How one block of entities answers the pool at one setting of the weights.

    Attributes:
        weights: p, q, a of the block.
        gain: s p, the block's (1 - phi) w_j p_j, shape (1,) or (b,).
        private: S~, shape (b, d, d).
        inverse: G^+, shape (b, d, d).
        singular: True where G is singular, shape (b,).
        reply: R = G^+ S, shape (b, d, d).
    """

    weights: Weights
    gain: Array
    private: Array
    inverse: Array
    singular: npt.NDArray[np.bool_]
    reply: Array

    def source(self) -> Array:
        """What one generation adds to the covariance of a source with the pool, s p S~ R, shape (b, d, d)."""
        product = self.private @ self.reply
        product *= self.gain[:, None, None]
        return product


@dataclass(frozen=True)
class Block:
    """One block of entities' data, read once and answered at as many settings as asked."""

    eco: LinearEcosystem
    rows: slice
    private: Array
    generated: Array

    @classmethod
    def read(cls, eco: LinearEcosystem, rows: slice) -> Block:
        """Read the Gram matrices of a run of entities."""
        private, generated = eco.grams_of(rows)
        return cls(eco, rows, private, generated)

    def respond(self, weights: Weights) -> Response:
        """Answer the pool under the given weights of the whole ecosystem."""
        eco, w = self.eco, weights.block(self.rows)
        inverse, singular = inverse_of_sum(
            [(w.private, self.private), (w.public, eco.public), (w.synthetic, eco.pool_gram)]
        )
        gain = eco.shares_of(self.rows) * w.private
        return Response(w, gain, self.private, inverse, singular, inverse @ self.generated)


@dataclass(frozen=True)
class Estimates:
    """Least-squares estimates of the real data: what each source says the parameter is.

    Attributes:
        private: th~_k, shape (K, d).
        public: th_*, shape (d,).
    """

    private: Array
    public: Array

    @classmethod
    def expected(cls, eco: LinearEcosystem) -> Estimates:
        """The truths, whose projections are the estimates' means."""
        return cls(eco.truths, eco.truth_public)

    def moment(self, block: Block) -> Array:
        """S~_k th~_k of one block of entities, shape (b, d)."""
        said: Array
        if self.private.strides[0] == 0:  # one common truth: a single product for the whole block
            said = block.private @ self.private[0]
        else:
            said = np.einsum("bij,bj->bi", block.private, self.private[block.rows])
        return said


@dataclass(frozen=True)
class Coupling:
    """The pool's step under one setting of the weights.

    Attributes:
        matrix: A, shape (d, d).
        public: D_*, shape (d, d).
        drive: what the real data add to z_{t+1} on average, shape (d,), fresh data included.
    """

    matrix: Array
    public: Array
    drive: Array

    def __add__(self, other: Coupling) -> Coupling:
        return Coupling(self.matrix + other.matrix, self.public + other.public, self.drive + other.drive)


def coupling_sums(block: Block, response: Response, estimates: Estimates) -> Coupling:
    """One block's part of A, D_* and the drive (without the public and fresh data's own)."""
    w, reply = response.weights, response.reply
    share = block.eco.shares_of(block.rows)
    said = response.gain[:, None] * estimates.moment(block)
    return Coupling(
        matrix=weighted_sum(share * w.synthetic, reply).T,
        public=weighted_sum(share * w.public, reply).T,
        drive=reply.reshape(said.size, -1).T @ said.ravel(),
    )


def with_shared_data(eco: LinearEcosystem, private: Coupling, estimates: Estimates) -> Coupling:
    """Complete the drive summed over entities by the public and the fresh data's own."""
    fresh = eco.fresh_fraction * (eco.fresh_gram @ eco.truth_public)
    return replace(private, drive=private.drive + private.public @ (eco.public @ estimates.public) + fresh)


@dataclass(frozen=True)
class Settings:
    """What the pool needs of all entities under m fixed settings of the weights.

    Attributes:
        couplings: the pool's step under each setting.
        spread: sum_j D_uj S~_j D_vj' + D_u* S_* D_v*' for settings u, v, shape (m, m, d, d).
        singular: entities whose G is singular under the last setting, shape (K,).
    """

    couplings: list[Coupling]
    spread: Array
    singular: npt.NDArray[np.bool_]


def fixed_settings(eco: LinearEcosystem, weights: Sequence[Weights], estimates: Estimates) -> Settings:
    """Sum over all entities what the pool needs under each of the given weights."""

    def sums(rows: slice) -> tuple[list[Coupling], Array, npt.NDArray[np.bool_]]:
        block = Block.read(eco, rows)
        responses = [block.respond(w) for w in weights]
        couplings = [coupling_sums(block, response, estimates) for response in responses]
        return couplings, _spread(responses), responses[-1].singular

    parts = list(map_blocks(sums, eco.entities, eco.dimension))
    couplings = [
        with_shared_data(eco, reduce(add, [part[0][i] for part in parts]), estimates) for i in range(len(weights))
    ]
    publics = np.array([coupling.public for coupling in couplings])
    public = publics[:, None] @ eco.public @ transposed(publics)[None]
    spread = np.sum([part[1] for part in parts], axis=0) + public
    return Settings(couplings, spread, np.concatenate([part[2] for part in parts]))


def _spread(responses: Sequence[Response]) -> Array:
    """sum_j D_uj S~_j D_vj' over one block, for all pairs of settings."""
    sources = [response.source() for response in responses]
    return np.array([[weighted_sum(u.gain, transposed(u.reply) @ source) for source in sources] for u in responses])
