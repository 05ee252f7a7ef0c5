"""Ranked access: what a ranking shows, that draws are from it, what of the pool is exposed, and that restarts agree."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from crossfeed import Experiment, MemoryStore, run
from crossfeed.errors import InvalidDescription, InvalidInput, MissingDependency
from crossfeed.executors import open_executor
from crossfeed.generation.access import Exposure, exposure, popularities
from crossfeed.generation.mixture import Source
from crossfeed.generation.pool import POPULARITY
from crossfeed.generation.ranking import DECIMALS, Bm25, first_of, popularity_scores, ranked_draws
from crossfeed.generation.realised import realised
from crossfeed.generation.turn import compose, publish, update
from crossfeed.keys import generator, item_keys
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC
from crossfeed.store import open_store
from tests.test_filters import check_restarts, first_turn, numbers
from tests.test_generation import context_of
from tests.tiny import LINEAR

pytest.importorskip("bm25s")

BASE = ("ecosystem.alpha=0.5", "ecosystem.entities.1.share=3", "n=80", "generations=3", "metrics={loss: {}}")
RANKS = ("popularity", "bm25", "embedding")
ACCESS = {
    **{rank: (f"ecosystem.access={{rank: {rank}, top: 7}}", "ecosystem.fresh_fraction=0.3") for rank in RANKS},
    "accumulated": ("ecosystem.access={rank: popularity, top: 30}", "ecosystem.history=accumulate"),
    "curated": (
        "ecosystem.access={rank: bm25, top: 5}",
        "ecosystem.curation={loss: {judge: reader, quantile: 0.5}, detector: {recall: 0.3}}",
    ),
}


def ready(fake, *overrides):
    """A cell whose first pool is published, and that pool."""
    context = context_of(fake(*BASE, *overrides))
    _, pool = first_turn(context)
    context.selection.recall({1: pool})
    return context, pool


def drawn_items(draws) -> Counter:
    pairs = zip(draws.source, draws.index, strict=True)
    return Counter((draws.sources[code].name, int(index)) for code, index in pairs)


@pytest.mark.parametrize("rank", RANKS)
def test_where_everything_is_shown_draws_follow_the_pool(fake, rank):
    """Against the definition: every item that passes, by its weight, whatever it says."""
    access = f"ecosystem.access={{rank: {rank}, top: 1000}}"
    curation = "ecosystem.curation={detector: {recall: 0.3, false_alarm: 0.2}}"
    context, _ = ready(fake, access, curation, "n=20000", "pool_size=60", "ecosystem.fresh_fraction=0.4")
    eco, mask = context.cell.experiment.ecosystem, context.selection.mask(1)
    chances: dict[tuple[str, int], float] = {}
    for name, share, kept in zip(context.entities, eco.shares, mask.synthetic, strict=True):
        chances |= {(name, int(item)): 0.6 * share / 60 for item in np.flatnonzero(kept[0])}
    chances |= {(FRESH, int(item)): 0.4 / len(mask.human) for item in np.flatnonzero(mask.human)}
    drawn = drawn_items(context.selection.draws(1, 0))
    pooled = {place: count for place, count in drawn.items() if place[0] not in (PRIVATE, PUBLIC)}
    assert set(pooled) <= set(chances)
    counts = np.array([pooled.get(place, 0) for place in chances])
    expected = np.array(list(chances.values())) / sum(chances.values()) * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-6
    assert abs(counts.sum() - 10_000) < 5 * np.sqrt(5_000)  # alpha stays one half


@pytest.mark.parametrize("rank", RANKS)
def test_real_data_are_drawn_as_without_a_ranking(fake, rank):
    plain = context_of(fake(*BASE)).selection.draws(1, 1)
    ranked = ready(fake, f"ecosystem.access={{rank: {rank}, top: 2}}")[0].selection.draws(1, 1)
    real = np.array([source.born == 0 for source in plain.sources])[plain.source]
    np.testing.assert_array_equal(np.array([source.born == 0 for source in ranked.sources])[ranked.source], real)
    np.testing.assert_array_equal(plain.index[real], ranked.index[real])


@pytest.mark.parametrize("rank", ["bm25", "embedding"])
def test_what_is_drawn_is_among_the_first_for_its_query(fake, rank):
    """The naive twin: every query from its key, all items scored and sorted, one by one."""
    top = 4
    context, pool = ready(fake, f"ecosystem.access={{rank: {rank}, top: {top}}}", "ecosystem.entities.1.share=1")
    draws, private = context.selection.draws(1, 0), context.private(0)
    items = {(row["author"], row["item"]): row for row in pool.to_pylist()}
    uniform = generator(context.cell.seed, "access", 1, context.entities[0]).random((80, 2))
    texts = [row["prompt"] + row["completion"] for row in items.values()]
    features = context.learner.embed([pool.select(["prompt", "completion"])])[0]
    checked = 0
    for position in range(len(draws.source)):
        source = draws.sources[draws.source[position]]
        if source.born == 0:
            continue
        prompt = private.column("prompt")[int(uniform[position, 0] * private.num_rows)].as_py()
        if rank == "bm25":
            scores = [naive_bm25(prompt.casefold().split(), text.casefold().split(), texts) for text in texts]
        else:
            asked = context.learner.embed([pa.table({"prompt": [""], "completion": [prompt]})])[0][0]
            scores = [float(np.dot(own.astype(float), asked.astype(float))) for own in features]
        scores = dict(zip(items, np.round(scores, DECIMALS), strict=True))
        least = sorted(scores.values())[-top]
        assert scores[source.name, int(draws.index[position])] >= least
        checked += 1
    assert checked > 20


def naive_bm25(query, document, texts, k1=1.5, b=0.75):
    corpus = [text.casefold().split() for text in texts]
    mean = sum(map(len, corpus)) / len(corpus)
    total = 0.0
    for word in query:
        holding = sum(word in each for each in corpus)
        f = document.count(word)
        idf = np.log(1 + (len(corpus) - holding + 0.5) / (holding + 0.5))
        total += idf * f / (f + k1 * (1 - b + b * len(document) / mean))
    return total


def test_bm25_is_that_of_the_formula():
    random = np.random.default_rng()
    words = np.array([f"w{i}" for i in range(30)])
    texts = [" ".join(random.choice(words, random.integers(1, 20))) for _ in range(40)]
    index = Bm25(texts)
    for query in ("w1 w2", "w3 w3 unheard", " ".join(random.choice(words, 8))):
        naive = [naive_bm25(query.split(), text.split(), texts) for text in texts]
        np.testing.assert_allclose(index.scores(query), naive, rtol=1e-9, atol=1e-12)


def test_texts_and_queries_without_a_known_word_score_nothing():
    assert Bm25(["", ""]).scores("a").tolist() == [0, 0]
    assert Bm25(["a", ""]).scores("").tolist() == [0, 0]
    assert Bm25(["a", ""]).scores("b").tolist() == [0, 0]


def test_the_first_are_those_of_a_sort_and_ties_are_broken_evenly():
    scores, keys = np.array([3.0, 1, 2, 2, 2, 0]), item_keys(5, np.arange(6))
    assert first_of(scores, keys, 1, 0).tolist() == [0]
    assert first_of(scores, keys, 4, 0).tolist() == [0, 2, 3, 4]
    assert first_of(scores, keys, 9, 0).tolist() == list(range(6))
    second = Counter(first_of(scores, keys, 2, salt)[1] for salt in range(3000))
    assert set(second) == {2, 3, 4}
    assert stats.chisquare(list(second.values())).pvalue > 1e-6
    nearly = scores + np.array([0, 0, 1e-9, -1e-9, 0, 0])  # rounding decides nothing
    assert all((first_of(scores, keys, 2, s) == first_of(nearly, keys, 2, s)).all() for s in range(50))


def test_a_draw_depends_on_its_own_query_and_number_alone():
    random = np.random.default_rng()
    scores = random.integers(0, 4, (5, 30)).astype(float)
    weights = random.random(30) * (random.random(30) > 0.3)
    queries, uniform, keys = random.integers(0, 5, 60), random.random(60), item_keys(3, np.arange(30))

    def drawn(rows):
        return ranked_draws(lambda query: scores[query], queries[rows], weights, keys, 6, uniform[rows])

    everything, order = drawn(np.arange(60)), random.permutation(60)
    np.testing.assert_array_equal(drawn(order), everything[order])
    np.testing.assert_array_equal(np.concatenate([drawn(np.array([row])) for row in range(60)]), everything)
    assert (weights[everything] > 0).all()


def test_what_is_shown_is_drawn_in_proportion_to_its_weight():
    scores, weights = np.array([5.0, 4, 3, 2]), np.array([1.0, 0, 3, 9])
    uniform = np.random.default_rng().random(4000)
    drawn = ranked_draws(lambda query: scores, np.zeros(4000, int), weights, item_keys(0, np.arange(4)), 2, uniform)
    assert set(drawn) == {0, 2}  # the second may not be read, the last is not shown
    assert abs((drawn == 2).sum() - 3000) < 5 * np.sqrt(4000 * 3 / 16)


def test_fewer_draws_are_a_prefix_of_more(fake):
    few, many = (
        ready(fake, "ecosystem.access={rank: bm25}", "pool_size=50", f"n={n}")[0].selection.draws(1, 0)
        for n in (30, 80)
    )
    np.testing.assert_array_equal(few.source, many.source[:30])
    np.testing.assert_array_equal(few.index, many.index[:30])


def test_the_first_by_popularity_is_each_in_proportion_to_it():
    popularity = np.array([1.0, 2.0, 5.0, 0.0])
    first = Counter(int(popularity_scores(popularity, item_keys(s, np.arange(4))).argmax()) for s in range(4000))
    assert 3 not in first
    assert stats.chisquare([first[0], first[1], first[2]], np.array([1, 2, 5]) / 8 * 4000).pvalue > 1e-6
    keys = item_keys(0, np.arange(4))
    assert set(first_of(popularity_scores(popularity, keys), keys, 3, 0)) == {0, 1, 2}


def test_popularity_is_what_was_read_against_what_was_offered(fake):
    """Counted by hand from the training sets, over both readers; the next pool carries it."""
    context = context_of(
        fake(*BASE, "ecosystem.access={rank: popularity, top: 9}", "ecosystem.fresh_fraction=0.3", "n=400")
    )
    states, pool = first_turn(context)
    assert set(pool.column(POPULARITY[0]).to_pylist() + pool.column(POPULARITY[1]).to_pylist()) == {1.0}
    sets = compose(context, 1, {1: pool})
    read, pooled = Counter(), 0
    for training in sets:
        for part in training.parts:
            if part.source not in (PRIVATE, PUBLIC):
                read[part.source] += part.items.num_rows
                pooled += part.items.num_rows
    offered = {"warm": 0.7 / 4, "cold": 0.7 * 3 / 4, FRESH: 0.3}
    expected = {name: read[name] / (pooled * share) for name, share in offered.items()}
    following = publish(context, 2, update(context, 1, states, sets))
    for row in following.to_pylist():
        assert row["popularity"] == pytest.approx(expected[row["author"]])
        assert row["popularity_fresh"] == pytest.approx(expected[FRESH])


def test_exposure_is_counted_beside_the_share_of_the_pool(fake):
    context, _ = ready(fake, "ecosystem.access={rank: embedding, top: 3}", "ecosystem.fresh_fraction=0.4", "n=300")
    measured = {(n.task, n.metric): n.value for n in realised(context, 1, dict) if n.model == "warm"}
    pooled = sum(measured[name, "drawn"] for name in ("warm", "cold", FRESH))
    for name, share in {"warm": 0.6 / 4, "cold": 0.6 * 3 / 4, FRESH: 0.4}.items():
        assert measured[name, "exposed"] == pytest.approx(measured[name, "drawn"] / pooled)
        assert measured[name, "offered"] == pytest.approx(share)


def test_sources_that_nothing_was_expected_of_have_no_popularity():
    assert popularities([{"a": Exposure(1, 2), "b": Exposure(0, 0)}, {"a": Exposure(3, 2)}]) == {"a": 1.0}


def test_without_draws_from_the_pool_nothing_is_exposed(fake):
    context = context_of(fake(*BASE, "ecosystem.access={rank: popularity}", "ecosystem.alpha=0"))
    assert exposure(context.selection.draws(1, 0), context.selection.weights(1, 0)) == {}
    assert not run(context.cell.experiment, MemoryStore()).failures


def test_fresh_data_alone_can_be_ranked(fake):
    for rank in RANKS:
        context = context_of(fake(*BASE, f"ecosystem.access={{rank: {rank}, top: 3}}", "ecosystem.fresh_fraction=1"))
        positions, _ = context.selection.draws(1, 0).of(Source(FRESH, 1))
        assert len(positions) > 20


@pytest.mark.parametrize("access", ACCESS)
def test_a_run_taken_up_again_draws_the_same(fake, tmp_path, access):
    experiment = fake(*BASE, *ACCESS[access])
    whole = run(experiment, open_store(tmp_path / "whole"))
    assert not whole.failures
    wanted = numbers(whole.records)
    assert {metric for *_, metric in wanted} >= {"exposed", "offered", "drawn", "loss"}
    check_restarts(experiment, wanted)


@pytest.mark.parametrize("spread", ["cells", "entities"])
@pytest.mark.parametrize("access", ["embedding", "accumulated"])
def test_workers_draw_the_same(fake, tmp_path, spread, access):
    experiment = fake(*BASE, *ACCESS[access], "seeds=[0, 1]")
    here = run(experiment, MemoryStore())
    there = run(experiment, open_store(tmp_path / "run"), executor=open_executor("processes", 2), spread=spread)
    assert not there.failures
    assert numbers(there.records) == numbers(here.records)


def test_points_are_ranked_by_their_features():
    points = """
