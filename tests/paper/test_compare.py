"""What a comparison counts: known losses give known counts, bands, missing cells, seeds and several folders."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from crossfeed import paper
from crossfeed.errors import InvalidInput
from crossfeed.reporting.paper.agreement import compare_combined
from crossfeed.reporting.paper.files import comparison_data
from crossfeed.reporting.paper.runs import combine

from .conftest import GRID, THREE, as_in, tell

MOVED = {"2a": 7, "2b": 8, "2c": 8, "3": 9, "4a": 17, "4b": 22, "7": 27, "8": 29}
ALPHAS = "grid={ecosystem.alpha: [0, 0.5, 1]}"  # beta is 0.5
KEYS = ("alpha", "beta", "model", "task")


def counts(runs, table: str) -> dict:
    (row,) = compare_combined(combine(runs), table).agreement.to_dict("records")
    return row


def with_change(alpha: float, beta: float, model: str, task: str, final: float, table: str = "8"):
    """The paper's own losses but for the final one of one cell."""
    told = as_in(table)

    def value(row):
        here = (row["alpha"], row["beta"], row["model"], row["task"], row["metric"])
        return final if here == (alpha, beta, model, task, "loss") and row["generation"] else told(row)

    return value


@pytest.mark.parametrize("table", ["7", "8"])
def test_the_papers_own_losses_agree_everywhere(whole, table):
    row = counts([tell(whole, as_in(table))], table)
    assert row["cells"] == 36
    assert (
        row["moved"] == row["compared"] == row["agreed"] == row["agreed_scaled"] == row["agreed_sign"] == MOVED[table]
    )
    assert row["small"] == row["opposite"] == 0
    assert row["still"] == row["both"] == 36 - MOVED[table]


def test_all_tables_of_two_entities_are_the_default_and_their_losses_are_summed(whole):
    comparison = compare_combined(combine([tell(whole, as_in("8", "3"))]))
    counted = comparison.agreement.set_index("table")
    assert list(counted.index) == ["2a", "2b", "2c", "3", "7", "8", "all"]
    assert counted["moved"].to_dict() == {k: MOVED[k] for k in counted.index[:-1]} | {"all": 79}
    assert counted.loc["all", "cells"] == 108
    for name in ("agreed", "small", "opposite", "compared", "both", "still"):
        losses = counted[counted["metric"] == "loss"].drop(index="all")
        assert counted.loc["all", name] == losses[name].sum()
    assert counted.loc["3", "agreed"] == 9


def test_the_tables_of_three_entities_are_those_of_k_3(make):
    run = tell(make("grid={ecosystem.alpha: [0, 0.5, 1]}", base=THREE), as_in("4a"))
    counted = compare_combined(combine([run])).agreement.set_index("table")
    assert list(counted.index) == ["4a", "4b", "all"]
    assert counted.loc["4a", "agreed"] == counted.loc["4a", "moved"] == MOVED["4a"]
    assert counted.loc["4a", "both"] == 27 - MOVED["4a"]


# In Table 8 the loss of sciq on sciq at alpha = beta = 0 rises from 3.3 to 4.8.
@pytest.mark.parametrize(
    ("final", "result", "agreed"),
    [(3.41, "agrees", 29), (3.4, "too small", 28), (3.2, "too small", 28), (3.19, "opposite", 28)],
)
def test_a_loss_that_changes_by_more_than_the_band_has_moved(whole, final, result, agreed):
    comparison = compare_combined(combine([tell(whole, with_change(0, 0, "sciq", "sciq", final))]), "8")
    cell = comparison.cells.query("alpha == 0 and beta == 0 and entity == 'sciq' and task == 'sciq'").iloc[0]
    assert cell["result"] == result
    assert cell["result_sign"] == ("agrees" if final > 3.3 else "opposite")
    assert comparison.agreement.loc[0, "agreed"] == agreed
    assert comparison.agreement.loc[0, "agreed_sign"] == (29 if final > 3.3 else 28)
    assert len(comparison.disagreements()) == 29 - agreed


def test_a_loss_that_is_no_number_is_no_direction(whole):
    comparison = compare_combined(combine([tell(whole, with_change(0, 0, "sciq", "sciq", float("nan")))]), "8")
    assert comparison.disagreements()["result"].tolist() == ["unknown"]
    row = comparison.agreement.iloc[0]
    assert (row["compared"], row["agreed"], row["agreed_sign"], row["small"], row["opposite"]) == (29, 28, 28, 0, 0)
    json.dumps(comparison_data(comparison), allow_nan=False)


