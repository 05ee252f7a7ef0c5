"""The presets of discrete models: each runs in small, and the example draws a figure of each."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from crossfeed import Experiment
from crossfeed.description.reading import read_preset
from tests.test_examples import example


def test_zipf_tails_runs_and_is_drawn_in_small(tmp_path):
    tasks = {"source": "categorical", "zipf": {"symbols": 300}, "train": 400, "test": 1, "replicates": 5}
    changes = ("generations=8", "n=200", f"tasks.each={json.dumps(tasks)}", f"public={json.dumps(tasks)}")
    numbers = example("discrete").main(tmp_path, ["zipf-tails"], changes)
    assert (tmp_path / "zipf_tails.png").read_bytes().startswith(b"\x89PNG")
    alone, pooled = (f"zipf-tails, K = {k}, surviving_symbols" for k in (1, 4))
    assert numbers[f"{alone}, last"] < numbers[f"{pooled}, last"] < numbers[f"{pooled}, first"]
    tail, head = (f"zipf-tails, K = 1, share of symbols {ranks}, last" for ranks in ("101 to 300", "1 to 100"))
    assert numbers[tail] < numbers[head]


def prose(folder: Path) -> Path:
    """Made-up sentences, laid out as a local copy of the corpus."""
    (folder / "bookcorpus").mkdir(parents=True)
    for split, rows in (("train", 400), ("validation", 60), ("test", 60)):
        lines = [" ".join(f"{split[0]}{(i + 1) * (j + 3) % 997}" for j in range(12)) for i in range(4 * rows)]
        pq.write_table(pa.table({"text": lines}), folder / "bookcorpus" / f"{split}.parquet")
    return folder


def drawn(folder: Path, root: Path) -> None:
    changes = (
        "generations=2",
        "n=60",
        "tasks.each.test=10",
        "tasks.each.train=60",
        "public.test=5",
        "public.train=300",
    )
    numbers = example("discrete").main(folder, ["bigrams"], changes, root)
    assert (folder / "bigrams.png").read_bytes().startswith(b"\x89PNG")
    for line in ("five on one pool", "each alone"):
        assert 0 <= numbers[f"bigrams, {line}, unseen_ngrams, last"] <= 1
        assert numbers[f"bigrams, {line}, perplexity, first"] > 1


def test_bigrams_run_and_are_drawn_in_small(tmp_path):
    drawn(tmp_path, prose(tmp_path / "data"))


def test_bigrams_run_on_books(tmp_path, shared_data):
    drawn(tmp_path, shared_data)


def test_the_presets_are_those_that_the_page_describes():
    zipf, books = (Experiment.from_yaml(read_preset(name)) for name in ("zipf-tails", "bigrams"))
    assert (zipf.n, zipf.generations, zipf.learner.prior) == (10_000, 100, 0)
    assert (books.n, books.generations, books.learner.order, books.learner.prior) == (5_000, 10, 2, 5)
