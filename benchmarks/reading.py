"""Reading JSON lines as they are written, against the `datasets` library.

    python benchmarks/reading.py             # 100,000 rows, 3 rounds
    python benchmarks/reading.py --quick     # does everything run?

Both give a list of rows as Python values, from one file, in turns; the library's own import is not counted, and it is
given a cache that is empty each time, as a first reading has. Processor seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets
from tell import show

from crossfeed.tasks.reading.files import read_file


def write(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for n in range(rows):
            row = {"question": f"What is {n} plus {n}? " * 6, "answer": str(2 * n), "n": n, "x": n / 7, "c": ["a", "b"]}
            stream.write(json.dumps(row) + "\n")


def by_the_library(path: Path) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as cache:
        split = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=cache, keep_in_memory=True)
        return split.with_format("arrow")[:].to_pylist()


def processor_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="nearly nothing: ratios mean nothing")
    given = parser.parse_args()
    rows, rounds = (200, 1) if given.quick else (given.rows, given.rounds)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        write(path, rows)
        assert [row["question"] for row in read_file("x", path)] == [row["question"] for row in by_the_library(path)]
        pairs = [
            (processor_seconds(lambda: read_file("x", path)), processor_seconds(lambda: by_the_library(path)))
            for _ in range(rounds)
        ]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    show(["rows", "as written, s", "datasets, s", "ratio"], [[f"{rows:,}", ours, theirs, theirs / ours]])


if __name__ == "__main__":
    main()