# In Table 7 the loss of gsm8k on sciq at alpha = beta = 0.5 falls from 3.7; gsm8k on gsm8k rises by 0.1 alone.
@pytest.mark.parametrize(
    ("final", "result"), [(1.2, "both same"), (1.3, "both same"), (1.31, "here only"), (1.0, "here only")]
)
def test_what_did_not_move_in_the_paper_is_counted_apart(whole, final, result):
    comparison = compare_combined(combine([tell(whole, with_change(0.5, 0.5, "gsm8k", "gsm8k", final, "7"))]), "7")
    cell = comparison.cells.query("alpha == 0.5 and beta == 0.5 and entity == 'gsm8k' and task == 'gsm8k'").iloc[0]
    assert cell["paper_direction"] == "same"
    assert cell["result"] == result
    row = comparison.agreement.iloc[0]
    assert row["agreed"] == row["moved"] == MOVED["7"]
    assert row["both"] == 36 - MOVED["7"] - (result == "here only")


def test_the_scaled_band_grows_with_our_losses_and_the_plain_one_does_not(whole):
    """At ten times the paper's losses, a rise by 0.5 is more than 0.1, and less than the paper's 0.1 in 3.3."""
    told = as_in("8", scale=10)

    def value(row):
        here = (row["alpha"], row["beta"], row["model"], row["task"])
        return 33.5 if here == (0, 0, "sciq", "sciq") and row["generation"] and row["metric"] == "loss" else told(row)

    comparison = compare_combined(combine([tell(whole, value)]), "8")
    cell = comparison.cells.query("alpha == 0 and beta == 0 and entity == 'sciq' and task == 'sciq'").iloc[0]
    assert cell["band_scaled"] == pytest.approx(1.0)
    assert (cell["result"], cell["result_scaled"]) == ("agrees", "too small")
    row = comparison.agreement.iloc[0]
    assert (row["agreed"], row["agreed_scaled"]) == (29, 28)


def test_counts_equal_those_of_a_plain_loop_over_random_changes(whole):
    chance = random.Random()
    changes: dict[tuple, float] = {}

    def value(row):
        if row["metric"] != "loss":
            return None
        key = tuple(row[name] for name in KEYS)
        return 4.0 + row["generation"] * changes.setdefault(key, chance.uniform(-0.4, 0.4))

    row = counts([tell(whole, value)], "7")
    found = dict.fromkeys(("agreed", "small", "opposite", "both", "agreed_sign", "agreed_scaled"), 0)
    for cell in paper.table("7").to_dict("records"):
        ours = changes[cell["alpha"], cell["beta"], cell["entity"], cell["task"]]
        theirs = round(cell["final"] - cell["initial"], 1)
        if abs(theirs) <= 0.1:
            found["both"] += abs(ours) <= 0.1
            continue
        same_way = (ours > 0) == (theirs > 0)
        found["agreed_sign"] += same_way
        found["agreed"] += same_way and abs(ours) > 0.1
        found["agreed_scaled"] += same_way and abs(ours) > 0.1 * 4.0 / cell["initial"]
        found["small"] += abs(ours) <= 0.1
        found["opposite"] += not same_way and abs(ours) > 0.1
    assert {name: row[name] for name in found} == found


def test_cells_that_were_not_run_are_shown_and_not_counted(make):
    run = tell(make("grid={ecosystem.alpha: [0, 0.5, 1]}", "ecosystem.beta=0.5"), as_in("8"))
    comparison = compare_combined(combine([run]), "8")
    assert comparison.cells["state"].value_counts().to_dict() == {"not run": 24, "finished": 12}
    row = comparison.agreement.iloc[0]
    assert (row["cells"], row["moved"], row["compared"], row["agreed"]) == (36, 29, 7, 7)
    assert (row["still"], row["both"]) == (5, 5)
    assert set(comparison.cells.loc[comparison.cells["state"] == "not run", "result"]) == {""}
    assert counts([run], "2a")["compared"] == MOVED["2a"]


@pytest.mark.parametrize("state", ["unfinished", "forecast"])
def test_cells_that_have_not_finished_are_not_counted(whole, state):
    run = tell(whole, as_in("8"))
    cells = run.cells.copy()
    late = run.points.index[(run.points["alpha"] == 1) & (run.points["beta"] == 1)][0]
    cells.loc[cells["point"] == late, "state"] = state
    comparison = compare_combined(combine([replace(run, cells=cells)]), "8")
    assert comparison.cells["state"].value_counts().to_dict() == {"finished": 32, state: 4}
    assert comparison.agreement.loc[0, "moved"] - comparison.agreement.loc[0, "compared"] == 4


