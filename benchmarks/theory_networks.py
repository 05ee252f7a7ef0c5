"""Networks of readers: communities at K = 10^5, and a dense matrix of weights at K = 64.

    OPENBLAS_NUM_THREADS=2 python benchmarks/theory_networks.py

Communities: d = 15, r = 10 mixes that K = 10^5 readers hear one each, limit and every entity's MSE, against one pool
with the same data in the same run. The bars are 3 times its wall time and 2 GB of memory. Data are given as Gram
matrices, and as features of rank 5, for which one pool under common weights has a shorter way
(`crossfeed.theory.few_rows`).

Dense: K = 64, d = 30, every entity's limiting covariance and MSE, against scipy's discrete Lyapunov solver on the
lifted Kd x Kd system ("bilinear"; "direct" forms a matrix of (Kd)^2 rows, which no memory holds). The bar is a ratio of
20.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import numpy as np
import scipy.linalg

from crossfeed.theory import LinearEcosystem

ENTITIES, DIMENSION, RANK, COMMUNITIES = 100_000, 15, 5, 10
DENSE, DENSE_DIMENSION = 64, 30


def timed(work, runs):
    seconds, answer = [], None
    for _ in range(runs):
        start = time.perf_counter()
        answer = work()
        seconds.append(time.perf_counter() - start)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="?", choices=["communities", "dense"])
    chosen = parser.parse_args().part
    if chosen != "dense":
        communities()
    if chosen != "communities":
        dense()


if __name__ == "__main__":
    main()
