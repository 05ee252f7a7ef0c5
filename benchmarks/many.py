"""Two hundred models, two thousand cells: this checkout beside a former commit of it.

    python benchmarks/many.py                          # both parts, beside the commit before they were made faster
    python benchmarks/many.py entities --generations 50
    python benchmarks/many.py cells --side 45 --cell-generations 5
    python benchmarks/many.py --before v0.9            # another commit to compare with
    python benchmarks/many.py --quick                  # tiny sizes: does everything run

The former commit is checked out with ``git worktree`` into a temporary folder and run there, with the same interpreter
and packages, one thread, a process for each command; the two take turns, once each.

- entities: K = 200 fake models that publish 200,000 items a generation, all measured on all 201 tasks. Seconds are
  those in the records, summed over generations; peaks are of whole commands, first `run`, then `show`. All numbers
  of both runs, but the seconds, have to be the same bits.
- cells: a run of linear models over a square grid of alpha and beta, and `status`, `show` and `report` of its folder:
  each build reads what it wrote itself. Seconds are of processor time, and peaks of whole commands; files and bytes
  are those of the folder before there is a report in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from tell import say, show

BEFORE = "fa8769f"
HERE = Path(__file__).resolve().parents[1]
STAGES = ("publish", "compose", "update", "measure")
ENTITIES = """
ecosystem: {{entities: {entities}, alpha: 0.5, beta: 0.5}}
learner: {{kind: fake}}
tasks: {{each: {{source: fake, seed: "{{k}}", test: 4}}}}
public: {{source: fake, test: 4}}
n: {n}
generations: {generations}
checkpoints: none
metrics: {{loss: {{}}}}
"""
CELLS = """
ecosystem: {{entities: [{{name: a, private: p}}, {{name: b, private: q}}], alpha: 0.5, beta: 0.5}}
learner: {{kind: linear}}
tasks:
  p: {{source: regression, dimension: 3, rows: 12, rank: 2, entity: 0, truth: [2, -1, 3], replicates: 4}}
  q: {{source: regression, dimension: 3, rows: 10, rank: 2, entity: 1, truth: [-2, 1, 2], replicates: 4}}
public: {{source: regression, dimension: 3, rows: 15, truth: [1, 2, -1], replicates: 4}}
generations: {generations}
checkpoints: none
metrics: {{loss: {{}}, similarity: {{}}}}
grid: {{ecosystem.alpha: {weights}, ecosystem.beta: {weights}}}
"""
RUN = (
    "import sys; from crossfeed import *; run(Experiment.from_yaml(open(sys.argv[1]).read()), open_store(sys.argv[2]))"
)


class Build:
    """One checkout of the package, whose commands are run in processes of their own."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.environment = os.environ | {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}

    def timed(self, *words: str) -> tuple[float, float]:
        """Seconds of one Python command, and the most memory that it had, in MB."""
        begun = time.perf_counter()
        used = self._used(*words)
        return time.perf_counter() - begun, _peak(used)

    def spent(self, *words: str) -> tuple[float, float]:
        """Seconds of processor time of one Python command, and the most memory that it had, in MB."""
        used = self._used(*words)
        return used.ru_utime + used.ru_stime, _peak(used)

    def _used(self, *words: str) -> resource.struct_rusage:
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [sys.executable, *words], env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                sys.exit(f"{self.name}: {' '.join(words)}\n{output.read().decode()}")
        return used


def _peak(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def entities(folder: Path, builds: list[Build], given: argparse.Namespace) -> None:
    count, n = (5, 20) if given.quick else (200, 1000)
    described = folder / "entities.yaml"
    described.write_text(ENTITIES.format(entities=count, n=n, generations=given.generations))
    rows, numbers = [], []
    for build in builds:
        out = folder / f"entities-{build.name}"
        seconds, peak = build.timed("-c", RUN, str(described), str(out))
        shown, peak_shown = build.timed("-m", "crossfeed", "show", str(out))
        records = pd.read_parquet(out / "records.parquet")
        spent = records[records["metric"] == "seconds"].groupby("task")["value"].sum()
        rows.append([build.name, seconds, *(spent.get(stage, 0.0) for stage in STAGES), peak, shown, peak_shown])
        numbers.append(records[records["metric"] != "seconds"].reset_index(drop=True))
    show(("build", "run, s", *(f"{stage}, s" for stage in STAGES), "peak, MB", "show, s", "peak, MB"), rows)
    if len(rows) > 1:
        same = numbers[0].equals(numbers[1])
        compose = 2 + STAGES.index("compose")
        say(f"compose {rows[1][compose] / rows[0][compose]:.1f} times faster; same numbers: {same}")


def cells(folder: Path, builds: list[Build], given: argparse.Namespace) -> None:
    side = 3 if given.quick else given.side
    weights = [round(k / (side - 1), 6) for k in range(side)]
    described = folder / "cells.yaml"
    described.write_text(CELLS.format(weights=weights, generations=given.cell_generations))
    rows = []
    for build in builds:
        out = folder / f"cells-{build.name}"
        row = [build.name, side**2, build.spent("-c", RUN, str(described), str(out))[0]]
        files = [path for path in out.rglob("*") if path.is_file()]
        row += [len(files), sum(path.stat().st_size for path in files) / 1e6]
        for verb in ("status", "show", "report"):
            row += build.spent("-m", "crossfeed", verb, str(out))
        rows.append(row)
    verbs = [f"{verb}, {what}" for verb in ("status", "show", "report") for what in ("s", "MB")]
    show(("build", "cells", "run, s", "files", "MB", *verbs), rows)


PARTS = {"entities": entities, "cells": cells}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default all")
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT", help="the commit to compare with")
    parser.add_argument("--alone", action="store_true", help="without the former commit")
    parser.add_argument("--generations", type=int, default=3, metavar="T", help="generations of the entities")
    parser.add_argument("--side", type=int, default=16, metavar="N", help="an N x N grid of cells")
    parser.add_argument("--cell-generations", type=int, default=2, metavar="T", help="generations of the cells")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: ratios mean nothing")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        builds = [Build("now", HERE)]
        if not given.alone:
            subprocess.run(["git", "-C", HERE, "worktree", "add", "-q", "--detach", before, given.before], check=True)
            builds.append(Build(given.before, before))
        try:
            for name in given.parts or PARTS:
                PARTS[name](Path(folder), builds, given)
        finally:
            if not given.alone:
                subprocess.run(["git", "-C", HERE, "worktree", "remove", "--force", before], check=True)


if __name__ == "__main__":
    main()
