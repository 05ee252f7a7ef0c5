"""Time against the number of entities K, of generations T, and of examples n: straight lines?

    python benchmarks/scaling.py
    python benchmarks/scaling.py K n            # some of K, T, n
    python benchmarks/scaling.py --quick        # with models of nothing: does everything run

The quickstart's model and settings at alpha = 0.5 in one process of one thread; seconds of whole generations t >= 1 as
a person waits for them, with all that is written. Entities own facts and math in turn, all are measured on all three
tasks (loss alone). Generation 0 has 160 examples: how well models do is not the question.

- K: a generation of K = 1, 2, 4, 8, 16 and 32 entities at n = 128.
- T: one run of two entities at n = 320: seconds from the end of generation 0 to the end of generation t.
- n: a generation of two entities at n = 160, 320, 640 and 1,280.

The runs of one part take turns, a generation each, forwards and backwards; times are medians over the rounds. Lines are
least squares (`scipy.stats.linregress`): slope with its standard error, intercept, R^2, and the point that is farthest
from the line in proportion to it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from paced import PacedRun, described
from rounds import in_turns
from scipy.stats import linregress
from tell import say, show

from crossfeed import Experiment

ENTITIES = (1, 2, 4, 8, 16, 32)
EXAMPLES = (160, 320, 640, 1280)
GENERATIONS = 16
ROUNDS = 3


def experiment_of(quick: bool, entities: int, n: int, generations: int) -> Experiment:
    owners = ", ".join(f"{{name: e{k + 1}, private: {('facts', 'math')[k % 2]}}}" for k in range(entities))
    sizes = (f"n={n}", "initial_n=160", f"generations={generations}")
    return described(quick, f"ecosystem.entities=[{owners}]", "metrics={loss: {}}", *sizes)


def medians(folder: Path, experiments: dict[int, Experiment]) -> list[float]:
    """Seconds of a generation of each experiment; they take turns."""
    runs = {number: PacedRun(one, folder / str(number), workers=0) for number, one in experiments.items()}
    for number, run in runs.items():
        say(f"  {number}: generation 0 {run.turn():.1f} s")
    seconds: dict[int, list[float]] = {number: [] for number in runs}
    in_turns(ROUNDS, {str(m): lambda _, m=m, run=run: seconds[m].append(run.turn()) for m, run in runs.items()})
    for run in runs.values():
        run.finish()
    return [statistics.median(each) for each in seconds.values()]


def against_entities(folder: Path, quick: bool) -> tuple[Sequence[int], list[float]]:
    counts, n = (ENTITIES[:3], 32) if quick else (ENTITIES, 128)
    return counts, medians(folder, {count: experiment_of(quick, count, n, ROUNDS) for count in counts})


def against_examples(folder: Path, quick: bool) -> tuple[Sequence[int], list[float]]:
    sizes = (16, 32, 64) if quick else EXAMPLES
    return sizes, medians(folder, {n: experiment_of(quick, 2, n, ROUNDS) for n in sizes})


def against_generations(folder: Path, quick: bool) -> tuple[Sequence[int], list[float]]:
    last, n = (3, 32) if quick else (GENERATIONS, 320)
    run = PacedRun(experiment_of(quick, 2, n, last), folder / "run", workers=0)
    say(f"  generation 0: {run.turn():.1f} s")
    seconds = [run.turn() for _ in range(last)]
    run.finish()
    return range(1, last + 1), list(accumulate(seconds))


PARTS = {"K": against_entities, "T": against_generations, "n": against_examples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: lines mean nothing")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    lines = []
    for name in given.parts or PARTS:
        say(name)
        with tempfile.TemporaryDirectory() as folder:
            places, seconds = PARTS[name](Path(folder), given.quick)
        line = linregress(places, seconds)
        fitted = [line.intercept + line.slope * place for place in places]
        far = max(abs(s / f - 1) for s, f in zip(seconds, fitted, strict=True))
        points = ", ".join(f"{place}: {spent:.2f}" for place, spent in zip(places, seconds, strict=True))
        slope = f"{line.slope:.4g} ± {line.stderr:.1g}"
        lines.append([name, points, slope, line.intercept, f"{line.rvalue**2:.4f}", f"{100 * far:.0f} %"])
    show(("against", "seconds", "slope, s", "intercept, s", "R²", "farthest"), lines)


if __name__ == "__main__":
    main()
