"""The best mix of a measured grid: known answers on records with known numbers, and what the command prints."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from tests.faults.cli import crossfeed_cli

import crossfeed
from crossfeed import Run, open_store, run
from crossfeed.errors import InvalidInput
from crossfeed.learners.fake import FakeSettings
from crossfeed.reporting.data.measured_mix import best_measured
from crossfeed.reporting.terminal.measured_mix import render_measured_plan
from crossfeed.settings import Measure

ALPHAS, BETAS, SEEDS = (0.1, 0.4, 0.7), (0.2, 0.5, 0.8), (0, 1, 2)
GRID = (
    *("generations=1", "n=20", f"seeds={list(SEEDS)}"),
    *(f"grid.ecosystem.alpha={list(ALPHAS)}", f"grid.ecosystem.beta={list(BETAS)}"),
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    from crossfeed.description.experiment import Experiment
    from crossfeed.description.reading import read_preset

    folder = tmp_path_factory.mktemp("mix") / "run"
    run(Experiment.from_yaml(read_preset("fake"), GRID), open_store(folder))
    return folder


def with_losses(folder, loss) -> Run:
    """The run, its last losses replaced by ``loss(alpha, beta, seed, model)`` on private tasks, 1000 on public data."""
    opened = Run.load(folder)
    records = opened.records.copy()
    last = (records["metric"] == "loss") & (records["generation"] == 1)
    values = [
        1000.0
        if row["task"] == "public"
        else loss(row["ecosystem.alpha"], row["ecosystem.beta"], row["seed"], row["model"])
        for row in records[last].to_dict("records")
    ]
    records.loc[last, "value"] = values
    return dataclasses.replace(opened, records=records)


def bowl(alpha, beta, seed, model):
    """Lowest at 0.4 and 0.5 for both, with a common shift of each seed, which is no noise between mixes."""
    return 2.0 + (alpha - 0.4) ** 2 + 2 * (beta - 0.5) ** 2 + 10.0 * seed


def test_the_best_mix_its_neighbours_and_how_flat_it_is_are_known(measured):
    plan = best_measured(with_losses(measured, bowl))
    (best,) = plan.best.to_dict("records")
    assert (best["alpha"], best["beta"]) == (0.4, 0.5)
    assert best["value"] == pytest.approx(12.0)
    assert best["value_se"] == pytest.approx(10 / np.sqrt(3))
    # Seeds are compared with themselves: their shift of 10 is in no difference.
    assert plan.mixes["excess_se"].max() == pytest.approx(0.0, abs=1e-12)
    assert plan.mixes["tied"].sum() == 1
    found = {(row["field"], row["value"]): row["excess"] for row in plan.neighbours.to_dict("records")}
    assert found == pytest.approx(
        {("alpha", 0.1): 0.09, ("alpha", 0.7): 0.09, ("beta", 0.2): 0.18, ("beta", 0.8): 0.18}
    )
    assert plan.neighbours["price"].to_numpy() == pytest.approx(np.array([0.09, 0.09, 0.18, 0.18]) / 12)
    assert plan.edges.empty
    assert plan.left_out == 0


def test_a_best_mix_at_the_grids_edge_is_said_unless_there_is_nothing_beyond(measured, fake, tmp_path):
    plan = best_measured(with_losses(measured, lambda alpha, beta, seed, model: alpha - beta))
    assert plan.edges.to_dict("records") == [
        {"among": "", "field": "alpha", "value": 0.1, "side": "lowest"},
        {"among": "", "field": "beta", "value": 0.8, "side": "highest"},
    ]
    run(fake("generations=1", "n=20", "grid.ecosystem.alpha=[0, 0.5]"), open_store(tmp_path))
    assert best_measured(with_losses(tmp_path, lambda alpha, *_: alpha)).edges.empty


def test_mixes_within_the_noise_of_seeds_are_as_good(measured):
    def loss(alpha, beta, seed, model):
        noise = {0: -0.1, 1: 0.0, 2: 0.1}[seed] if alpha == 0.7 else 0.0
        return 5.0 + (alpha == 0.1) + (beta != 0.5) + 0.05 * (alpha == 0.7) + noise

    plan = best_measured(with_losses(measured, loss))
    assert {(row["alpha"], row["beta"]) for row in plan.mixes[plan.mixes["tied"]].to_dict("records")} == {
        (0.4, 0.5),
        (0.7, 0.5),
    }


def test_each_entity_for_itself_and_what_the_common_mix_costs_it(measured):
    def loss(alpha, beta, seed, model):
        return 1.0 + (abs(alpha - 0.7) if model == "warm" else 3 * abs(alpha - 0.1)) + abs(beta - 0.5)

    opened = with_losses(measured, loss)
    plan = best_measured(opened)
    assert plan.best["alpha"].tolist() == [0.1]
    own = plan.entities.set_index("model")
    assert own.loc["warm", ["alpha", "value", "common"]].tolist() == pytest.approx([0.7, 1.0, 1.6])
    assert own.loc["warm", ["excess", "price"]].tolist() == pytest.approx([0.6, 0.6])
    assert own.loc["cold", ["alpha", "excess"]].tolist() == pytest.approx([0.1, 0.0])
    assert best_measured(opened, "warm").best["alpha"].tolist() == [0.7]
    # The worst of both is warm's 1.6 at 0.1, cold's 1.9 at 0.4, cold's 2.8 at 0.7.
    worst = best_measured(opened, "worst")
    assert worst.best[["alpha", "value"]].to_numpy().tolist() == [[0.1, pytest.approx(1.6)]]


def test_other_fields_of_the_grid_are_searched_apart(fake, tmp_path):
    grid = ("grid.learner.reads_at_most=[5, 20]", "grid.ecosystem.alpha=[0.2, 0.5, 0.8]")
    run(fake("generations=1", "n=20", *grid), open_store(tmp_path))
    opened = Run.load(tmp_path)
    plan = best_measured(opened)
    assert plan.best["among"].tolist() == ["reads_at_most = 5", "reads_at_most = 20"]
    assert len(plan.mixes) == 6
    losses = opened.records.query("metric == 'loss' and generation == 1 and task != 'public'")
    mean = losses.groupby(["learner.reads_at_most", "ecosystem.alpha"])["value"].mean()
    for among, row in zip((5.0, 20.0), plan.best.to_dict("records"), strict=True):
        assert row["alpha"] == mean[among].idxmin()
        assert row["value"] == pytest.approx(mean[among].min())


def test_points_with_an_unfinished_seed_are_left_out(measured):
    opened = with_losses(measured, lambda alpha, beta, seed, model: alpha + beta)
    cells = opened.cells.copy()
    cells.loc[cells["point"] == cells.loc[0, "point"], "state"] = ["finished", "failed", "finished"]
    plan = best_measured(dataclasses.replace(opened, cells=cells))
    assert plan.left_out == 1
    assert len(plan.mixes) == 8
    assert plan.best[["alpha", "beta"]].to_numpy().tolist() in ([[0.1, 0.5]], [[0.4, 0.2]])


def test_without_a_loss_the_first_metric_with_a_better_side_decides(measured):
    opened = with_losses(measured, bowl)
    records = opened.records[opened.records["metric"] == "loss"].assign(metric="points")
    scored = dataclasses.replace(opened, records=records)
    with pytest.raises(InvalidInput, match=r"no metric says what is better \(measured: points\)"):
        best_measured(scored)
    # As a package of its own would declare it: more is better.
    scored.__dict__["measures"] = (Measure("points", "Points", words=("worse", "better")),)
    plan = best_measured(scored)
    assert plan.measure.metric == "points"
    assert plan.best[["alpha", "beta"]].to_numpy().tolist()[0] in [[a, b] for a in (0.1, 0.7) for b in (0.2, 0.8)]
    assert (plan.mixes["excess"] >= 0).all()
    assert plan.mixes["excess"].max() == pytest.approx(0.09 + 0.18)


def test_a_run_without_a_choice_and_an_unknown_objective_are_refused(measured, fake, tmp_path):
    run(fake("generations=1", "n=20", "ecosystem.alpha=0.5"), open_store(tmp_path))
    with pytest.raises(InvalidInput, match="1 finished mix of 1, and two are needed"):
        crossfeed.plan(tmp_path)
    with pytest.raises(InvalidInput, match="give mean, worst or an entity: warm, cold"):
        crossfeed.plan(measured, "best")


def test_losses_of_unlike_learners_in_one_mean_are_told(measured, fake, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeSettings, "other_units", "losses of other words have other units")
    run(fake("generations=1", "n=20", "ecosystem.entities.0.learner={reads_at_most: 5}"), open_store(tmp_path))

    def said(folder, objective):
        console = Console(file=io.StringIO(), width=200)
        render_measured_plan(crossfeed.plan(folder, objective), console)
        return "losses of other words have other units" in console.file.getvalue()

    assert said(tmp_path, "mean")
    assert not said(tmp_path, "warm")
    assert not said(measured, "mean")


def test_the_command_and_the_function_say_the_same(measured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned = crossfeed.plan(str(measured))
    answer = crossfeed_cli("plan", str(measured), "--json")
    assert answer.code == 0, answer.err
    data = json.loads(answer.out)
    assert not list(tmp_path.iterdir())
    assert data["metric"] == "loss"
    pd.testing.assert_frame_equal(pd.DataFrame(data["mixes"]), planned.mixes, check_dtype=False)
    assert data["best"] == data["mixes"][:1]
    shown = crossfeed_cli("plan", str(measured), "--objective", "worst", "--out", "there")
    assert shown.code == 0, shown.err
    assert "over 3 seeds" in " ".join(shown.out.split())
    assert len(pd.read_csv(tmp_path / "there" / "mixes.csv")) == 9
    for wrong, said in ((["--set", "n=3"], "--set n=3"), (["--objective", "x"], "--objective x")):
        refused = crossfeed_cli("plan", str(measured), *wrong)
        assert refused.code == 2
        assert said in refused.err
    empty = crossfeed_cli("plan", str(tmp_path))
    assert empty.code == 2
    assert "not a crossfeed run" in empty.err
