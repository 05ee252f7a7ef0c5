"""Keeping large states: written behind the work of the next generation, against one after the other.

    OMP_NUM_THREADS=1 python benchmarks/store.py                  # two states of 500 MB, 6 generations
    OMP_NUM_THREADS=1 python benchmarks/store.py --folder /mnt/x  # on the disk that runs will be on
    OMP_NUM_THREADS=1 python benchmarks/store.py --quick          # does everything run?

A generation saves the states of two entities as safetensors, as learners do, and then computes for about `--work`
seconds on one thread; what it computes is the same for both, so that a writer that took the processor away would be
seen. Timed from the first generation to the last byte, in turns, checksums and syncing the disk included.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from rounds import in_turns, ratio
from safetensors.numpy import save_file
from tell import show, timed

from crossfeed import open_store
from crossfeed.store.schema import SCHEMA


def save(state: dict[str, np.ndarray], folder: Path) -> None:
    save_file(state, folder / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to write; default the system's temporary folder")
    parser.add_argument("--size", type=int, default=500, help="megabytes of each entity's state; default 500")
    parser.add_argument("--work", type=float, default=4.0, help="seconds of computing in a generation; default 4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="nearly nothing: ratios mean nothing")
    given = parser.parse_args()
    size, work, generations = (1, 0.01, 2) if given.quick else (given.size, given.work, 6)
    state = {"weight": np.random.default_rng(0).random(size * 10**6 // 8)}
    matrix = np.random.default_rng(1).random((500, 500))
    once = statistics.median(timed(lambda: matrix @ matrix) for _ in range(50))

    def compute() -> None:
        for _ in range(round(work / once)):
            matrix @ matrix

    def run(behind: bool) -> None:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            store = open_store(Path(folder) / "run")
            store.begin("name: x\n", {"schema": SCHEMA, "id": "x", "data": {}})
            with store.write_behind() if behind else nullcontext():
                for generation in range(generations):
                    store.write_states("cell", generation, {"a": state, "b": state}, save)
                    store.drop_states("cell", generation - 1)
                    compute()
            store.end()

    times: dict[str, list[float]] = {"one after the other": [], "behind": []}
    contenders = {
        name: lambda _, name=name: times[name].append(timed(partial(run, behind=name == "behind"))) for name in times
    }
    in_turns(1 if given.quick else given.rounds, contenders)
    computing = timed(lambda: [compute() for _ in range(generations)])
    rows = [
        [name, statistics.median(each), statistics.median(each) / computing, ratio(each, times["behind"])]
        for name, each in times.items()
    ]
    show(("", "seconds", "over computing alone", "ratio"), rows)


if __name__ == "__main__":
    main()
