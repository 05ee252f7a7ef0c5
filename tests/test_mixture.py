"""Draws: the weights of the paper, in counts; prefixes; common random numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from crossfeed import Ecosystem, Entity
from crossfeed.generation.calendar import Calendar
from crossfeed.generation.mixture import Sizes, Source, draw, mixture_weights
from crossfeed.generation.shelf import Shelf

ENTITIES = (
    Entity(name="a", private="x"),
    Entity(name="b", private="y", share=3, alpha=0.2, beta=0.9),
    Entity(name="c", private="x", share=0),
)
SIZES = Sizes((Shelf((7,)), Shelf((11,)), Shelf((7,))), 13, (5, 5, 5, 5), ((17, 17, 17),))


@pytest.mark.parametrize(
    ("alpha", "beta", "history", "fresh"),
    list(itertools.product([0, 0.5, 1], [0, 0.3, 1], ["latest", "accumulate"], [0.0, 0.4])),
)
def test_weights_are_the_papers_and_sum_to_one(alpha, beta, history, fresh):
    eco = Ecosystem(entities=ENTITIES, alpha=alpha, beta=beta, history=history, fresh_fraction=fresh)
    for generation in range(4):
        weights = mixture_weights(Calendar(eco, 0), generation, 0)
        assert sum(weights.values()) == pytest.approx(1)
        now = alpha if generation else 0
        assert weights[Source("private")] == pytest.approx((1 - now) * beta)
        assert weights[Source("public")] == pytest.approx((1 - now) * (1 - beta))
        by_author = {name: sum(w for s, w in weights.items() if s.name == name) for name in ("a", "b", "c", "fresh")}
        assert by_author["b"] == pytest.approx(now * (1 - fresh) * 0.75)
        assert by_author["c"] == 0
        assert by_author["fresh"] == pytest.approx(now * fresh)
    newest_only = {s.born for s in mixture_weights(Calendar(eco, 0), 3, 0) if s.born}
    assert newest_only == ({3} if history == "latest" else {1, 2, 3})


@pytest.mark.parametrize("history", ["latest", "accumulate"])
def test_draws_follow_the_weights_and_are_uniform_within_a_source(history):
    eco = Ecosystem(entities=ENTITIES, alpha=0.6, beta=0.3, history=history, fresh_fraction=0.25)
    draws = draw(Calendar(eco, 12), SIZES, 60_000, 3, 0)
    weights = mixture_weights(Calendar(eco, 0), 3, 0)
    sources = [source for source in draws.sources if weights[source] > 0]
    counts = np.array([(draws.source == draws.sources.index(source)).sum() for source in sources])
    expected = 60_000 * np.array([weights[source] for source in sources])
    assert counts.sum() == 60_000  # nothing of weight 0 is ever drawn
    assert stats.chisquare(counts, expected).pvalue > 1e-6
    for source, size in ((Source("private"), 7), (Source("public"), 13), (Source("b", 3), 17), (Source("fresh", 3), 5)):
        _, index = draws.of(source)
        assert stats.chisquare(np.bincount(index, minlength=size)).pvalue > 1e-6


def test_fewer_draws_are_a_prefix():
    eco = Ecosystem(entities=ENTITIES, alpha=0.6, beta=0.3)
    many, few = (draw(Calendar(eco, 5), SIZES, n, 2, 1) for n in (500, 123))
    assert many.source[:123].tolist() == few.source.tolist()
    assert many.index[:123].tolist() == few.index.tolist()


def test_draws_differ_by_seed_generation_and_entity():
    eco = Ecosystem(entities=(*ENTITIES[:1], Entity(name="d", private="x")), alpha=0.5)
    sizes = Sizes((Shelf((9,)), Shelf((9,))), 9, (), ((9, 9),))
    places = [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1)]
    drawn = {tuple(draw(Calendar(eco, seed), sizes, 100, t, k).index) for t, k, seed in places}
    assert len(drawn) == len(places)


def test_cells_that_differ_in_alpha_share_their_random_numbers():
    low, high = (draw(Calendar(Ecosystem(entities=ENTITIES, alpha=a), 3), SIZES, 4000, 1, 0) for a in (0.3, 0.31))
    assert (low.source == high.source).mean() > 0.95
