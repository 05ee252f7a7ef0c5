"""The linear learner against its naive twin: a pseudo-inverse of stacked rows, one replicate at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from tests.tiny import GLM, LINEAR

from crossfeed import MemoryStore, open_store, run
from crossfeed.description.experiment import Experiment
from crossfeed.display.progress import Silent
from crossfeed.errors import Diverged, InvalidInput
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.turn import compose, publish, update
from crossfeed.keys import item_keys
from crossfeed.learners.numeric import angles, keyed_normals, keyed_uniforms
from crossfeed.learners.regression.families import gradient_steps, least_squares
from crossfeed.learners.regression.replicates import WeightedSource, weighted_sources
from crossfeed.learners.regression.settings import LinearSettings
from crossfeed.protocols import LearnerContext, Part, TrainingSet
from crossfeed.tasks.regression import features_of, regression_items, responses_of
from crossfeed.theory.training import Training


def context_of(text=LINEAR, *overrides):
    cell = Experiment.from_yaml(text, overrides).cells()[0]
    tasks = {name: settings.build(name, None) for name, settings in cell.experiment.tasks.items()}
    tasks["public"] = cell.experiment.public.build("public", None)
    learner = cell.experiment.learner.build(LearnerContext(tasks, cell.seed, None, Silent()))
    return CellContext.create(cell, learner, tasks)


def naive_least_squares(parts):
    """Stack the rows with the roots of their weights and take the pseudo-inverse, replicate by replicate."""
    rows = np.concatenate([np.sqrt(part.weight) * part.features for part in parts])
    values = np.concatenate([np.sqrt(part.weight) * part.responses for part in parts])
    return np.array([np.linalg.pinv(rows, rcond=1e-9) @ column for column in values.T])


def random_parts(rng, count, d, rank, replicates):
    parts = []
    for _ in range(count):
        features = rng.standard_normal((rng.integers(rank, 9), rank)) @ rng.standard_normal((rank, d))
        parts.append(WeightedSource(rng.uniform(0.1, 1), features, rng.standard_normal((len(features), replicates))))
    return parts


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (1, 4), (2, 1), (3, 1), (3, 2), (4, 4)])
def test_an_update_is_the_minimum_norm_minimiser_of_the_weighted_loss(count, rank):
    parts = random_parts(np.random.default_rng([count, rank]), count, 4, rank, 5)
    np.testing.assert_allclose(least_squares(parts), naive_least_squares(parts), rtol=1e-8, atol=1e-10)


def test_a_small_weight_is_not_an_absent_one():
    rng = np.random.default_rng(3)
    one, other = random_parts(rng, 2, 2, 1, 3)
    # Two sources of rank one in two dimensions do not compete: the estimate is the same whatever their weights.
    equal = least_squares([WeightedSource(1.0, one.features, one.responses), other])
    small = least_squares([WeightedSource(1e-11, one.features, one.responses), other])
    np.testing.assert_allclose(small, equal, rtol=1e-3)
    assert not np.allclose(equal, naive_least_squares([other]), rtol=0.1)


def naive_steps(parts, start, steps, rate, ridge):
    """Walk down the gradient of the weighted loss, replicate by replicate and row by row."""
    found = start.copy()
    for _, replicate in itertools.product(range(steps), range(len(found))):
        gradient = ridge * found[replicate]
        for part in parts:
            for x, y in zip(part.features, part.responses[:, replicate], strict=True):
                gradient = gradient + part.weight * (x @ found[replicate] - y) * x
        found[replicate] -= rate * gradient
    return found


@pytest.mark.parametrize(("steps", "ridge"), [(1, 0.0), (3, 0.0), (10, 0.4)])
@pytest.mark.parametrize("rank", [1, 4])
def test_steps_go_down_the_gradient_from_the_state_before(steps, ridge, rank):
    rng = np.random.default_rng([steps, rank])
    parts, start = random_parts(rng, 3, 4, rank, 5), rng.standard_normal((5, 4))
    training = Training(steps, 0.004, ridge)
    np.testing.assert_allclose(
        gradient_steps(parts, start, training), naive_steps(parts, start, steps, 0.004, ridge), rtol=1e-9, atol=1e-12
    )


def test_many_steps_find_the_minimum():
    rng = np.random.default_rng(5)
    parts, start = random_parts(rng, 3, 4, 4, 5), rng.standard_normal((5, 4))
    for ridge in (0.0, 0.3):
        many = gradient_steps(parts, start, Training(10**6, 0.004, ridge))
        np.testing.assert_allclose(many, least_squares(parts, ridge), rtol=1e-8)


@pytest.mark.parametrize("rank", [1, 4])
def test_a_ridge_is_rows_of_its_own(rank):
    parts = random_parts(np.random.default_rng(rank), 2, 4, rank, 5)
    rows = WeightedSource(0.3, np.eye(4), np.zeros((4, 5)))
    np.testing.assert_allclose(least_squares(parts, 0.3), naive_least_squares([*parts, rows]), rtol=1e-8)


def test_generation_0_takes_no_steps_and_others_begin_at_the_state_given():
    context = context_of(LINEAR.replace("{kind: linear}", "{kind: linear, steps: 2, rate: 0.01}"))
    sets = compose(context, 0, {})
    states = update(context, 0, context.learner.start(range(2)), sets)
    for theta, training in zip(states, sets, strict=True):
        np.testing.assert_allclose(theta, least_squares(weighted_sources(training, "everything")), rtol=1e-12)
    for start in (states, context.learner.start(range(2))):
        after = update(context, 1, start, sets)
        for before, theta, training in zip(start, after, sets, strict=True):
            parts = weighted_sources(training, "everything")
            np.testing.assert_allclose(theta, naive_steps(parts, before, 2, 0.01, 0.0), rtol=1e-9, atol=1e-12)


def test_steps_that_diverge_end_the_cell_and_name_the_largest_eigenvalue():
    context = context_of(LINEAR.replace("{kind: linear}", "{kind: linear, steps: 2, rate: 10.0}"))
    sets = compose(context, 0, {})
    states = update(context, 0, context.learner.start(range(2)), sets)
    with pytest.raises(Diverged, match="lambda_max = "):
        update(context, 1, states, sets)


@pytest.mark.parametrize(("given", "message"), [({"steps": 2}, "give rate"), ({"rate": 0.1}, "give steps")])
def test_steps_and_their_size_belong_together(given, message):
    with pytest.raises(ValidationError, match=message):
        LinearSettings(**given)


def test_drawn_items_weigh_one_each_however_often_they_are_drawn():
    context = context_of(LINEAR.replace("{kind: linear}", "{kind: linear, reads: draws}"), "n=25")
    states = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    pool = publish(context, 1, states)
    sets = compose(context, 1, {1: pool})
    for theta, training in zip(update(context, 1, states, sets), sets, strict=True):
        items = training.items
        assert items.num_rows == 25
        design, values = features_of(items), responses_of(items)
        expected = np.stack([np.linalg.lstsq(design, column)[0] for column in values.T])
        np.testing.assert_allclose(theta, expected, rtol=1e-9)


def test_replicates_do_not_touch_each_other():
    few, many = context_of(), context_of(LINEAR.replace("replicates: 4", "replicates: 6"))
    found = []
    for context in (few, many):
        states = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
        pool = publish(context, 1, states)
        found.append(update(context, 1, states, compose(context, 1, {1: pool})))
    for four, six in zip(*found, strict=True):
        assert (four.shape, six.shape) == ((4, 3), (6, 3))
        np.testing.assert_allclose(six[:4], four, rtol=1e-12)


def test_noise_is_the_keys_own_stream():
    keys = item_keys(5, np.arange(6))
    expected = [np.random.Generator(np.random.Philox(key=int(key))) for key in keys]
    np.testing.assert_array_equal(keyed_normals(keys, 9), [random.standard_normal(9) for random in expected])
    again = [np.random.Generator(np.random.Philox(key=int(key))) for key in keys]
    np.testing.assert_array_equal(keyed_uniforms(keys, 9), [random.random(9) for random in again])
    np.testing.assert_array_equal(keyed_normals(keys, 4), keyed_normals(keys, 9)[:, :4])


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_responses_are_predictions_with_noise_of_the_given_size(noise):
    context = context_of(LINEAR.replace("replicates: 4", "replicates: 3000"), f"learner.noise={noise}")
    theta = np.random.default_rng(0).standard_normal((3000, 3))
    prompts = context.private(0)
    keys = item_keys(1, np.arange(prompts.num_rows))
    made = responses_of(context.learner.generate([theta], [prompts], [keys])[0])
    error = made - features_of(prompts) @ theta.T
    if noise == 0:
        np.testing.assert_allclose(error, 0, atol=1e-12)
    else:
        scaled = error.ravel() / noise
        assert abs(scaled.mean()) < 5 / np.sqrt(scaled.size)
        assert abs((scaled**2).mean() - 1) < 5 * np.sqrt(2 / scaled.size)


def test_the_loss_is_the_mean_squared_prediction_error():
    context = context_of()
    theta = np.random.default_rng(1).standard_normal((4, 3))
    task = context.tasks["q"]
    scores = context.learner.score([theta], [task.test])[0][0]
    off = theta - task.truth
    expected = np.einsum("ra,ab,rb->r", off, task.features.T @ task.features, off).mean() / len(task.features)
    assert scores.loss.sum() / scores.size.sum() == pytest.approx(expected, rel=1e-12)


def test_outputs_are_compared_by_the_angles_of_their_responses():
    items = np.array([[0.0, 1.0], [0.0, 1.0], [1e9, -1.0], [-1e9, 1.0]])
    features = angles(items).astype(float)
    cosines = features @ features.T
    np.testing.assert_allclose(np.diag(cosines), 1, rtol=1e-6)
    assert cosines[0, 1] == pytest.approx(1)
    assert cosines[2, 3] == pytest.approx((-1 + 0) / 2, abs=1e-6)


def test_an_estimate_that_is_no_number_ends_the_cell():
    context = context_of()
    broken = regression_items(np.eye(3), np.full((3, 4), np.inf))
    part = Part("private", 0, 1.0, broken, np.arange(3))
    good = compose(context, 0, {})[0]
    with (
        pytest.raises(Diverged, match=r"entity 1.*generation 7"),
        np.errstate(invalid="ignore"),
    ):
        context.learner.update(context.learner.start(range(2)), [good, TrainingSet((part,))], [0, 1], 7)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("{source: fake}", "'q'.*source: regression"),
        ("{source: regression, dimension: 3, rows: 9, replicates: 4, family: poisson}", "'q'.*family: gaussian.*glm"),
        ("{source: regression, dimension: 2, rows: 9, replicates: 4}", "q: d = 2, R = 4"),
        ("{source: regression, dimension: 3, rows: 9, replicates: 5}", "q: d = 3, R = 5"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(task, message):
    with pytest.raises(InvalidInput, match=message):
        context_of(LINEAR, f"tasks.q={task}")


def test_sizes_belong_to_learners_that_draw():
    with pytest.raises(InvalidInput, match="n is missing"):
        context_of(LINEAR, "learner.reads=draws")
    with pytest.raises(InvalidInput, match="draws nothing"):
        context_of(LINEAR, "n=5")
    assert LinearSettings().reading() == "everything"


def test_states_are_plain_arrays(tmp_path):
    context = context_of()
    state = np.arange(12.0).reshape(4, 3)
    context.learner.save(state, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["estimates.npy"]
    np.testing.assert_array_equal(context.learner.load(tmp_path), state)
    assert isinstance(context.private(0), pa.Table)


@pytest.mark.parametrize("learner", ["{kind: linear}", "{kind: glm, family: poisson}"])
def test_a_folder_holds_the_same_run_as_memory(learner, tmp_path):
    text = LINEAR if "linear" in learner else GLM.replace("FAMILY", "poisson")
    experiment = Experiment.from_yaml(text, ("checkpoints=all",))
    disk, memory = open_store(tmp_path / "run"), MemoryStore()
    kept = [
        [row for row in run(experiment, store).records.to_pylist() if row["metric"] != "seconds"]
        for store in (disk, memory)
    ]
    assert kept[0] == kept[1]
    assert {row["metric"] for row in kept[0]} == {"loss", "similarity"}
    (cell,) = experiment.cells()
    pool = disk.read_table("pool", cell.name, 2)
    assert pool.schema.field("y").type == pa.list_(pa.float64(), 4)
    theta = np.load(tmp_path / "run" / "checkpoints" / cell.name / "generation-002" / "a" / "estimates.npy")
    np.testing.assert_array_equal(theta, memory.read_states(cell.name, 2, ("a",), None)[0])
