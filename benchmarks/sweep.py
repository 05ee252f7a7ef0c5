"""Grids on every core: two workers against one, Ray against processes, shared work against none, a finished run again.

    python benchmarks/sweep.py            # eight quickstart cells; about three quarters of an hour on two cores
    python benchmarks/sweep.py --quick    # the same with models of nothing: does everything run, no speed
    python benchmarks/sweep.py resume     # any of: workers, ray, sharing, resume
    python benchmarks/sweep.py --generations 2    # shorter cells; start and reports then weigh more

Everything goes through the command line, interpreter start and reports included, as a person would wait for it. Every
measurement has a run folder and a cache of base models of its own, both empty, except where it says so. Runs that are
compared take turns, and each is done once: they are minutes long, and differences below some per cent mean nothing.

- workers: ``quickstart`` with alpha in {0, 0.25, 0.75, 1} and two seeds, eight cells on ``serial`` (one process), then
  on ``processes`` with two workers, one thread each. The base models (one a seed) are made beforehand and found in the
  cache by both. Bar: 1.8 times.
- ray: the same cells on ``ray`` with two workers, a local cluster started for the run, against ``processes``.
  Bar: within 10 %.
- sharing: ``quickstart``'s grid of three alphas as one run, against three runs of one alpha each, in folders of their
  own, one after the other, serial. What the one run shares, by content id: generation 0 (each entity's first training,
  its measurements and outputs), the data, and one interpreter and its imports. The base model is NOT counted: it comes
  from a cache that all of them find filled, as it would on any machine on which it was made once. Bar: 1.3 times.
- resume: the command of a finished run once more; nothing is left to do but to find that out, and the report. Given
  with and without the report, which is written again. Bar: 2 s for the run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = ("ecosystem.alpha", (0, 0.25, 0.75, 1))
SEEDS = (0, 1)
QUICK = (
    "learner.base.scratch.steps=3",
    "learner.base.scratch.config.hidden_size=16",
    "learner.base.scratch.config.num_hidden_layers=1",
    "n=16",
    "initial_n=16",
    "generations=1",
    "tasks={facts: {source: facts, test: 4}, math: {source: math, test: 4}}",
    "public={source: stdlib-docs, test: 4}",
    "metrics={loss: {}}",
)
GRID = f"grid={{{SWEEP[0]}: {list(SWEEP[1])}}}"
EIGHT = (GRID, f"seeds={list(SEEDS)}")


class Bench:
    """Runs of the command line below one temporary folder, timed."""

    def __init__(self, folder: Path, quick: bool, generations: int | None):
        self.folder, self.base = folder, (QUICK if quick else ())
        if generations is not None:
            self.base += (f"generations={generations}",)
        self.environment = os.environ | {"CROSSFEED_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
        self.environment |= {"OMP_NUM_THREADS": "1"}  # the same for one process as for each of several workers
        self.runs = 0

    def run(self, overrides, *options, out=None):
        """Seconds of one ``crossfeed run``, and its folder."""
        self.runs += 1
        out = out or self.folder / f"run-{self.runs}"
        sets = [word for each in (*self.base, *overrides) for word in ("--set", each)]
        return self.timed("run", "quickstart", *sets, "--out", str(out), "--quiet", *options), out

    def timed(self, *words):
        """Seconds of one command."""
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "crossfeed", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"crossfeed {' '.join(words)}\n{done.stdout}{done.stderr}")
        return time.perf_counter() - begun

    def fill_cache(self, seeds):
        """Make the base models, so that no measurement has to."""
        seconds, _ = self.run(
            (
                "grid={}",
                "ecosystem.alpha=0",
                f"seeds={list(seeds)}",
                "generations=0",
                "initial_n=16",
                "metrics={loss: {}}",
            )
        )
        print(f"base models made in {seconds:.1f} s (not counted below)", flush=True)


def workers(bench):
    bench.fill_cache(SEEDS)
    one, _ = bench.run(EIGHT, "--executor", "serial")
    two, _ = bench.run(EIGHT, "--executor", "processes", "--workers", "2")
    print(f"workers   serial {one:.1f} s, two processes {two:.1f} s: {one / two:.2f} times (bar 1.8)", flush=True)


def ray(bench):
    bench.fill_cache(SEEDS)
    processes, _ = bench.run(EIGHT, "--executor", "processes", "--workers", "2")
    local, _ = bench.run(EIGHT, "--executor", "ray", "--workers", "2")
    ratio = local / processes
    print(f"ray       two processes {processes:.1f} s, Ray {local:.1f} s: {ratio:.2f} times (bar 1.10)", flush=True)


def sharing(bench):
    bench.fill_cache((0,))
    together, _ = bench.run((), "--executor", "serial")
    apart = sum(bench.run(("grid={}", f"ecosystem.alpha={a}"), "--executor", "serial")[0] for a in (0, 0.5, 1))
    print(
        f"sharing   one run {together:.1f} s, three runs {apart:.1f} s: {apart / together:.2f} times (bar 1.3)",
        flush=True,
    )


def resume(bench):
    bench.fill_cache((0,))
    _, out = bench.run((), "--executor", "serial")
    again = min(bench.run((), "--executor", "serial", out=out)[0] for _ in range(3))
    report = min(bench.timed("report", str(out)) for _ in range(3))
    start = min(bench.timed("--version") for _ in range(3))
    print(
        f"resume    the command again {again:.2f} s, start {start:.2f} s, `crossfeed report` {report:.2f} s "
        f"(best of three; bar 2 s without the report: about {again - report + start:.2f} s)",
        flush=True,
    )


PARTS = {"workers": workers, "ray": ray, "sharing": sharing, "resume": resume}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: ratios mean nothing")
    parser.add_argument("--generations", type=int, metavar="T", help="generations of every cell; default quickstart's")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    for name in given.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Bench(Path(folder), given.quick, given.generations))


if __name__ == "__main__":
    main()
