"""The limit at K = 40, d = 50: the consensus reduction against a Lyapunov solve of the lifted system.

    OPENBLAS_NUM_THREADS=2 python benchmarks/theory_limit.py

The rival forms the paper's Kd x Kd matrices (equation 2, Theorem 3) and hands the covariance to scipy's discrete
Lyapunov solver. Both end in every entity's limiting covariance; both are timed from the Gram matrices on. The bar is a
ratio of medians of 500 and agreement to 1e-8.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

from crossfeed.theory import LinearEcosystem, random_features

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "theory"))
from lifted import Lifted

ENTITIES, DIMENSION, RANK = 40, 50, 15
RUNS, RIVAL_RUNS = 15, 3


def timed(work, runs):
    seconds, answer = [], None
    for _ in range(runs):
        start = time.perf_counter()
        answer = work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), answer


def main():
    drawn = random_features(ENTITIES, DIMENSION, RANK, RANK, seed=0)
    private, public = drawn.private.swapaxes(1, 2) @ drawn.private, drawn.public.T @ drawn.public

    def fast():
        limit = LinearEcosystem(private, public).limit()
        return limit.covariance, limit.mse

    def rival():
        twin = Lifted(private, public)
        _, joint = twin.limit()
        return twin.blocks(joint)

    quick, (covariance, mse) = timed(fast, RUNS)
    slow, wanted = timed(rival, RIVAL_RUNS)
    off = np.abs(covariance - wanted).max() / np.abs(wanted).max()
    off_mse = np.abs(mse / np.trace(wanted, axis1=1, axis2=2) - 1).max()
    print(f"K = {ENTITIES}, d = {DIMENSION}: limiting covariance and MSE of every entity, medians")
    print(f"  consensus reduction            {quick * 1e3:10.2f} ms   ({RUNS} runs)")
    print(f"  scipy discrete Lyapunov, Kd^2  {slow * 1e3:10.2f} ms   ({RIVAL_RUNS} runs)")
    print(f"  ratio                          {slow / quick:10.0f}      (bar 500)")
    print(f"  largest relative difference    {max(off, off_mse):10.1e}      (bar 1e-8)")


if __name__ == "__main__":
    main()
