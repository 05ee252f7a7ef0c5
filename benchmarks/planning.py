"""Plans and predictions against the commit before gradients, in the same run, in processor time of one thread.

    git worktree add ../before COMMIT
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/planning.py ../before

Each is a process of its own, by turns, and the medians of their ratios count. The search is the function `plan`
alone, after all that it needs has been loaded; a command has its imports, files and figures besides. The last lines
are of this build alone: a plan of 50 entities in 30 dimensions, 100 free weights, against its bar of 20 s.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tell import show

ROUNDS = 3

SEARCH = """
import time
import numpy, pandas, scipy.optimize, scipy.linalg
from crossfeed.cli.app import read_experiment
from crossfeed.exact.planning import plan
experiment = read_experiment("figure-2", None)
begun = time.process_time()
found = plan(experiment)
print(time.process_time() - begun, found.optimum.value)
"""

MANY = """
import time
import numpy as np
from crossfeed.theory import LinearEcosystem, best_choice, nash_points, optimal_weights, random_features
drawn = random_features(50, 30, 5, 15, seed=0)
shares = np.random.default_rng(0).dirichlet(np.ones(50))
eco = LinearEcosystem.from_features(drawn.private, drawn.public, shares=shares)
begun = time.process_time()
common = optimal_weights(eco)
own = best_choice(eco, per_entity=True)
chosen = time.process_time() - begun
play = nash_points(eco.with_weights(common.alpha, common.beta))
print(chosen, time.process_time() - begun, common.value, own.value, play.first.mse.mean())
"""


def processor_seconds(source: Path, *arguments: str) -> tuple[float, str]:
    """Processor time of one python process on the code of a checkout, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(source / "src")}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def by_turns(builds: dict[str, Path], work) -> tuple[dict[str, float], float]:
    """Median seconds of each build, and the median of the rounds' ratios, old over new."""
    rounds = [{name: work(path) for name, path in builds.items()} for _ in range(ROUNDS)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in builds}
    return medians, statistics.median(one["before"] / one["now"] for one in rounds)


def main():
    builds = {"before": Path(sys.argv[1]).resolve(), "now": Path(__file__).resolve().parents[1]}
    values = {}

    def search(path):
        seconds, value = processor_seconds(path, "-c", SEARCH)[1].split()
        values[path] = float(value)
        return float(seconds)

    with tempfile.TemporaryDirectory() as folder:
        works = {
            "search of plan figure-2": search,
            "crossfeed plan figure-2": lambda p: processor_seconds(
                p, "-m", "crossfeed", "plan", "figure-2", "--out", folder
            )[0],
            "crossfeed predict figure-4 --json": lambda p: processor_seconds(
                p, "-m", "crossfeed", "predict", "figure-4", "--json"
            )[0],
        }
        rows = []
        for name, work in works.items():
            medians, ratio = by_turns(builds, work)
            rows.append([name, f"{medians['before']:.2f}", f"{medians['now']:.2f}", f"{ratio:.1f}"])
    show(["", "before, s", "now, s", "ratio"], rows)
    low, high = sorted(values.values())
    print(f"relative difference of the optima: {high / low - 1:.1e}")
    chosen, whole, *found = map(float, processor_seconds(builds["now"], "-c", MANY)[1].split())
    print(f"K = 50, d = 30: common and per-entity optimum {chosen:.1f} s, with selfish play {whole:.1f} s (bar 20)")
    print(json.dumps(dict(zip(("common", "per entity", "nash"), found, strict=True))))


if __name__ == "__main__":
    main()