ecosystem:
  entities: [{name: a, private: p}, {name: b, private: q}]
  alpha: 0.5
  access: {rank: embedding, top: 3}
learner: {kind: gaussian}
tasks:
  p: {source: gaussian, mean: [-3.0, 0.0], train: 50, test: 10}
  q: {source: gaussian, mean: [3.0, 0.0], train: 50, test: 10}
public: {source: gaussian, mean: [0.0, 0.0], train: 50, test: 10}
n: 100
generations: 1
"""
    outcome = run(Experiment.from_yaml(points), MemoryStore())
    assert not outcome.failures
    exposed = {(r["model"], r["task"]): r["value"] for r in outcome.records.to_pylist() if r["metric"] == "exposed"}
    assert exposed["a", "a"] > 0.7  # who asks for points on the left is shown points from the left
    assert exposed["b", "b"] > 0.7
    with pytest.raises(InvalidInput, match="bm25 ranks texts"):
        run(Experiment.from_yaml(points, ("ecosystem.access.rank=bm25",)), MemoryStore())


def test_learners_that_read_everything_are_refused():
    with pytest.raises(InvalidDescription, match=r"ecosystem.access: this learner weighs all the data"):
        Experiment.from_yaml(LINEAR, ("ecosystem.access={rank: popularity}",))


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ("{}", ["ecosystem.access.rank", "missing"]),
        ("{rank: fame}", ["ecosystem.access.rank", "popularity", "bm25", "embedding", "fame"]),
        ("{rank: bm25, top: 0}", ["ecosystem.access.top", "greater than or equal to 1"]),
        ("{rank: bm25, first: 3}", ["ecosystem.access.first", "unknown key", "rank, top"]),
    ],
)
def test_impossible_rankings_are_refused_by_name(fake, access, words):
    with pytest.raises(InvalidDescription) as error:
        fake(f"ecosystem.access={access}")
    for word in words:
        assert word in str(error.value)


def test_a_missing_package_is_named_with_its_extra(fake, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingDependency, match=r"bm25s: pip install 'crossfeed\[pool\]'"):
        run(fake(*BASE, "ecosystem.access={rank: bm25}"), MemoryStore())
    assert not run(fake(*BASE, "ecosystem.access={rank: popularity}"), MemoryStore()).failures
