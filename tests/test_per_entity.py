"""Entities with learners of their own: how they are described, and that each is what it would be alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crossfeed import Experiment, MemoryStore, run
from crossfeed.cache import default_cache
from crossfeed.display.progress import Silent
from crossfeed.errors import DataUnavailable, Diverged, InvalidDescription
from crossfeed.exact.prediction import predict
from crossfeed.generation.realised import realised
from crossfeed.generation.turn import compose, update
from crossfeed.learners.per_entity import PerEntityLearner, PerEntitySettings
from crossfeed.protocols import LearnerContext
from crossfeed.reporting.data.frames import Run
from crossfeed.store import open_store
from tests.test_generation import context_of
from tests.tiny import LINEAR, TINY, UNEQUAL

OWN = "ecosystem.entities.1.learner"


def test_an_entitys_fields_are_laid_over_the_common_ones():
    described = Experiment.from_yaml(UNEQUAL, ("learner.training.learning_rate=0.02", "ecosystem.alpha=0.5"))
    first, second = described.learners
    assert first is described.learner
    changes = {"base.scratch.config.hidden_size": 24, "base.scratch.vocabulary": 280, "training.steps": 5}
    expected = first.model_dump()
    for path, value in changes.items():
        *above, last = path.split(".")
        place = expected
        for part in above:
            place = place[part]
        place[last] = value
    assert second.model_dump() == expected
    assert isinstance(described.combined_learner, PerEntitySettings)


@pytest.mark.parametrize("given", ["{}", "null", "{reads_at_most: null}", "{kind: fake}"])
def test_saying_what_is_common_says_nothing(fake, given):
    plain, same = fake(), fake(f"{OWN}={given}")
    assert same.combined_learner == same.learner
    assert [cell.id for cell in same.cells()] == [cell.id for cell in plain.cells()]
    assert [cell.zero for cell in same.cells()] == [cell.zero for cell in plain.cells()]
    assert [cell.start for cell in same.cells()] == [cell.start for cell in plain.cells()]


def test_a_learner_of_ones_own_is_part_of_every_id(fake):
    plain, own = fake().cells()[0], fake(f"{OWN}={{reads_at_most: 9}}").cells()[0]
    swapped = fake("ecosystem.entities.0.learner={reads_at_most: 9}").cells()[0]
    for name in ("id", "zero", "start"):
        assert len({getattr(cell, name) for cell in (plain, own, swapped)}) == 3
    again = Experiment.from_yaml(own.experiment.to_yaml())
    assert again == own.experiment
    assert again.id == own.experiment.id


def test_a_device_of_ones_own_changes_no_id():
    cells = [Experiment.from_yaml(TINY, given).cells()[0] for given in ((), (f"{OWN}={{device: 'cuda:1'}}",))]
    assert cells[0].id == cells[1].id
    assert cells[1].experiment.combined_learner != cells[1].experiment.learner


def test_a_base_of_the_other_kind_takes_the_place_of_the_common_one():
    described = Experiment.from_yaml(TINY, (f"{OWN}={{base: {{model: some/model}}}}",))
    assert described.learners[1].base.model == "some/model"
    assert described.learners[1].base.scratch is None
    assert described.learners[1].training == described.learner.training
    other = Experiment.from_yaml(
        TINY, ("learner.base={model: some/model}", f"{OWN}={{base: {{scratch: {{steps: 7}}}}}}")
    )
    assert other.learners[1].base.model is None
    assert other.learners[1].base.scratch.steps == 7


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{reads_at_mots: 3}", [f"{OWN}.reads_at_mots", "unknown key", "did you mean reads_at_most"]),
        ("{reads_at_most: 0}", [f"{OWN}.reads_at_most", "greater than or equal to 1", "0"]),
        ("{kind: robot}", [OWN, "robot", "fake, ", "language, linear"]),
        ("{kind: per-entity}", [OWN, "per-entity", "known"]),
        ("[1]", [OWN, "dictionary"]),
        ("{kind: linear}", [OWN, "everything", "draws", "read alike"]),
    ],
)
def test_what_is_no_learner_is_refused_by_name(fake, given, words):
    with pytest.raises(InvalidDescription) as error:
        fake(f"{OWN}={given}")
    for word in words:
        assert word in str(error.value)


def test_what_all_entities_share_cannot_differ():
    with pytest.raises(InvalidDescription, match=r"entities\.1\.learner: entities cannot differ in embedder; set"):
        Experiment.from_yaml(TINY, (f"{OWN}={{embedder: other}}",))


def test_a_grid_varies_the_common_fields_of_all_and_the_own_fields_of_one(fake):
    cells = fake(
        "ecosystem.alpha=0.5",
        f"{OWN}={{diverge_at: 9}}",
        "grid.learner.reads_at_most=[5, 6]",
        f"grid.{OWN}.diverge_at=[7, 8]",
    ).cells()
    found = [
        (*(each.reads_at_most for each in c.experiment.learners), c.experiment.learners[1].diverge_at) for c in cells
    ]
    assert found == [(5, 5, 7), (5, 5, 8), (6, 6, 7), (6, 6, 8)]


def test_each_entity_reads_what_its_own_learner_says(fake):
    context = context_of(fake("ecosystem.alpha=0.5", f"{OWN}={{reads_at_most: 30}}"))
    assert isinstance(context.learner, PerEntityLearner)
    assert [context.selection.draws(1, k).source.size for k in range(2)] == [200, 30]
    drawn = realised(context, 1, dict)
    assert sum(n.value for n in drawn if n.model == "cold") == 30
    # Fewer draws are a prefix, so that what it reads is what it would read in an ecosystem of its kind.
    np.testing.assert_array_equal(
        context.selection.draws(1, 1).index, context_of(fake("ecosystem.alpha=0.5")).selection.draws(1, 1).index[:30]
    )


def test_each_state_is_what_its_own_learner_makes_of_it(fake):
    mixed = context_of(fake("ecosystem.alpha=0.5", f"{OWN}={{reads_at_most: 30}}"))
    alike = context_of(fake("ecosystem.alpha=0.5", "learner.reads_at_most=30"))
    states = update(mixed, 0, mixed.learner.start(range(2)), compose(mixed, 0, {}))
    expected = update(alike, 0, alike.learner.start(range(2)), compose(alike, 0, {}))
    np.testing.assert_array_equal(states[1].state, expected[1])
    assert not np.array_equal(states[0].state, expected[0])


def test_a_divergence_names_the_entity_among_all(fake):
    context = context_of(fake("ecosystem.alpha=0.5", f"{OWN}={{diverge_at: 0}}"))
    with pytest.raises(Diverged) as error:
        update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    assert error.value.entity == 1
    outcome = run(fake("ecosystem.alpha=0.5", f"{OWN}={{diverge_at: 2}}"), MemoryStore())
    (failure,) = outcome.failures.values()
    assert failure["entity"] == "cold"


def test_a_state_of_another_description_is_refused(fake, tmp_path):
    context = context_of(fake("ecosystem.alpha=0.5", f"{OWN}={{reads_at_most: 30}}"))
    states = context.learner.start(range(2))
    for place, content in enumerate(("{}", '{"learner": 7}', "[")):
        folder = tmp_path / str(place)
        folder.mkdir()
        context.learner.save(states[1], folder)
        assert json.loads((folder / "learner.json").read_text()) == {"learner": 1}
        (folder / "learner.json").write_text(content)
        with pytest.raises(DataUnavailable, match="2 learners"):
            context.learner.load(folder)


def test_theory_refuses_entities_that_learn_differently():
    with pytest.raises(InvalidDescription, match="learn alike"):
        predict(Experiment.from_yaml(LINEAR, (f"{OWN}={{noise: 0.5}}",)))
    with pytest.raises(InvalidDescription, match=r"curated pool.*--set ecosystem.curation"):
        predict(Experiment.from_yaml(LINEAR, ("ecosystem.curation={loss: {quantile: 0.5}}",)))


def test_language_models_of_two_sizes_read_one_pool_with_their_own_tokenizers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the language learner needs the lm extra")
    given = ("ecosystem.alpha=0.5", "metrics={loss: {}, similarity: {items: 2}}", "generations=1")
    described = Experiment.from_yaml(UNEQUAL, given)
    outcome = run(described, open_store(tmp_path / "run"))
    assert not outcome.failures
    made = {
        name: transformers.AutoModelForCausalLM.from_pretrained(
            next((tmp_path / "run").rglob(f"checkpoints/**/{name}"))
        )
        for name in ("a", "b")
    }
    assert [made[name].config.hidden_size for name in "ab"] == [16, 24]
    assert [made[name].config.vocab_size for name in "ab"] == [300, 280]
    drawn = {row["model"]: 0.0 for row in outcome.records.to_pylist() if row["metric"] == "drawn"}
    for row in outcome.records.to_pylist():
        if row["metric"] == "drawn" and row["generation"] == 1:
            drawn[row["model"]] += row["value"]
    assert drawn == {"a": 64.0, "b": 40.0}
    assert set(Run.load(tmp_path / "run").records["metric"]) >= {"loss", "similarity"}


def test_what_it_runs_on_is_told_by_entity(fake):
    context = context_of(fake("ecosystem.alpha=0.5", f"{OWN}={{reads_at_most: 30}}"))
    assert context.learner.describe() == {"device": "cpu"}
    learner = Experiment.from_yaml(TINY, (f"{OWN}={{precision: bf16}}",)).combined_learner
    pytest.importorskip("torch", reason="the language learner needs the lm extra")
    described = learner.build(LearnerContext({}, 0, default_cache(), Silent())).describe()
    from crossfeed.learners.neural.compiled.kernels import kernels

    compiled = "" if kernels() is None else ", compiled"
    assert described["precision"] == f"a: fp32; b: bf16 autocast{compiled}"
