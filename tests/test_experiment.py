"""Descriptions: the round trip, overrides, the grid, content ids, and errors that name the key."""

from __future__ import annotations

import pytest
import yaml

from crossfeed import Experiment
from crossfeed.description.reading import preset_names, read_description
from crossfeed.errors import InvalidDescription
from crossfeed.reporting.data.terms import length


@pytest.mark.parametrize("name", preset_names())
def test_presets_come_back_equal_from_yaml(name):
    first = Experiment.from_yaml(read_description(name))
    again = Experiment.from_yaml(first.to_yaml())
    assert again == first
    assert again.id == first.id
    assert again.to_yaml() == first.to_yaml()
    assert [cell.experiment for cell in again.cells()] == [cell.experiment for cell in first.cells()]


@pytest.mark.parametrize(
    "overrides",
    [
        ("ecosystem.alpha=[0, 0.5, 1]", "ecosystem.beta=[0.5]"),
        ("ecosystem.alpha=proportional", "ecosystem.history=accumulate", "ecosystem.initial_beta=1"),
        ("ecosystem.alpha=0.5", "ecosystem.entities.0.alpha=[0.1, 0.2]", "ecosystem.entities.1.beta=0"),
        ("grid.ecosystem.alpha=[[0, 1], 0.5, proportional]", "grid.ecosystem.entities.0.share=[1, 2.5]"),
        ("ecosystem.alpha=null", "ecosystem.update=replace", "metrics.similarity=false", "seeds=[5, 6]"),
    ],
)
def test_every_form_of_a_field_comes_back_equal_from_yaml(fake, overrides):
    first = fake(*overrides)
    again = Experiment.from_yaml(first.to_yaml())
    assert again == first
    assert again.id == first.id
    assert [cell.experiment for cell in again.cells()] == [cell.experiment for cell in first.cells()]


def test_the_grid_is_spread_over_seeds(fake):
    experiment = fake("seeds=[3, 4]", "grid.ecosystem.history=[latest, accumulate]")
    cells = experiment.cells()
    assert len(cells) == 3 * 2 * 2
    assert len({cell.name for cell in cells}) == len(cells)
    assert {(c.experiment.ecosystem.alpha, c.experiment.ecosystem.history, c.seed) for c in cells} == {
        (alpha, history, seed) for alpha in (0, 0.5, 1) for history in ("latest", "accumulate") for seed in (3, 4)
    }
    assert all(not cell.experiment.grid and cell.experiment.seeds == (cell.seed,) for cell in cells)


def test_an_override_takes_a_field_off_the_grid(fake):
    experiment = fake("ecosystem.alpha=0.25", "ecosystem.entities.1.share=2.5")
    assert experiment.grid == {}
    assert experiment.ecosystem.alpha == 0.25
    assert experiment.ecosystem.entities[1].share == 2.5


def test_cells_share_generation_zero_exactly_when_they_agree_up_to_it(fake):
    def zeros(*overrides):
        return {cell.zero for cell in fake(*overrides).cells()}

    assert len(zeros()) == 1
    assert len(zeros("ecosystem.initial_beta=0.5", "grid.ecosystem.beta=[0, 1]")) == 1
    assert len(zeros("grid.ecosystem.beta=[0, 1]")) == 2
    assert len(zeros("seeds=[0, 1]")) == 2
    assert zeros("generations=9") == zeros()
    assert zeros("n=100") != zeros()
    assert zeros("n=100", "initial_n=200") == zeros()
    assert zeros("ecosystem.fresh_fraction=0.1") != zeros()


