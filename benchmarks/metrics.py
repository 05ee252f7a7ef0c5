"""Seconds of each metric on what two models write for three data sets, beside a generation of the quickstart.

    python benchmarks/metrics.py                    # runs the quickstart first: some minutes
    python benchmarks/metrics.py --quickstart 130   # beside one that took 130 s of processor time
    python benchmarks/metrics.py repetition copying # these metrics alone
    python benchmarks/metrics.py --quick            # does everything run?

No model writes here: two entities put together runs of words of training items, by keys. Their completions are made
before the clock starts. Processor seconds, which other work on the machine hardly changes, also of the quickstart, and
features on one thread. Features, which metrics share, have a row of their own; they are of the sentence encoder of the
lm extra where it is installed, else of hashed words. Metrics of losses need a model and are left out. `first` is the
first generation that a process measures (imports, indices of training data), `later` the median of those after it; a
metric that looks back sees them, too.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NoReturn
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tell import say, show
from threadpoolctl import threadpool_limits

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.reading import read_preset
from crossfeed.description.registry import _METRICS, metric_settings, task_settings
from crossfeed.generation.snapshot import LiveSnapshot
from crossfeed.protocols import PUBLIC, Measurement, Task
from crossfeed.settings import MetricSettings

SOURCES = {"facts": "facts", "math": "math", PUBLIC: "stdlib-docs"}
OWNED = {"facts": ("facts",), "math": ("math",)}
DIMENSION = 384


def processor() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def timed(work: Callable[[], object]) -> float:
    begun = processor()
    work()
    return processor() - begun


class NeedsModel(Exception):
    """Losses were asked for."""


class Writers:
    """Two entities that write without a model; a state is the words of the training items that one quotes.

    Attributes:
        embedding: Seconds that features have taken.
    """

    def __init__(self) -> None:
        self.embedding = 0.0

    def generate(  # noqa: D102 - see `crossfeed.protocols.Learner`
        self, states: Sequence[list[list[str]]], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        return [self._written(*each) for each in zip(states, prompts, keys, strict=True)]

    def _written(self, quoted: list[list[str]], prompts: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        texts = [" " + " ".join(self._quoted(quoted, np.random.default_rng(int(key)))) for key in keys]
        columns = {"prompt": prompts.column("prompt"), "completion": pa.array(texts, pa.string())}
        return pa.table(columns | {"finished": pa.array(keys % 8 > 0)})

    def _quoted(self, quoted: list[list[str]], random: np.random.Generator) -> list[str]:
        texts = [quoted[item] for item in random.integers(len(quoted), size=4)]
        begins = [int(random.integers(len(text))) for text in texts]
        return [word for text, begin in zip(texts, begins, strict=True) for word in text[begin : begin + 12]]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:  # noqa: D102
        embed, begun = encoder(), processor()
        features = [embed(table.column("completion").to_pylist()) for table in tables]
        self.embedding += processor() - begun
        return features

    def score(self, *_: object) -> NoReturn:  # noqa: D102
        raise NeedsModel


@cache
def encoder():
    try:
        from crossfeed.learners.language.embedding import Embedder
        from crossfeed.learners.neural.device import open_device

        embedder = Embedder("auto", open_device("cpu", "auto", 1))
        embedder.embed(["loaded"])
    except ImportError:
        say("the sentence encoder of the lm extra is not there: features are those of hashed words")
        return hashed
    return embedder.embed


def hashed(texts: Sequence[str]) -> NDArray[np.float32]:
    features = np.zeros((len(texts), DIMENSION), np.float32)
    for row, text in enumerate(texts):
        places = [crc32(word.encode()) % DIMENSION for word in text.split()] or [0]
        np.add.at(features[row], places, 1)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def snapshots(tasks: Mapping[str, Task], items: int, rounds: int) -> list[LiveSnapshot]:
    """Generations 0, 1, ...; at each the entities quote other training items."""
    made: list[LiveSnapshot] = []

    def outputs(step: str, generation: int) -> pa.Table:
        found = made[generation].outputs() if step == "outputs" else None
        if found is None:
            raise NeedsModel
        return found

    columns = [[task.train.column(name).to_pylist() for name in ("prompt", "completion")] for task in tasks.values()]
    words = [[(prompt + rest).split() for prompt, rest in zip(*both, strict=True)] for both in columns]
    for generation in range(rounds + 1):
        states = [[item for own in words for item in own[generation :: rounds + 1]] for _ in OWNED]
        snapshot = LiveSnapshot(generation, tuple(OWNED), states, tasks, Writers(), 0, OWNED, outputs, corpora=tasks)
        for task in tasks:
            snapshot.completions(task, items)
        made.append(snapshot)
    return made


def measured(settings: MetricSettings, snapshot: LiveSnapshot) -> tuple[float, list[Measurement]]:
    """Seconds without those of features, and the numbers."""
    numbers: list[Measurement] = []
    metric, before = settings.build(), snapshot.learner.embedding
    took = timed(lambda: numbers.extend(metric.measure(snapshot)))
    return took - (snapshot.learner.embedding - before), numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="*", help="default: all that give a number of texts")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="generations after the first")
    parser.add_argument(
        "--quickstart", type=float, help="processor seconds of a quickstart on this machine; default: it is run"
    )
    parser.add_argument("--quick", action="store_true", help="nearly nothing: numbers mean nothing")
    given = parser.parse_args()
    threadpool_limits(1)  # threads that wait for each other count as work
    items, rounds = (8, 1) if given.quick else (given.items, given.rounds)
    quickstart = Experiment.from_yaml(read_preset("quickstart"))
    seconds = 1.0 if given.quick else given.quickstart
    if seconds is None:
        say("the quickstart is run")
        seconds = timed(lambda: run(quickstart, MemoryStore()))
    cells = quickstart.cells()
    measured_times = len({cell.zero for cell in cells}) + len(cells) * quickstart.generations
    generation = seconds / measured_times

    tasks = {name: task_settings(source)(source=source).build(name, None) for name, source in SOURCES.items()}
    made = snapshots(tasks, items, rounds)
    rows: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    left_out = []
    for name in given.metrics or _METRICS:
        try:
            settings = metric_settings(name)
            limited = settings(**({"items": items} if "items" in settings.model_fields else {}))
            each = [measured(limited, snapshot) for snapshot in made]
        except NeedsModel:
            left_out.append(name)
            continue
        if each[-1][1]:
            rows[name], counts[name] = [took for took, _ in each], len(each[-1][1])
    rows["(features, for all)"] = [snapshot.learner.embedding for snapshot in made]
    if left_out:
        say(f"left out, since they need a model: {', '.join(left_out)}")
    table = [
        (name, counts.get(name, ""), took[0], later := statistics.median(took[1:]), 100 * later / generation)
        for name, took in rows.items()
    ]
    table.append(("all", "", *(sum(column) for column in list(zip(*table, strict=True))[2:])))
    shown = [(name, count, *(f"{value:.3f}" for value in values)) for name, count, *values in table]
    say(f"the quickstart: {seconds:.0f} s, {measured_times} generations measured, {generation:.2f} s for each")
    show(("metric", "numbers", "first, s", "later, s", "% of a quickstart's generation"), shown)


if __name__ == "__main__":
    main()
