"""Models that remember: generations and the limit at K = 500, d = 12, beside full minimisation and the lifted system.

    OPENBLAS_NUM_THREADS=1 python benchmarks/theory_steps.py

The lifted system of K d = 6,000 dimensions is not solved: its Lyapunov equation takes its cube, measured at K d = 600
(K = 50) by doubling. Times are medians of processor time of all threads, from the Gram matrices on, one gradient step
in each generation.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

from crossfeed.theory import LinearEcosystem

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "theory"))
from stepwise import Stepwise

ENTITIES, DIMENSION, RIVAL_ENTITIES = 500, 12, 50
RUNS = 3


def timed(work, runs):
    seconds, answer = [], None
    for _ in range(runs):
        start = time.process_time()
        answer = work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), answer


def data(entities):
    rng = np.random.default_rng(0)
    private = rng.standard_normal((entities, DIMENSION + 2, DIMENSION))
    public = rng.standard_normal((DIMENSION, DIMENSION))
    grams = {"private": private.swapaxes(1, 2) @ private, "public": public.T @ public}
    return grams | {"alpha": 0.6, "truth_public": np.ones(DIMENSION)}


def main():
    given, steps = data(ENTITIES), {"steps": 1, "rate": 0.02}
    print(f"K = {ENTITIES}, d = {DIMENSION}, one step in each generation; medians of {RUNS}")
    for last in (8, 20):
        seconds, _ = timed(lambda last=last: LinearEcosystem(**given, **steps).moments(range(last + 1)).mse, RUNS)
        print(f"  MSE of generations 0 to {last:<3}             {seconds * 1e3:10.0f} ms")
    seconds, _ = timed(lambda: LinearEcosystem(**given, **steps).limit().spectral_radius, RUNS)
    print(f"  spectral radius of the limit           {seconds * 1e3:10.0f} ms")
    for rate in (0.02, 0.02e-4):
        options = {"steps": 1, "rate": rate}
        seconds, limit = timed(lambda options=options: _solved(LinearEcosystem(**given, **options)), RUNS)
        print(
            f"  limit, every entity's MSE              {seconds * 1e3:10.0f} ms   (radius {limit.spectral_radius:.8f})"
        )
    seconds, _ = timed(lambda: LinearEcosystem(**given).limit().mse, RUNS)
    print(f"  full minimisation, the same            {seconds * 1e3:10.0f} ms")
    few = data(RIVAL_ENTITIES)
    quick, limit = timed(lambda: _solved(LinearEcosystem(**few, **steps)), RUNS)
    slow, (_, joint) = timed(lambda: Stepwise(**few, **steps).long_run(limit.spectral_radius), 1)
    wanted = np.trace(Stepwise(**few, **steps).twin.blocks(joint), axis1=1, axis2=2)
    off = np.abs(limit.variance / wanted - 1).max()
    print(f"K = {RIVAL_ENTITIES}: limit {quick * 1e3:.0f} ms, the lifted system by doubling {slow * 1e3:.0f} ms")
    print(f"  {slow / quick:.0f} times; largest relative difference {off:.1e}")


def _solved(eco):
    limit = eco.limit()
    limit.mse  # noqa: B018 - computed when first read
    return limit


if __name__ == "__main__":
    main()