def noisy(row):
    """Losses that fall with alpha, by an amount that hangs on the seed."""
    if row["metric"] != "loss":
        return None
    return 4.0 - row["generation"] * (row["alpha"] - 0.2 + 0.05 * row["seed"])


def test_runs_of_one_seed_each_are_one_run_of_all_seeds(make):
    grid = ("grid={ecosystem.alpha: [0, 1]}", "ecosystem.beta=0.5", "metrics={loss: {}}")
    together = compare_combined(combine([tell(make(*grid, "seeds=[0,1,2]"), noisy)]))
    apart = compare_combined(combine([tell(make(*grid, f"seeds=[{seed}]"), noisy) for seed in (2, 0, 1)]))
    assert together.runs.seeds == apart.runs.seeds == 3
    assert comparison_data(together)["agreement"] == comparison_data(apart)["agreement"]
    columns = ["change", "change_se", "initial", "final", "seeds"]
    cells = together.cells[together.cells["state"] == "finished"]
    assert np.allclose(cells[columns], apart.cells.loc[cells.index, columns])
    cell = cells.query("table == '7' and alpha == 1").iloc[0]
    assert cell["change"] == pytest.approx(-0.85)
    assert cell["change_se"] == pytest.approx(0.05 / 3**0.5)


def test_firm_means_outside_the_confidence_interval_of_students_t(make):
    """Three seeds, t = 4.303: -0.35 with a standard error of 0.029 is firm, +0.15 with one of 0.058 is not."""
    run = tell(make(GRID, "seeds=[0,1,2]"), lambda row: noisy(row) if row["alpha"] else None)

    def value(row):
        if row["metric"] != "loss" or row["alpha"]:
            return None
        return 4.0 + row["generation"] * (0.05 + 0.1 * row["seed"])

    row = counts([tell(run, value)], "8")
    rises = paper.table("8").query("alpha == 0 and final - initial > 0.15")
    falls = paper.table("8").query("alpha > 0 and initial - final > 0.15")
    assert row["agreed"] == row["agreed_sign"] == len(rises) + len(falls)
    assert row["firm"] == len(falls)


def test_one_seed_is_never_firm(whole):
    assert counts([tell(whole, as_in("7"))], "7")["firm"] == 0


def test_a_grid_that_is_spread_over_folders_is_one_grid(make):
    parts = [make(f"grid={{ecosystem.alpha: [0, 0.5, 1], ecosystem.beta: [{beta}]}}") for beta in (1, 0)]
    parts.append(make("grid={ecosystem.alpha: [1, 0.5, 0]}", "ecosystem.beta=0.5"))
    row = counts([tell(part, as_in("7")) for part in parts], "7")
    assert row["compared"] == row["agreed"] == MOVED["7"]


def test_a_cell_in_two_folders_counts_once_and_a_finished_one_is_taken(make, whole):
    whole_ = tell(whole, noisy)
    assert (
        comparison_data(compare_combined(combine([whole_, whole_])))["cells"]
        == comparison_data(compare_combined(combine([whole_])))["cells"]
    )
    open_ = replace(whole_, cells=whole_.cells.assign(state="unfinished"))
    assert counts([open_, whole_], "7") == counts([whole_], "7")


def test_names_of_entities_and_tasks_do_not_matter(make):
    """An entity may be called like another one's task."""
    run = make(
        GRID,
        "ecosystem.entities=[{name: gsm8k, private: sciq}, {name: sciq, private: gsm8k}]",
    )
    told = as_in("8")
    names = {"gsm8k": "sciq", "sciq": "gsm8k"}
    swapped = replace(run, records=run.records.assign(model=run.records["model"].map(names)))
    values = tell(swapped, told, lambda name: name).records["value"]
    runs = combine([replace(run, records=run.records.assign(value=values))])
    assert runs.owners == {"sciq": ("gsm8k", "sciq"), "gsm8k": ("sciq", "gsm8k")}
    assert compare_combined(runs, "8").agreement.loc[0, "agreed"] == MOVED["8"]


def test_pairs_are_matched_whatever_the_order_of_the_entities(make):
    run = make(ALPHAS, "ecosystem.entities=[{name: g, private: gsm8k}, {name: s, private: sciq}]")
    assert "g+s" in set(run.records["model"])
    assert counts([tell(run, as_in("3"), {"g+s": "sciq+gsm8k"}.get)], "3")["agreed"] == MOVED["3"]


