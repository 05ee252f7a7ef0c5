"""Networks of readers: communities at K = 10^5, a dense matrix of weights at K = 64, rings to K = 10^6, sparse graphs.

    OPENBLAS_NUM_THREADS=1 python benchmarks/theory_networks.py

Times are processor time, which other work on the machine hardly changes.

Communities: d = 15, r = 10 mixes that K = 10^5 readers hear one each, limit and every entity's MSE, against one pool
with the same data in the same run. The bars are 3 times its time and 2 GB of memory. Data are given as Gram
matrices, and as features of rank 5, for which one pool under common weights has a shorter way
(`crossfeed.theory.few_rows`).

Dense: K = 64, d = 30, every entity's limiting covariance and MSE, against scipy's discrete Lyapunov solver on the
lifted Kd x Kd system ("bilinear"; "direct" forms a matrix of (Kd)^2 rows, which no memory holds). The bar is a ratio of
20.

Ring: each of K = 10^6 readers reads itself and two neighbours, all data have one Gram matrix and every entity a truth
of its own, d = 15: the limit, every entity's MSE and the dispersion, against one pool with the same data in the same
run; and at K = 128 against the same ring with one Gram matrix off by 10^-12, which leaves no two readers alike.

Sparse: means of the limit, squared biases and the spectral radius of K = 10^5 readers of eight others each, d = 15,
with Gram matrices of their own, against one pool's limit and MSE.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import numpy as np
import scipy.linalg
import scipy.sparse

from crossfeed.theory import LinearEcosystem

ENTITIES, DIMENSION, RANK, COMMUNITIES = 100_000, 15, 5, 10
DENSE, DENSE_DIMENSION = 64, 30
RING, SMALL_RING = 1_000_000, 128
SPARSE, READ = 100_000, 8


def timed(work, runs):
    seconds, answer = [], None
    for _ in range(runs):
        start = time.process_time()
        answer = work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), answer


def communities(entities=ENTITIES, runs=5):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((entities, RANK, DIMENSION), dtype=np.float32)
    public = rng.standard_normal((30, DIMENSION))
    labels, mixes = rng.integers(0, COMMUNITIES, entities), rng.dirichlet(np.full(entities, 0.5), COMMUNITIES)
    pair = np.eye(COMMUNITIES)[labels], mixes
    grams = np.einsum("kni,knj->kij", features, features, dtype=np.float64)
    common = public.T @ public
    shares = mixes.mean(axis=0)
    ways = {
        "Gram matrices": lambda **given: LinearEcosystem(grams, common, **given),
        "features": lambda **given: LinearEcosystem.from_features(features, public, **given),
    }
    for name, build in ways.items():
        one, _ = timed(lambda build=build: build(shares=shares).limit().mse, runs)
        many, mse = timed(lambda build=build: build(reads=pair).limit().mse, runs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"{name:>14}: one pool {one:.3f} s, {COMMUNITIES} communities {many:.3f} s, ratio {many / one:.2f} "
            f"(bar 3), peak {peak:.2f} GB (bar 2), mean MSE {mse.mean():.4f}"
        )


def dense(entities=DENSE, d=DENSE_DIMENSION, runs=3):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((entities, d + 10, d))
    S, W = rows.swapaxes(1, 2) @ rows, rng.dirichlet(np.ones(entities), entities)
    U = S.mean(axis=0)

    def fast():
        limit = LinearEcosystem(S, U, reads=W).limit()
        return limit.covariance, limit.mse

    def rival():
        F = np.linalg.inv(0.25 * S + 0.25 * U + 0.5 * np.tensordot(W, S, axes=1))
        Q = 0.5 * np.einsum("kxy,kj,jyz->kxjz", F, W, S).reshape(entities * d, -1)
        reader = 0.5 * np.einsum("kxy,kj->kxjy", F, W).reshape(entities * d, -1)
        noise = reader @ scipy.linalg.block_diag(*S) @ reader.T
        P = np.concatenate([scipy.linalg.block_diag(*(0.25 * F @ S)), (0.25 * F @ U).reshape(-1, d)], axis=1)
        M = np.linalg.solve(np.eye(entities * d) - Q, P)
        spread = scipy.linalg.block_diag(*np.linalg.inv(np.concatenate([S, U[None]])))
        joint = M @ spread @ M.T + scipy.linalg.solve_discrete_lyapunov(Q, noise, method="bilinear")
        cube = joint.reshape(entities, d, entities, d)
        return np.array([cube[k, :, k] for k in range(entities)])

    quick, (covariance, mse) = timed(fast, runs)
    slow, wanted = timed(rival, 1)
    off = np.abs(covariance - wanted).max() / np.abs(wanted).max()
    print(
        f"dense W, K = {entities}, d = {d}: {quick:.3f} s, scipy on the lifted system {slow:.3f} s, ratio "
        f"{slow / quick:.1f} (bar 20), largest relative difference {off:.1e}, mean MSE {mse.mean():.4f}"
    )


def neighbours(entities):
    readers = np.repeat(np.arange(entities), 3)
    authors = (readers + np.tile([-1, 0, 1], entities)) % entities
    weights = np.tile([0.25, 0.5, 0.25], entities)
    return scipy.sparse.csr_array((weights, (readers, authors)), shape=(entities, entities))


def solved(eco):
    limit = eco.limit()
    return limit.mse, limit.dispersion, limit.spectral_radius


def ring(entities=RING, small=SMALL_RING, d=DIMENSION, runs=3):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, d))
    S, public = rows.T @ rows, 9 * np.eye(d)
    given = {"truths": rng.standard_normal((entities, d)), "truth_public": np.zeros(d)}
    grams, graph = np.broadcast_to(S, (entities, d, d)), neighbours(entities)
    one, _ = timed(lambda: solved(LinearEcosystem(grams, public, **given)), runs)
    many, (mse, apart, radius) = timed(lambda: solved(LinearEcosystem(grams, public, reads=graph, **given)), runs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"ring, K = {entities}: one pool {one:.2f} s, ring {many:.2f} s, ratio {many / one:.2f}, peak {peak:.2f} GB, "
        f"mean MSE {mse.mean():.4f}, dispersion {apart:.4f}, radius {radius:.4f}"
    )
    few = {"truths": given["truths"][:small], "truth_public": np.zeros(d), "reads": neighbours(small)}
    off = np.tile(S, (small, 1, 1))
    off[0] *= 1 + 1e-12
    quick, (mse, apart, _) = timed(lambda: solved(LinearEcosystem(grams[:small], public, **few)), runs)
    slow, (wanted, far, _) = timed(lambda: solved(LinearEcosystem(off, public, **few)), 1)
    print(
        f"ring, K = {small}: {quick:.4f} s, without equal data {slow:.2f} s, ratio {slow / quick:.0f}, largest "
        f"relative differences {np.abs(mse / wanted - 1).max():.1e} and {abs(apart / far - 1):.1e}"
    )


def sparse(entities=SPARSE, d=DIMENSION, runs=3):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((entities, d + 5, d))
    grams, public = rows.swapaxes(1, 2) @ rows, 9 * np.eye(d)
    readers = np.repeat(np.arange(entities), READ)
    places = readers, rng.integers(0, entities, len(readers))
    graph = scipy.sparse.csr_array((np.full(len(readers), 1 / READ), places), shape=(entities, entities))
    given = {"truths": rng.standard_normal((entities, d)), "truth_public": np.zeros(d)}
    one, _ = timed(lambda: LinearEcosystem(grams, public, **given).limit().mse, runs)

    def means():
        limit = LinearEcosystem(grams, public, reads=graph, **given).limit()
        return limit.bias_squared, limit.spectral_radius

    many, (bias, radius) = timed(means, runs)
    print(
        f"sparse W, K = {entities}, {READ} authors each: means {many:.2f} s, one pool's limit and MSE {one:.2f} s, "
        f"ratio {many / one:.2f}, mean squared bias {bias.mean():.4f}, radius {radius:.4f}"
    )


PARTS = {"communities": communities, "dense": dense, "ring": ring, "sparse": sparse}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    for part in parser.parse_args().part or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
