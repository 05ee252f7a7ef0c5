"""Entities with training sets of a size of their own: what is drawn, what it changes, and which ids stay."""

from __future__ import annotations

import pytest

from crossfeed import Experiment, MemoryStore, Run, open_executor, open_store, report, run
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidDescription

from .runs import numbers
from .tiny import TINY

SMALL = ("generations=2", "n=40", "ecosystem.alpha=0.5", "tasks.warm.test=4", "tasks.cold.test=4", "public.test=4")


def drawn(outcome) -> dict[tuple[str, int], float]:
    """How many items each model read at each generation."""
    found: dict[tuple[str, int], float] = {}
    for row in outcome.records.to_pylist():
        if row["metric"] == "drawn":
            place = row["model"], row["generation"]
            found[place] = found.get(place, 0.0) + row["value"]
    return found


def test_each_entity_draws_its_own_number(fake):
    outcome = run(fake(*SMALL, "ecosystem.entities.0.n=130"), MemoryStore())
    assert drawn(outcome) == {("warm", t): 130 for t in range(3)} | {("cold", t): 40 for t in range(3)}
    first = run(fake(*SMALL, "ecosystem.entities.0.n=130", "initial_n=25"), MemoryStore())
    assert {number for (_, t), number in drawn(first).items() if t == 0} == {25}
    assert drawn(first)["warm", 1] == 130


def test_accumulate_adds_each_entitys_own_number(fake):
    changes = [change for change in SMALL if not change.startswith("ecosystem.alpha")]
    outcome = run(fake(*changes, "ecosystem.update=accumulate", "ecosystem.entities.1.n=7", "grid={}"), MemoryStore())
    assert drawn(outcome) == {(name, t): n * (t + 1) for name, n in (("warm", 40), ("cold", 7)) for t in range(3)}


def test_the_pool_keeps_its_size_and_who_is_not_changed_draws_what_it_drew(fake, tmp_path):
    run(fake(*SMALL), open_store(tmp_path / "plain"))
    run(fake(*SMALL, "ecosystem.entities.0.n=20"), open_store(tmp_path / "own"))
    plain, own = Run.load(tmp_path / "plain"), Run.load(tmp_path / "own")
    # At generation 0 nothing is read of the others: cold has the numbers that it had, and warm has not.
    first = {
        model: [
            each.records.query(f"generation == 0 and model == '{model}' and metric == 'loss'")["value"].tolist()
            for each in (plain, own)
        ]
        for model in ("warm", "cold")
    }
    assert first["cold"][0] == first["cold"][1]
    assert first["warm"][0] != first["warm"][1]
    (cell,) = own.cells["cell"]
    pool = own.pool(cell, 1)
    assert set(pool["author"]) == {"warm", "cold"}
    assert pool["item"].max() < 40


def test_a_smaller_set_is_the_beginning_of_a_larger_one(fake):
    small = run(fake(*SMALL, "ecosystem.entities.0.n=15", "generations=0"), MemoryStore())
    large = run(fake(*SMALL, "ecosystem.entities.0.n=500", "n=15", "generations=0"), MemoryStore())
    same = run(fake(*SMALL, "n=15", "generations=0"), MemoryStore())

    def of(outcome, model):
        return [
            row["value"] for row in outcome.records.to_pylist() if row["model"] == model and row["metric"] == "loss"
        ]

    assert of(small, "warm") == of(same, "warm") != of(large, "warm")
    assert of(large, "cold") == of(same, "cold")


def test_ids_of_descriptions_without_one_stay_and_cells_share_a_start_only_if_all_sizes_agree(fake):
    plain = fake(*SMALL)
    assert fake(*SMALL, "ecosystem.entities.0.n=null").id == plain.id
    grid = fake(*SMALL, "grid={ecosystem.entities.0.n: [20, 40, 60]}").cells()
    assert len({cell.zero for cell in grid}) == len({cell.start for cell in grid}) == 3
    assert grid[1].zero == plain.cells()[0].zero  # 40 is everybody's
    first = fake(*SMALL, "initial_n=30", "grid={ecosystem.entities.0.n: [20, 40, 60]}").cells()
    assert len({cell.zero for cell in first}) == 1
    both = fake(*SMALL, "ecosystem.entities.0.n=10", "ecosystem.entities.1.n=10").cells()
    assert both[0].zero == fake(*SMALL, "n=10").cells()[0].zero


@pytest.mark.parametrize("spread", ["cells", "entities"])
def test_numbers_are_the_same_on_every_worker(fake, tmp_path, spread):
    described = fake(*SMALL, "ecosystem.entities.0.n=90", "seeds=[0, 1]")
    alone = run(described, MemoryStore())
    workers = run(described, open_store(tmp_path), executor=open_executor("processes", 2), spread=spread)
    assert numbers(workers) == numbers(alone)


class Steps(Silent):
    """Progress that keeps how many steps each training takes."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []

    def stage(self, name, total=None, detail=""):
        if name == "steps":
            self.totals.append(total)
        return super().stage(name, total, detail)


def test_steps_of_language_models_follow_from_an_entitys_own_set():
    changes = ("grid={}", "ecosystem.alpha=0", "generations=0", "metrics={loss: {}}", "ecosystem.entities.0.n=24")
    progress = Steps()
    outcome = run(Experiment.from_yaml(TINY, changes), MemoryStore(), progress=progress)
    assert not outcome.failures
    assert progress.totals[-2:] == [3, 8]  # one pass of 24 and of 64 examples, eight at a time
    assert drawn(outcome) == {("a", 0): 24, ("b", 0): 64}


@pytest.mark.parametrize("learner", ["{kind: linear}", "{kind: gaussian, reads: everything}"])
def test_learners_that_draw_nothing_refuse_it_by_name(learner):
    sources = {"linear": "{source: regression, dimension: 2, rank: 2, rows: 5}", "gaussian": "{source: gaussian}"}
    source = sources["linear" if "linear" in learner else "gaussian"]
    text = f"""
    ecosystem: {{entities: [{{name: a, private: x}}, {{name: b, private: y, n: 5}}], alpha: 0.5}}
    learner: {learner}
    tasks: {{x: {source}, y: {source}}}
    public: {source}
    generations: 1
    """
    with pytest.raises(InvalidDescription, match=r"ecosystem\.entities\.1\.n: this learner weighs all the data"):
        Experiment.from_yaml(text)
    assert Experiment.from_yaml(text.replace(", n: 5", "")).n is None


@pytest.mark.parametrize("n", [0, -3, 1.5, "many", True])
def test_impossible_sizes_are_refused_by_name(n):
    with pytest.raises(InvalidDescription, match=r"ecosystem\.entities\.0\.n"):
        Experiment.from_yaml(read_preset("fake"), (f"ecosystem.entities.0.n={n}",))


def test_tables_and_the_report_say_whose_sets_differ(fake, tmp_path):
    described = fake(*SMALL, "ecosystem.entities.0.n=130", "ecosystem.entities.1.alpha=[0, 0.25]")
    columns = described.ecosystem.columns
    assert columns["own n"] == ["130", ""]
    assert "own n" not in fake(*SMALL).ecosystem.columns
    run(described, open_store(tmp_path / "run"))
    page = report(tmp_path / "run").read_text(encoding="utf-8").replace("\u00a0", " ").replace("&nbsp;", " ")
    assert "warm (owns warm; its own n = 130)" in page
    assert "cold (owns cold; its own α = 0, 0.25)" in page