def test_a_cell_without_the_metric_is_not_measured(whole):
    records = whole.records
    gone = (records["metric"] == "loss") & (records["task"] == "sciq") & (records["alpha"] == 1)
    comparison = compare_combined(combine([replace(whole, records=records[~gone])]), "7")
    assert comparison.cells["state"].value_counts().to_dict() == {"finished": 30, "not measured": 6}
    assert comparison.agreement.loc[0, "compared"] + comparison.agreement.loc[0, "still"] == 30


def test_built_in_tasks_stand_for_the_papers(make):
    run = make(
        "grid={ecosystem.alpha: [0, 1]}",
        "ecosystem.entities=[{name: f, private: facts}, {name: m, private: sums}]",
        "tasks={facts: {source: fake, test: 4}, sums: {source: fake, words: [fox, owl], test: 4}}",
        "seeds=[5]",
    )
    with pytest.raises(InvalidInput, match="f owns facts, m owns sums"):
        combine([run])
    cell = run.experiment.model_dump(mode="python")
    cell["tasks"] = {"facts": {"source": "facts"}, "sums": {"source": "math"}}
    runs = combine([replace(run, experiment=type(run.experiment).model_validate(cell))])
    assert runs.stand_ins == {"facts": "sciq", "sums": "gsm8k"}
    assert runs.label("sciq", "gsm8k") == "f on sums"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            "4a",
            r"Table 4a is about the loss of K = 3 entities .*arc_challenge; .* tables that fit: 2a, 2b, 2c, 3, 7, 8",
        ),
        ("5", r"--paper 5: not a table of losses .* 2a, 2b, 2c, 3, 4a, 4b, 7, 8"),
        ("seven", "--paper seven: not a table"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(whole, table, said):
    with pytest.raises(InvalidInput, match=said):
        compare_combined(combine([whole]), table)


def test_a_table_of_what_was_not_measured_is_refused(make):
    runs = combine([make(ALPHAS, "metrics={loss: {}}")])
    with pytest.raises(
        InvalidInput, match=r"Table 3 is about the similarity .* measured loss; tables that fit: 2a, 2b"
    ):
        compare_combined(runs, "3")
    assert "3" not in set(compare_combined(runs).cells["table"])


def test_runs_that_differ_in_more_than_seeds_and_shares_are_refused(make, whole):
    with pytest.raises(InvalidInput, match=r"not one experiment, n differs \(20, 24\)"):
        combine([whole, make(ALPHAS, "n=24")])
    with pytest.raises(InvalidInput, match=r"learner\.\w+ differs"):
        combine([make("grid={ecosystem.alpha: [0], learner.diverge_at: [8, 9]}")])
    with pytest.raises(InvalidInput, match=r"ecosystem\.reads differs \(None, \{'graph': 'ring'\}\)"):
        combine([make("grid={ecosystem.alpha: [0], ecosystem.reads: [null, {graph: ring}]}")])


def test_names_and_descriptions_may_differ(make, whole):
    other = make(ALPHAS, "name=other", "description=the same", "seeds=[7]")
    assert combine([whole, other]).seeds == 2


def test_an_entity_with_shares_of_its_own_is_refused(make):
    with pytest.raises(InvalidInput, match="'s' has an alpha, beta or n of its own"):
        combine([make("ecosystem.entities.0.alpha=0.5", "grid={ecosystem.alpha: [0, 1]}")])


def test_a_schedule_is_no_cell_of_a_table(make):
    run = make("ecosystem.beta=0.5", "grid={ecosystem.alpha: [[0, 1], 0.5]}")
    assert compare_combined(combine([run]), "2a").cells.query("state == 'finished'")["alpha"].unique().tolist() == [0.5]


def test_nothing_to_compare_is_said(whole):
    with pytest.raises(InvalidInput, match="nothing to compare yet"):
        compare_combined(combine([replace(whole, cells=whole.cells.assign(state="unfinished"))]))


def test_plain_data_has_every_cell_and_no_number_that_json_lacks(whole):
    data = json.loads(
        json.dumps(comparison_data(compare_combined(combine([tell(whole, as_in("7"))]), "7")), allow_nan=False)
    )
    assert set(data) == {"name", "runs", "seeds", "entities", "stand_ins", "agreement", "cells"}
    assert data["entities"]["sciq"] == {"entity": "s", "task": "sciq"}
    assert data["runs"][0]["id"] == whole.experiment.id
    assert len(data["cells"]) == 36
    cell = data["cells"][0]
    assert (cell["table"], cell["metric"], cell["paper_initial"], cell["paper_final"]) == ("7", "loss", 2.8, 4.5)
    assert (cell["initial"], cell["final"], cell["direction"], cell["result"]) == (2.8, 4.5, "worse", "agrees")
    assert cell["change_se"] is None
    assert data["agreement"][0]["agreed"] == 27
