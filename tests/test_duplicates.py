"""The filter of near-duplicates against its definition: all pairs compared, groups as connected components."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from crossfeed.errors import InvalidInput, MissingDependency
from crossfeed.filters.duplicates import DuplicatesSettings
from crossfeed.keys import item_keys
from tests.test_filters import first_turn
from tests.test_generation import context_of

pytest.importorskip("datasketch")


@dataclass
class Pool:
    """A pool of made-up texts, by author."""

    texts: list[list[str]]
    seed: int = 0

    @property
    def authors(self):
        return tuple(map(str, range(len(self.texts))))

    def keys(self, author):
        return item_keys(self.seed + author, np.arange(len(self.texts[author])))

    def items(self, author):
        return pa.table({"prompt": [""] * len(self.texts[author]), "completion": self.texts[author]})


def kept_of(pool: Pool, **settings) -> list[list[bool]]:
    masks = DuplicatesSettings(**settings).build({}).synthetic(pool)
    return [mask[0].tolist() for mask in masks]


def shingles(text, ngram):
    words = text.split()
    return {tuple(words[i : i + ngram]) for i in range(max(len(words) - ngram + 1, 1))}


def jaccard(one, other, ngram):
    a, b = shingles(one, ngram), shingles(other, ngram)
    return len(a & b) / len(a | b)


def copies(random, many=12):
    """Texts of sixty words, and copies of them in which some words are changed."""
    texts = []
    for _ in range(many):
        words = random.integers(0, 10_000, 60).astype(str)
        for changed in (0, 0, 1, 3, 20):
            own = words.copy()
            own[random.choice(60, changed, replace=False)] = random.integers(10_000, 20_000, changed).astype(str)
            texts.append(" ".join(own))
    return [texts[place] for place in random.permutation(len(texts))]


@pytest.mark.parametrize("ngram", [1, 3])
def test_one_of_each_group_stays_as_a_comparison_of_all_pairs_says(ngram):
    random = np.random.default_rng()
    texts, threshold = copies(random), 0.7
    group = list(range(len(texts)))
    near = [[jaccard(a, b, ngram) for b in texts] for a in texts]
    for a, row in enumerate(near):
        for b, similarity in enumerate(row):
            if similarity >= threshold:
                group = [group[a] if g == group[b] else g for g in group]
    kept = kept_of(Pool([texts[:25], texts[25:]], int(random.integers(99))), threshold=threshold, ngram=ngram)
    stays = [place for place, flag in enumerate([*kept[0], *kept[1]]) if flag]
    assert {group[place] for place in stays} == set(group)  # no group vanishes
    # A pair near the threshold may be missed; copies of the same words never are.
    twice = len(stays) - len(set(group))
    just = sum(threshold <= s < threshold + 0.1 for row in near for s in row)
    assert twice <= just
    assert len({texts[place] for place in stays}) == len(stays)


def test_pairs_just_above_the_threshold_are_found_and_none_below_counts():
    random = np.random.default_rng()
    found, trials = 0, 200
    for _ in range(trials):
        # Of 45 words in each text 36 are common: J = 36 / 54.
        common, own, other = np.split(random.choice(10**6, 54, replace=False).astype(str), [36, 45])
        pool = Pool([[" ".join([*common, *own])], [" ".join([*common, *other])]])
        assert kept_of(pool, threshold=36 / 54 + 1e-9, ngram=1) == [[True], [True]]
        found += kept_of(pool, threshold=36 / 54, ngram=1) != [[True], [True]]
    assert found > 0.9 * trials  # 0.98 in theory: 1 - (1 - J^r)^b


def test_no_author_is_preferred():
    same = "the same words again and again, whoever writes them"
    trials = 400
    first = sum(kept_of(Pool([[same], [same, same]], seed=1000 * s))[0][0] for s in range(trials))
    assert abs(first - trials / 3) < 5 * np.sqrt(trials * 2 / 9)


def test_scripts_without_spaces_are_compared_by_characters():
    one = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少床前明月光疑是地上霜举头望明月低头思故乡"
    assert sum(flag for [flag] in kept_of(Pool([[one], [one[:-1] + "村"]]), ngram=3)) == 1
    assert kept_of(Pool([[one], [one[::-1]]]), ngram=3) == [[True], [True]]


def test_authors_without_items_and_empty_texts_are_no_obstacle():
    assert kept_of(Pool([[], []])) == [[], []]
    assert sum(map(sum, kept_of(Pool([["", ""], [], ["a b"]])))) == 2


@pytest.mark.parametrize(
    ("against", "gone"),
    [([], []), (["private"], ["of warm", "of cold"]), (["public"], ["of all"]), (["private", "public"], None)],
)
def test_repeats_of_real_data_go_when_asked(against, gone):
    texts = ["of warm", "of cold", "of all", "of nobody"]
    real = {"private": texts[:2], "public": texts[2:3]}
    pool = Pool([texts])
    pool.real = lambda source: [pa.table({"prompt": [""], "completion": [text]}) for text in real[source]]
    expected = [text not in (texts[:3] if gone is None else gone) for text in texts]
    assert kept_of(pool, against=against, threshold=1) == [expected]


def test_a_run_compares_with_its_own_data(fake):
    words = "tasks.warm.words=[one]", "tasks.cold.words=[two]", "public.words=[three]"
    context = context_of(
        fake(*words, "ecosystem.alpha=1", "n=400", "ecosystem.curation={duplicates: {ngram: 1, against: [private]}}")
    )
    _, pool = first_turn(context)
    kept = [row for row in pool.to_pylist() if any(row["passed"])]
    assert kept
    assert not any(set((row["prompt"] + row["completion"]).split()) in ({"one"}, {"two"}) for row in kept)


def test_completions_can_be_compared_alone():
    answer = " it is so, as everybody knows who has ever been there before"
    pool = Pool([[answer], [answer]])
    pool.items = lambda author: pa.table(
        {"prompt": [f"{author}-why {author}-who {author}-where {author}-when"], "completion": [answer]}
    )
    assert kept_of(pool, compare="item") == [[True], [True]]
    assert sum(flag for [flag] in kept_of(pool, compare="completion")) == 1


def test_a_run_keeps_each_text_once(fake):
    words = "tasks.warm.words=[one]", "tasks.cold.words=[one]", "public.words=[one]"
    context = context_of(fake(*words, "ecosystem.alpha=1", "n=400", "ecosystem.curation={duplicates: {ngram: 1}}"))
    _, pool = first_turn(context)
    kept = [row for row in pool.to_pylist() if any(row["passed"])]
    assert pool.num_rows == 800
    assert 0 < len(kept) < 800
    assert all(row["passed"][0] == row["passed"][1] for row in pool.to_pylist())
    texts = [frozenset((row["prompt"] + row["completion"]).split()) for row in kept]
    assert len(set(texts)) == len(texts)


def test_what_is_no_text_is_refused(fake):
    points = context_of(
        fake(
            *("learner={kind: gaussian}", "public={source: gaussian}", "metrics={loss: {}}", "n=20"),
            *("tasks.warm={source: gaussian}", "tasks.cold={source: gaussian}"),
        )
    )
    with pytest.raises(InvalidInput, match=r"duplicates.*'warm'.*no texts"):
        DuplicatesSettings().build({"warm": points.tasks["warm"]})


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(MissingDependency, match=r"datasketch: pip install 'crossfeed\[pool\]'"):
        DuplicatesSettings().build({})
