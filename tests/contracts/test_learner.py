"""What every learner keeps to; add new ones to `LEARNERS`: an experiment that is small enough for tests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.tiny import GLM, LINEAR, TINY, UNEQUAL

from crossfeed.cache import default_cache
from crossfeed.description import read_description
from crossfeed.experiment import Experiment
from crossfeed.generation import World, compose, publish, update
from crossfeed.keys import item_keys
from crossfeed.progress import Silent
from crossfeed.protocols import LearnerContext

LEARNERS = {
    "fake": read_description("fake"),
    "per-entity": read_description("fake").replace("private: cold}", "private: cold, learner: {reads_at_most: 90}}"),
    "per-entity-language": UNEQUAL,
    "language": TINY,
    "linear": LINEAR,
    "linear-draws": LINEAR.replace("{kind: linear}", "{kind: linear, reads: draws}") + "n: 30\n",
    "logistic": GLM.replace("FAMILY", "logistic"),
    "poisson": GLM.replace("FAMILY", "poisson"),
}


@pytest.fixture(scope="module", params=sorted(LEARNERS))
def world(request, tmp_path_factory) -> World:
    if "language" in request.param:
        pytest.importorskip("torch", reason="the language learner needs the lm extra")
    cell = Experiment.from_yaml(LEARNERS[request.param], ("ecosystem.alpha=0.5",)).cells()[0]
    tasks = {name: settings.build(name, None) for name, settings in cell.experiment.tasks.items()}
    tasks["public"] = cell.experiment.public.build("public", None)
    context = LearnerContext(tasks, cell.seed, tmp_path_factory.mktemp("cache"), Silent())
    return World.make(cell, cell.experiment.combined_learner.build(context), tasks)


@pytest.fixture(scope="module")
def trained(world):
    return update(world, 0, world.learner.start(range(2)), compose(world, 0, {}))


def losses(world, states):
    """``(entities, tasks)`` mean losses."""
    tables = [task.test for task in world.tasks.values()]
    return np.array([[s.loss.sum() / s.size.sum() for s in row] for row in world.learner.score(states, tables)])


def prompts_and_keys(world, rows=5):
    table = world.private(0).slice(0, rows)
    return table, item_keys(11, np.arange(rows))


def test_entities_that_are_described_alike_start_from_one_base(world):
    table = losses(world, world.learner.start(range(2)))
    np.testing.assert_array_equal(table[1:], losses(world, world.learner.start([1])))
    first, second = world.cell.experiment.learners
    if first == second:
        np.testing.assert_array_equal(table[0], table[1])


def test_an_update_learns_and_changes_nothing_in_place(world, trained):
    before = losses(world, world.learner.start(range(2)))
    states = world.learner.start(range(2))
    again = update(world, 0, states, compose(world, 0, {}))
    np.testing.assert_array_equal(losses(world, states), before)
    np.testing.assert_array_equal(losses(world, again), losses(world, trained))
    own = [list(world.tasks).index(entity.private) for entity in world.cell.experiment.ecosystem.entities]
    assert all(losses(world, trained)[k, task] < before[k, task] for k, task in enumerate(own))


def test_an_entitys_update_does_not_depend_on_the_others(world, trained):
    sets = compose(world, 0, {})
    alone = world.learner.update(world.learner.start([1]), sets[1:], [_key(world, 1)], 0)
    np.testing.assert_array_equal(losses(world, alone)[0], losses(world, trained)[1])


def _key(world, entity):
    from crossfeed.keys import address

    return address(world.cell.seed, "update", 0, world.entities[entity])


def test_generated_items_answer_their_prompts_and_can_be_trained_on(world, trained):
    table, keys = prompts_and_keys(world)
    made = world.learner.generate(trained, [table, table], [keys, keys])
    for one in made:
        assert one.num_rows == table.num_rows
        for column in {"prompt", "x"} & set(table.column_names):  # what a response answers
            assert one.column(column).to_pylist() == table.column(column).to_pylist()
    pool = publish(world, 1, trained)
    assert len(update(world, 1, trained, compose(world, 1, {1: pool}))) == 2


def test_an_item_hangs_on_its_key_alone(world, trained):
    table, keys = prompts_and_keys(world, 7)
    together = world.learner.generate(trained[:1], [table], [keys])[0].to_pylist()
    order = [4, 0, 6]
    apart = world.learner.generate(trained[:1], [table.take(pa.array(order))], [keys[order]])[0].to_pylist()
    assert apart == [together[row] for row in order]
    other = world.learner.generate(trained[:1], [table], [item_keys(12, np.arange(7))])[0].to_pylist()
    assert other != together


def test_scores_are_additive(world, trained):
    table = world.tasks["public"].test
    whole = world.learner.score(trained, [table])[0][0]
    parts = world.learner.score(trained, [table.slice(0, 2), table.slice(2)])[0]
    for name in ("loss", "size", "completion_loss", "completion_size"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(joined, getattr(whole, name), rtol=2e-5)
        assert len(joined) == table.num_rows
    assert (whole.completion_loss <= whole.loss * (1 + 1e-6)).all()
    assert (whole.size >= whole.completion_size).all()


def test_states_survive_saving(world, trained, tmp_path):
    for name, state in zip("ab", trained, strict=True):
        (tmp_path / name).mkdir()
        world.learner.save(state, tmp_path / name)
    back = [world.learner.load(tmp_path / name) for name in "ab"]
    np.testing.assert_array_equal(losses(world, back), losses(world, trained))
    assert not [path for path in tmp_path.rglob("*") if path.suffix in {".pkl", ".bin", ".pt"}]


def test_features_have_unit_norm(world, trained):
    table, keys = prompts_and_keys(world)
    features = world.learner.embed(world.learner.generate(trained[:1], [table], [keys]))[0]
    assert features.shape[0] == table.num_rows
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-3)


def test_it_reads_no_more_than_is_drawn(world):
    assert world.learner.reads == world.cell.experiment.learner.reading()
    for n in (1, 7, 1000):
        for t in (0, 1):
            assert all(1 <= world.learner.consumes(n, t, k) <= n for k in range(len(world.entities)))


def test_it_says_what_it_runs_on(world):
    described = world.learner.describe()
    assert "device" in described
    assert all(isinstance(value, str) for value in described.values())


def test_building_a_learner_twice_gives_the_same_base(world):
    again = world.cell.experiment.combined_learner.build(
        LearnerContext(world.tasks, world.cell.seed, default_cache(), Silent())  # another cache: made anew
    )
    first, second = (
        learner.score(learner.start(range(1)), [world.tasks["public"].test])[0][0] for learner in (world.learner, again)
    )
    np.testing.assert_array_equal(first.loss, second.loss)
