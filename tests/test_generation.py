"""One turn: what is generated, what is drawn, and that drawing first changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from crossfeed.cache import default_cache
from crossfeed.display.progress import Silent
from crossfeed.generation.cell_context import World, publishes
from crossfeed.generation.mixture import Source
from crossfeed.generation.pool import join_pool, requests
from crossfeed.generation.turn import compose, publish, realised, update
from crossfeed.protocols import LearnerContext


def world_of(experiment, cell=0) -> World:
    chosen = experiment.cells()[cell]
    described = chosen.experiment
    tasks = {name: settings.build(name, None) for name, settings in described.tasks.items()}
    tasks["public"] = described.public.build("public", None)
    learner = described.combined_learner.build(LearnerContext(tasks, chosen.seed, default_cache(), Silent()))
    return World.make(chosen, learner, tasks)


def whole_pool(world: World, generation: int, states) -> pa.Table:
    """The naive twin of `publish`: every item of every author, read or not."""
    asked = [
        requests(world.cell.seed, generation, name, np.arange(size), world.sizes.private[j], sampled=True)
        for j, (name, size) in enumerate(zip(world.entities, world.sizes.pool, strict=True))
    ]
    prompts = [world.private(j).take(pa.array(request.prompt_rows)) for j, request in enumerate(asked)]
    return join_pool(
        world.cell.name,
        generation,
        world.entities,
        asked,
        world.learner.generate(states, prompts, [a.keys for a in asked]),
    )


def turns(world: World, generations: int, make_pool) -> list:
    """States after some generations."""
    states = update(world, 0, world.learner.start(range(2)), compose(world, 0, {}))
    pools = {}
    for t in range(1, generations + 1):
        if make_pool is whole_pool or publishes(world, t):
            pools[t] = make_pool(world, t, states)
        states = update(world, t, states, compose(world, t, pools))
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
    world = world_of(fake(*overrides))
    lazy, naive = turns(world, 4, publish), turns(world, 4, whole_pool)
    for one, other in zip(lazy, naive, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_items_that_are_read_are_generated(fake):
    world = world_of(fake("ecosystem.alpha=0.5", "n=100", "learner.reads_at_most=30"))
    states = update(world, 0, world.learner.start(range(2)), compose(world, 0, {}))
    pool = publish(world, 1, states)
    read = {
        (author, int(item))
        for k in range(2)
        for author in world.entities
        for item in world.draws(1, k).of(Source(author, 1))[1]
    }
    assert {(row["author"], row["item"]) for row in pool.to_pylist()} == read
    assert 0 < len(read) <= 60


def test_nothing_is_generated_where_nothing_synthetic_is_read(fake):
    world = world_of(fake("ecosystem.alpha=0"))
    assert not publishes(world, 1)
    assert {part.source for training in compose(world, 1, {}) for part in training.parts} == {"private", "public"}


def test_a_training_set_holds_what_was_drawn_in_order(fake):
    world = world_of(fake("ecosystem.alpha=0.5", "n=64"))
    states = update(world, 0, world.learner.start(range(2)), compose(world, 0, {}))
    pool = publish(world, 1, states)
    by_item = {(row["author"], row["item"]): row["completion"] for row in pool.to_pylist()}
    for k, training in enumerate(compose(world, 1, {1: pool})):
        draws = world.draws(1, k)
        texts = training.items.column("completion").to_pylist()
        assert training.size == len(texts) == 64
        for position, (code, index) in enumerate(zip(draws.source, draws.index, strict=True)):
            source = draws.sources[code]
            if source.name == "private":
                expected = world.private(k).column("completion")[int(index)].as_py()
            elif source.name == "public":
                expected = world.tasks["public"].train.column("completion")[int(index)].as_py()
            else:
                expected = by_item[source.name, int(index)]
            assert texts[position] == expected


def test_prompts_come_from_the_authors_own_private_data(fake):
    world = world_of(fake("ecosystem.alpha=1", "n=100"))
    pool = publish(world, 1, update(world, 0, world.learner.start(range(2)), compose(world, 0, {})))
    for j, name in enumerate(world.entities):
        own = pool.filter(pc.equal(pool.column("author"), name))
        prompts = world.private(j).column("prompt").take(own.column("prompt_row"))
        assert own.column("prompt").to_pylist() == prompts.to_pylist()
        assert len(set(own.column("prompt_row").to_pylist())) > 20


def test_fresh_items_are_new_in_every_generation(fake):
    world = world_of(fake("ecosystem.alpha=1", "ecosystem.fresh_fraction=1", "generations=4"))
    prompts = [world.tasks["public"].train, *world.fresh]
    seen = [text for table in prompts for text in table.column("prompt").to_pylist()]
    assert len(set(seen)) == len(seen)
    assert not publishes(world, 2)
    training = compose(world, 2, {})[0]
    assert {(part.source, part.born) for part in training.parts} == {("fresh", 2)}
    assert set(training.items.column("prompt").to_pylist()) <= set(world.fresh[1].column("prompt").to_pylist())


def test_realised_counts_add_up_to_what_is_read(fake):
    world = world_of(fake("ecosystem.alpha=0.5", "n=80", "ecosystem.fresh_fraction=0.2"))
    for t in (0, 1, 2):
        numbers = realised(world, t, dict)
        for name in world.entities:
            assert sum(n.value for n in numbers if n.model == name) == 80
        assert {n.task for n in numbers} == ({"private", "public"} | ({"fresh", *world.entities} if t else set()))
