"""What is copied from training data, against all runs of words written down one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from tests.texts import Corpus, Written, made_up, measured

from crossfeed import MemoryStore, run
from crossfeed.metrics import copying
from crossfeed.metrics.copying import CopyingSettings
from crossfeed.metrics.word_index import WordIndex

OWNED = {"a": ("x",), "b": ("y",)}


def runs(texts):
    """Every run of words of some texts."""
    return {
        tuple(words[i:j])
        for words in (text.split() for text in texts)
        for i, j in itertools.combinations(range(len(words) + 1), 2)
    }


@pytest.mark.parametrize("seed", range(6))
def test_the_longest_run_from_each_word_is_found(seed):
    random = np.random.default_rng(seed)
    several = int(random.integers(1, 8))
    known, other = made_up(random, 30, 12, several), [*made_up(random, 30, 12, several + 1), "", "zz"]
    there = runs(known)
    naive = [
        max((j - i for j in range(i + 1, len(words) + 1) if tuple(words[i:j]) in there), default=0)
        for words in (text.split() for text in other)
        for i in range(len(words))
    ]
    found = WordIndex(text.split() for text in known).longest([text.split() for text in other])
    assert found.tolist() == naive


def test_an_index_of_nothing_holds_nothing():
    for texts in ([], [[]], [[], []]):
        assert WordIndex(texts).longest([["a", "b"], [], ["c"]]).tolist() == [0, 0, 0]
    assert WordIndex([["a"]]).longest([]).tolist() == []


@pytest.mark.parametrize("seed", range(4))
def test_an_ngram_counts_for_the_first_place_that_holds_it(seed):
    random = np.random.default_rng(seed)
    texts = {name: made_up(random, 12, 10, 5) for name in ("x", "y", "public")}
    prompts = {name: made_up(random, 9, 6, 5) for name in texts}
    corpora = {name: Corpus(prompts[name], texts[name]) for name in texts}
    outputs = {name: [made_up(random, 9, 10, 6) for _ in OWNED] for name in texts}
    found = measured(CopyingSettings(words=3), Written(outputs, owned=OWNED, tasks=corpora))
    for k, entity in enumerate(OWNED):
        mine, theirs = ("x", "y") if entity == "a" else ("y", "x")
        sources = {"own": runs(texts[mine]), "public": runs(texts["public"]), "others": runs(texts[theirs])}
        for task in texts:
            written = [runs([text]) for text in outputs[task][k]]
            where = {}
            for each, prompt in zip(written, prompts[task], strict=True):
                for gram in each - runs([prompt]):
                    home = next((name for name, held in sources.items() if gram in held), None)
                    where.setdefault(home, set()).add(gram)
            grams, counted = 0, dict.fromkeys(sources, 0)
            for text, prompt in zip(outputs[task][k], prompts[task], strict=True):
                words, asked = text.split(), runs([prompt])
                for gram in zip(*(words[i:] for i in range(3)), strict=False):
                    grams += 1
                    home = next((name for name, held in sources.items() if gram in held), None)
                    if gram not in asked and home:
                        counted[home] += 1
            for name in sources:
                assert found[entity, task, f"copied_{name}"] == pytest.approx(counted[name] / grams)
                assert found[entity, task, f"longest_{name}"] == max(map(len, where.get(name, ())), default=0)


def test_by_hand():
    corpora = {
        "x": Corpus(["say one two", "say it"], ["one two three four", "common words here"]),
        "y": Corpus([], ["five six seven eight nine", "common words here too"]),
        "public": Corpus([], ["ten eleven twelve"]),
    }
    texts = {"x": [["one two three four", "five six seven eight"], ["common words here too", "Ten, eleven; twelve"]]}
    snapshot = Written(texts, owned=OWNED, tasks={"x": corpora["x"]}, corpora=corpora)
    found = {key[::2]: value for key, value in measured(CopyingSettings(words=2), snapshot).items()}
    # "one two" is in the prompt, "one two three" is not.
    assert found == {
        ("a", "copied_own"): 2 / 6, ("a", "copied_public"): 0.0, ("a", "copied_others"): 3 / 6,
        ("a", "longest_own"): 4, ("a", "longest_public"): 0, ("a", "longest_others"): 4,
        ("b", "copied_own"): 3 / 5, ("b", "copied_public"): 2 / 5, ("b", "copied_others"): 0.0,
        ("b", "longest_own"): 4, ("b", "longest_public"): 3, ("b", "longest_others"): 0,
    }  # fmt: skip


def test_sources_without_text_and_outputs_without_words_have_no_number():
    points = pa.table({"x": [1.0]})
    numbers = type("Numbers", (), {"train": points, "test": points, "content": "numbers"})()
    corpora = {"x": Corpus(["say"], ["one two"]), "y": numbers, "public": numbers}
    texts = {"x": [["one two"], points], "y": [points, points], "public": [[" ?"], ["one"]]}
    found = measured(CopyingSettings(words=2), Written(texts, owned=OWNED, tasks=corpora))
    assert found == {
        ("a", "x", "copied_own"): 1.0,
        ("a", "x", "longest_own"): 2,
        ("b", "public", "longest_others"): 1,  # no run of two words, hence no share
    }


def test_training_data_are_sorted_once(monkeypatch):
    known = copying._Known()
    monkeypatch.setattr(copying, "_KNOWN", known)
    made = []
    monkeypatch.setattr(copying, "WordIndex", lambda texts: made.append(1) or WordIndex(texts))
    corpora = {name: Corpus(["say"], [f"text of {name}"]) for name in ("x", "y", "public")}
    for text in ("one", "text of y", "text of x"):
        snapshot = Written({"x": [[text], [text]]}, owned=OWNED, tasks={"x": corpora["x"]}, corpora=corpora)
        measured(CopyingSettings(), snapshot)
    assert len(made) == 4 + 3  # own, own, public and all private ones; and each time the prompts
    monkeypatch.setattr(copying, "_MOST", 0)
    known.of([corpora["x"], corpora["y"]])
    assert len(known._kept) == 4
    known.of([corpora["public"], corpora["y"]])
    assert len(known._kept) == 1


def test_what_is_measured_on_own_tasks_alone_is_compared_with_all_training_data(fake):
    named = "metrics={copying: {words: 1}, loss: {}}"
    both = [
        run(fake("n=20", "generations=1", "ecosystem.alpha=0.5", named, f"measured={which}"), MemoryStore()).records
        for which in ("all", "own")
    ]
    every, own = (
        {
            (row["generation"], row["model"], row["task"], row["metric"]): row["value"]
            for row in records.to_pylist()
            if row["metric"].startswith(("copied", "longest"))
        }
        for records in both
    )
    assert own.items() <= every.items()
    assert any(metric == "copied_others" and value > 0 for (_, _, _, metric), value in own.items())


def test_another_number_of_words_is_another_experiment(fake):
    ids = [fake(f"metrics={{copying: {{words: {n}}}}}").id for n in (8, 9)]
    assert ids[0] != ids[1]
    assert ids[0] == fake("metrics={copying: {}}").id