def test_the_id_hangs_on_results_alone(fake):
    base = fake().id
    assert fake("name=other").id == base
    assert fake("checkpoints=all").id == base
    for change in ("n=201", "seeds=[1]", "generations=4", "ecosystem.beta=0.4", "learner.reads_at_most=9"):
        assert fake(change).id != base


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("ecosystem.alhpa=1", ["ecosystem.alhpa", "unknown key", "did you mean alpha"]),
        ("grid.ecosystem.alpha=[0, 7]", ["ecosystem.alpha: give a share between 0 and 1", "7"]),
        ("n=-3", ["n:", "greater than or equal to 1", "-3"]),
        ("n=2.5", ["n:", "integer", "2.5"]),
        ("n=null", ["n is missing"]),
        ("generations=.nan", ["generations", "nan"]),
        ("learner.kind=robot", ["learner", "robot", "(known: ", "fake, gaussian, glm", "language, linear"]),
        ("learner.colour=red", ["learner.colour", "unknown key", "known: kind, reads_at_most"]),
        ("learner.diverge-at=1", ["learner.diverge-at", "did you mean diverge_at"]),
        ("ecosystem.alpha=2", ["ecosystem.alpha: give a share between 0 and 1", "received 2"]),
        ("ecosystem.entities.0.beta=[0.5, x]", ["ecosystem.entities.0.beta", "one for each generation"]),
        ("tasks.warm.source=nowhere", ["tasks.warm", "nowhere", "gsm8k"]),
        ("tasks.warm.trian=5", ["tasks.warm.trian", "unknown key"]),
        ("tasks.public=math", ["'public' is taken"]),
        ("ecosystem.entities.0.private=lost", ["warm", "lost", "cold"]),
        ("ecosystem.entities.0.name=../x", ["ecosystem.entities.0.name", "../x"]),
        ("ecosystem.entities.7.name=x", ["ecosystem.entities.7.name", "'7'"]),
        ("metrics.colour={}", ["metrics", "colour", "similarity"]),
        ("metrics.accuracy.items=0", ["metrics.accuracy.items", "greater than or equal to 1"]),
        ("seeds=[1, 1]", ["seeds must differ"]),
        ("seeds=[]", ["seeds"]),
        ("seeds=[-1]", ["seeds.0", "-1"]),
        ("grid.seeds=[0, 1]", ["grid: seeds cannot be varied"]),
        ("grid.ecosystem.alpha=[]", ["grid.ecosystem.alpha"]),
        ("grid.ecosystem.alpha=[0.5, 0.5]", ["list each value once"]),
        ("grid.../etc=[1]", ["not a dotted path"]),
        ("checkpoints=some", ["checkpoints", "some"]),
        ("nothing", ["--set nothing", "path.to.key=value"]),
        ("n=[1", ["not YAML"]),
    ],
)
def test_errors_name_the_key_the_value_and_what_is_allowed(fake, override, words):
    with pytest.raises(InvalidDescription) as error:
        fake(override).cells()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "mapping"),
        ("[1, 2]", "mapping"),
        ("a: 1\na: 2", "given twice"),
        ("a: [", "not YAML"),
        ("1: 2", "not a word"),
        ("!!python/object/apply:os.system [ls]", "not YAML"),
        ("a: &x [*x]", "refer to each other"),
        ("a: " + "[" * 60 + "]" * 60, "nested at most"),
        ("[" * 5000, "nested at most"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "\n".join(f"{chr(98 + i)}: &{chr(98 + i)} [" + ",".join([f"*{chr(97 + i)}"] * 9) + "]" for i in range(8)),
            "at most",
        ),
        ("\x00", "not YAML"),
    ],
)
def test_what_is_not_a_description_is_refused(text, word):
    with pytest.raises(InvalidDescription, match=word):
        Experiment.from_yaml(text)


def test_numbers_are_read_as_people_write_them(fake):
    assert fake("ecosystem.beta=5e-1").ecosystem.beta == 0.5
    assert fake("ecosystem.beta=1").ecosystem.beta == 1.0


def test_metrics_can_be_switched_off(fake):
    assert "similarity" not in fake("metrics.similarity=false").metrics
    assert fake("metrics.similarity=true").metrics == fake("metrics.similarity={}").metrics


def test_an_unknown_source_lists_the_presets():
    with pytest.raises(InvalidDescription, match=r"Did you mean fake\?.*Presets: .*fake"):
        read_description("fkae")


def test_the_stored_description_is_plain_yaml_with_every_default(fake):
    data = yaml.safe_load(fake().to_yaml())
    assert data["ecosystem"]["fresh_fraction"] == 0.0
    assert data["metrics"]["accuracy"] == {"every": 1, "items": 128, "calibration": False, "flexible": False}


def test_cells_share_the_parts_that_the_grid_leaves_alone_and_have_the_ids_of_whole_descriptions(fake):
    experiment = fake("grid={ecosystem.alpha: [0, 1], tasks.warm.test: [4, 5]}", "seeds=[0, 1]")
    cells = experiment.cells()
    assert len({id(cell.experiment.learner) for cell in cells}) == 1
    assert len({id(cell.experiment.tasks["cold"]) for cell in cells}) == 1
    for cell in cells:
        (whole,) = Experiment.from_yaml(cell.experiment.to_yaml()).cells()
        assert (whole.id, whole.start, whole.zero) == (cell.id, cell.start, cell.zero)
        assert cell.experiment.tasks["warm"].test == cell.point["tasks.warm.test"]


def test_a_changed_copy_has_an_id_of_its_own(fake):
    experiment = fake("ecosystem.alpha=0.5")
    (cell,) = experiment.cells()
    known = cell.id
    (other,) = experiment.model_copy(update={"n": 17}).cells()
    assert other.id != known
    assert other.id == fake("ecosystem.alpha=0.5", "n=17").cells()[0].id


def test_one_of_many_entities_given_by_their_number_is_changed_by_its_place_or_its_name():
    text = read_description("many-entities")
    whole = Experiment.from_yaml(text)
    for name in ("2", "e3"):
        changed = Experiment.from_yaml(text, (f"ecosystem.entities.{name}.share=0.5",))
        assert changed.tasks == whole.tasks
        before, after = (each.ecosystem.entities for each in (whole, changed))
        assert [k for k, entity in enumerate(after) if entity != before[k]] == [2]
        assert after[2].share == 0.5
    with pytest.raises(InvalidDescription, match="nor the name of one"):
        Experiment.from_yaml(text, ("ecosystem.entities.e0.share=0.5",))


def test_a_grid_over_generations_is_told_by_all_of_them():
    text = read_description("fake")
    assert length(Experiment.from_yaml(text, ("generations=1",))) == "1 generation"
    assert length(Experiment.from_yaml(text, ("grid.generations=[5, 1, 2]",))) == "1, 2 or 5 generations"
