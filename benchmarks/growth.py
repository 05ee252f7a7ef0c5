"""A run that grows, beside a run of the same length made at once: processor seconds, and are the numbers the same?

    python benchmarks/growth.py                       # quickstart, from 3 to 6 generations: some minutes
    python benchmarks/growth.py --set seeds=[0,1]     # changes to the preset
    python benchmarks/growth.py --quick               # does everything run?

Four runs, each in a process of its own with one worker and a cache that they share: to generation 0 (the base model is
made and is in the cache from then on), to the earlier and to the later end in folders of their own, then the first
folder once more to the later end. What the added generations cost is the difference of the two runs made at once. The
run that grows also loads its models, tokens and the sentence encoder anew. Seconds are those of the verb `run`, without
the imports before it and the report after it. All records but the seconds have to be the same.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from tell import say, show

RUN = """
import sys, time
from crossfeed import Experiment, open_store, run
from crossfeed.description.reading import read_preset
experiment = Experiment.from_yaml(read_preset(sys.argv[1]), tuple(sys.argv[3:]))
if experiment.learner.kind == "language":
    import sentence_transformers, crossfeed.learners.language.learner
begun = time.process_time()
run(experiment, open_store(sys.argv[2]))
print(time.process_time() - begun)
"""


def timed(words: list[str], environment: dict[str, str]) -> float:
    """Return processor seconds of a run."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], check=True, env=environment, capture_output=True, text=True
    )
    return float(done.stdout)


def numbers(folder: Path) -> list[tuple]:
    """Return all records of a run but the seconds."""
    rows = pq.read_table(folder / "records.parquet").to_pylist()
    return [tuple(row.items()) for row in rows if row["metric"] != "seconds"]


def main() -> None:
    """Make the four runs and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quickstart")
    parser.add_argument("--begin", type=int, default=3, help="the earlier last generation")
    parser.add_argument("--end", type=int, default=6, help="the later one")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    preset = "fake" if given.quick else given.preset
    with tempfile.TemporaryDirectory() as temporary:
        at = Path(temporary)
        environment = os.environ | {"CROSSFEED_CACHE": str(at / "cache")}

        def run(end: int, folder: str) -> float:
            say(f"{preset} to generation {end}, in {folder}")
            return timed([preset, str(at / folder), *given.set, f"generations={end}"], environment)

        run(0, "base")
        short, whole = run(given.begin, "short"), run(given.end, "whole")
        grown = run(given.end, "short")
        same = numbers(at / "short") == numbers(at / "whole")
    cost = whole - short
    show(
        ["", "processor seconds", "of the added generations"],
        [
            [f"a run to generation {given.begin}", f"{short:.1f}", ""],
            [f"a run to generation {given.end}", f"{whole:.1f}", ""],
            [f"generations {given.begin + 1} to {given.end}: the difference", f"{cost:.1f}", "1.00"],
            [f"the run to generation {given.begin} grows to {given.end}", f"{grown:.1f}", f"{grown / cost:.2f}"],
        ],
    )
    say("all records but the seconds are the same" if same else "THE RECORDS DIFFER")
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
