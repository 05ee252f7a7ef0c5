"""One turn: what is generated, what is drawn, and that drawing first changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from crossfeed.cache import default_cache
from crossfeed.display.progress import Silent
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.mixture import Source
from crossfeed.generation.pool import ItemRequests, join_pool
from crossfeed.generation.realised import realised
from crossfeed.generation.turn import compose, publish, update
from crossfeed.keys import address, item_keys, uniforms
from crossfeed.protocols import LearnerContext
from crossfeed.tasks.partition import build_task


def context_of(experiment, cell=0) -> CellContext:
    chosen = experiment.cells()[cell]
    described = chosen.experiment
    tasks = {name: build_task(settings, name, None) for name, settings in described.tasks.items()}
    tasks["public"] = build_task(described.public, "public", None)
    learner = described.combined_learner.build(LearnerContext(tasks, chosen.seed, default_cache(), Silent()))
    return CellContext.create(chosen, learner, tasks)


def requests(seed: int, generation: int, author: str, items, prompts: int) -> ItemRequests:
    """What items of an author ask, of its private rows: the formula that published runs were made with."""
    keys = item_keys(address(seed, "publish", generation, author), items)
    return ItemRequests(items, (uniforms(keys) * prompts).astype(np.int64), keys)


def whole_pool(context: CellContext, generation: int, states) -> pa.Table:
    """The naive twin of `publish`: every item of every author, read or not."""
    seed, private = context.cell.seed, [context.private(j).num_rows for j in range(len(context.entities))]
    asked = [
        requests(seed, generation, name, np.arange(size), private[j])
        for j, (name, size) in enumerate(zip(context.entities, context.sizes.published(generation), strict=True))
    ]
    prompts = [context.private(j).take(pa.array(request.prompt_rows)) for j, request in enumerate(asked)]
    return join_pool(
        context.cell.name,
        generation,
        context.entities,
        asked,
        context.learner.generate(states, prompts, [a.keys for a in asked]),
    )


def turns(context: CellContext, generations: int, make_pool) -> list:
    """States after some generations."""
    states = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    pools = {}
    for t in range(1, generations + 1):
        if make_pool is whole_pool or context.selection.publishes(t):
            pools[t] = make_pool(context, t, states)
        states = update(context, t, states, compose(context, t, pools))
    return states


@pytest.mark.parametrize(
    ("history", "fresh", "alpha", "update_scheme"),
    [
        *itertools.product(["latest", "accumulate"], [0, 0.3], [0.3, 1], ["accumulate-and-subsample"]),
        ("null", 0, "null", "accumulate"),
        ("null", 0.2, "null", "replace"),
    ],
)
def test_drawing_first_equals_generating_the_whole_pool(fake, history, fresh, alpha, update_scheme):
    overrides = [
        f"ecosystem.history={history}",
        f"ecosystem.fresh_fraction={fresh}",
        f"ecosystem.update={update_scheme}",
        f"ecosystem.alpha={alpha}",
        "ecosystem.entities.1.share=4",
        "n=50",
        "pool_size=40",
    ]
    context = context_of(fake(*overrides))
    lazy, naive = turns(context, 4, publish), turns(context, 4, whole_pool)
    for one, other in zip(lazy, naive, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_items_that_are_read_are_generated(fake):
    context = context_of(fake("ecosystem.alpha=0.5", "n=100", "learner.reads_at_most=30"))
    states = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    pool = publish(context, 1, states)
    read = {
        (author, int(item))
        for k in range(2)
        for author in context.entities
        for item in context.selection.draws(1, k).of(Source(author, 1))[1]
    }
    assert {(row["author"], row["item"]) for row in pool.to_pylist()} == read
    assert 0 < len(read) <= 60


def test_nothing_is_generated_where_nothing_synthetic_is_read(fake):
    context = context_of(fake("ecosystem.alpha=0"))
    assert not context.selection.publishes(1)
    assert {part.source for training in compose(context, 1, {}) for part in training.parts} == {"private", "public"}


def test_a_training_set_holds_what_was_drawn_in_order(fake):
    context = context_of(fake("ecosystem.alpha=0.5", "n=64"))
    states = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    pool = publish(context, 1, states)
    by_item = {(row["author"], row["item"]): row["completion"] for row in pool.to_pylist()}
    for k, training in enumerate(compose(context, 1, {1: pool})):
        draws = context.selection.draws(1, k)
        texts = training.items.column("completion").to_pylist()
        assert training.size == len(texts) == 64
        for position, (code, index) in enumerate(zip(draws.source, draws.index, strict=True)):
            source = draws.sources[code]
            if source.name == "private":
                expected = context.private(k).column("completion")[int(index)].as_py()
            elif source.name == "public":
                expected = context.tasks["public"].train.column("completion")[int(index)].as_py()
            else:
                expected = by_item[source.name, int(index)]
            assert texts[position] == expected


def test_prompts_come_from_the_authors_own_private_data(fake):
    context = context_of(fake("ecosystem.alpha=1", "n=100"))
    pool = publish(context, 1, update(context, 0, context.learner.start(range(2)), compose(context, 0, {})))
    for j, name in enumerate(context.entities):
        own = pool.filter(pc.equal(pool.column("author"), name))
        prompts = context.private(j).column("prompt").take(own.column("prompt_row"))
        assert own.column("prompt").to_pylist() == prompts.to_pylist()
        assert len(set(own.column("prompt_row").to_pylist())) > 20


def test_fresh_items_are_new_in_every_generation(fake):
    context = context_of(fake("ecosystem.alpha=1", "ecosystem.fresh_fraction=1", "generations=4"))
    prompts = [context.tasks["public"].train, *context.fresh]
    seen = [text for table in prompts for text in table.column("prompt").to_pylist()]
    assert len(set(seen)) == len(seen)
    assert not context.selection.publishes(2)
    training = compose(context, 2, {})[0]
    assert {(part.source, part.born) for part in training.parts} == {("fresh", 2)}
    assert set(training.items.column("prompt").to_pylist()) <= set(context.fresh[1].column("prompt").to_pylist())


def test_realised_counts_add_up_to_what_is_read(fake):
    context = context_of(fake("ecosystem.alpha=0.5", "n=80", "ecosystem.fresh_fraction=0.2"))
    for t in (0, 1, 2):
        numbers = realised(context, t, dict)
        for name in context.entities:
            assert sum(n.value for n in numbers if n.model == name) == 80
        assert {n.task for n in numbers} == ({"private", "public"} | ({"fresh", *context.entities} if t else set()))


def test_training_sets_composed_at_once_are_those_composed_source_by_source(fake):
    scheme = ("ecosystem.history=accumulate", "ecosystem.fresh_fraction=0.2", "ecosystem.alpha=0.6", "generations=3")
    names = "[{name: a, private: warm}, {name: b, private: cold, share: 0}, {name: c, private: warm, share: 5}]"
    context = context_of(fake(*scheme, "n=60", "pool_size=30", f"ecosystem.entities={names}"))
    states = update(context, 0, context.learner.start(range(3)), compose(context, 0, {}))
    pools = {}
    for t in (1, 2, 3):
        pools[t] = publish(context, t, states)
        sets = compose(context, t, pools)
        for k, training in enumerate(sets):
            draws, weights = context.selection.draws(t, k), context.selection.weights(t, k)
            read = [source for source in draws.sources if len(draws.of(source)[0])]
            assert [Source(part.source, part.born) for part in training.parts] == read
            for part, source in zip(training.parts, read, strict=True):
                positions, index = draws.of(source)
                assert part.positions.tolist() == positions.tolist()
                assert part.weight == weights[source]
                assert part.items.equals(one_by_one(context, k, source, pools, index))
        states = update(context, t, states, sets)


def one_by_one(context, entity: int, source: Source, pools, index) -> pa.Table:
    """The naive twin: the items of one source, each looked up in its author's part of the pool."""
    if source.name == "private":
        return context.private(entity).take(pa.array(index))
    if source.name == "public":
        return context.tasks["public"].train.take(pa.array(index))
    if source.name == "fresh":
        return context.fresh[source.born - 1].take(pa.array(index))
    pool = pools[source.born]
    own = pool.filter(pc.equal(pool.column("author"), source.name))
    rows = [own.column("item").to_pylist().index(item) for item in index.tolist()]
    return own.select(["prompt", "completion"]).take(pa.array(rows))


def test_the_items_to_generate_are_those_that_each_reader_draws_from_each_author(fake):
    context = context_of(fake("ecosystem.history=accumulate", "ecosystem.alpha=0.5", "n=40", "generations=3"))
    for t, (j, author) in itertools.product((1, 2, 3), enumerate(context.entities)):
        drawn = [context.selection.draws(later, k).of(Source(author, t))[1] for later in range(t, 4) for k in range(2)]
        assert context.selection.requested(t, j).tolist() == sorted(set(np.concatenate(drawn).tolist()))
