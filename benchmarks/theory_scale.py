"""Limit and per-entity MSE from K = 10^3 to 10^6 entities at d = 15: time, memory, linearity, distance to the floor.

    OPENBLAS_NUM_THREADS=1 python benchmarks/theory_scale.py

Features of rank 5, as in the paper's Figure 2, are held as float32 (300 MB at K = 10^6) and read block by block. Under
weights that all have in common 5 x 5 matrices are factored; under weights of their own, the last line, the d x d Grams
are formed and factored. The floor is K Cholesky factorizations and three stacked d x d products per entity, at the rate
numpy does them on one thread: "in cache" on stacks that fit there (the harder bar), "one stack" on a single stack of
100,000. The library works on as many threads as there are cores, so its time is given as wall time and as processor
time of all threads. Bars: 60 s, 2 GB, a ratio of 3.5 in processor time.
"""

from __future__ import annotations

import resource
import statistics
import time

import numpy as np

from crossfeed.theory import LinearEcosystem

DIMENSION, RANK = 15, 5
SIZES = {1_000: 9, 10_000: 5, 100_000: 3, 1_000_000: 3}
OWN_WEIGHTS = 100_000


def features(entities):
    rng = np.random.default_rng(0)
    return rng.standard_normal((entities, RANK, DIMENSION), dtype=np.float32), rng.standard_normal((30, DIMENSION))


def timed(work):
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def floor(stack, repeats):
    """Wall and processor seconds per entity for one factorization and three products, on stacks of the given size."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((stack, DIMENSION + 3, DIMENSION))
    left = rows.swapaxes(1, 2) @ rows
    right = left.copy()

    def work():
        for _ in range(repeats):
            np.linalg.cholesky(left)
            for _ in range(3):
                np.matmul(left, right)

    each = [timed(work) for _ in range(5)]
    return tuple(min(column) / stack / repeats for column in zip(*each, strict=True))


def solve(private, public, alpha):
    """From the features to every entity's limiting MSE."""
    return LinearEcosystem.from_features(private, public, alpha=alpha).limit().mse


def measure(entities, runs, alpha=0.5):
    """Median wall and processor seconds, and the peak memory of the process so far in GB."""
    private, public = features(entities)
    each = [timed(lambda: solve(private, public, alpha)) for _ in range(runs)]
    wall, processor = (statistics.median(column) for column in zip(*each, strict=True))
    return wall, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main():
    rows = {f"{entities}": (entities, *measure(entities, runs)) for entities, runs in SIZES.items()}
    own = np.random.default_rng(2).uniform(0.1, 0.9, OWN_WEIGHTS)
    rows[f"{OWN_WEIGHTS} own"] = OWN_WEIGHTS, *measure(OWN_WEIGHTS, SIZES[OWN_WEIGHTS], own)
    (cached, cached_processor), (whole, _) = floor(500, 100), floor(100_000, 1)
    print(f"floor per entity: {cached * 1e6:.2f} us in cache, {whole * 1e6:.2f} us as one stack of 100,000")
    print(
        f"{'K':>10} {'wall s':>8} {'cpu s':>8} {'us/entity':>10} {'wall/floor':>11} {'wall/stack':>11} "
        f"{'cpu/floor':>10} {'GB':>6}"
    )
    for name, (entities, wall, processor, peak) in rows.items():
        unit = wall / entities
        print(
            f"{name:>10} {wall:>8.3f} {processor:>8.3f} {unit * 1e6:>10.2f} {unit / cached:>11.2f} "
            f"{unit / whole:>11.2f} {processor / entities / cached_processor:>10.2f} {peak:>6.2f}"
        )


if __name__ == "__main__":
    main()
