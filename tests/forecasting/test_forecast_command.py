"""The command `forecast`: what it prints, writes and refuses; what forecasts is put in place of the real one here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossfeed import Experiment, Run, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.reporting.forecasts.plain import forecast_data
from tests.faults.cli import check_refused, crossfeed_cli
from tests.figures import save_empty

from .made import GRID, made

SMALL = ("generations=1", "n=20", "public.test=4", "tasks.warm.test=4", "tasks.cold.test=4")
SETS = [word for each in GRID for word in ("--set", each)]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_empty(monkeypatch, "pdf", "svg", "png")
    return tmp_path


@pytest.fixture
def asked(monkeypatch) -> list[SimpleNamespace]:
    """What was asked to be forecast."""
    noted: list[SimpleNamespace] = []

    def forecast(experiment, store, *, budget=5.0, data_root=None, cache=None, progress=None):
        noted.append(SimpleNamespace(experiment=experiment, store=store, budget=budget, data_root=data_root))
        progress.log("probing")
        return made(*GRID)

    monkeypatch.setitem(sys.modules, "crossfeed.forecasting.probing", SimpleNamespace(forecast=forecast))
    return noted


def test_probes_go_into_the_runs_folder_and_files_beside_them(asked):
    answer = crossfeed_cli("forecast", "quickstart", *SETS)
    assert answer.code == 0, answer.err
    (one,) = asked
    name = f"quickstart-{one.experiment.id}"
    assert one.experiment.id == Experiment.from_yaml(read_preset("quickstart"), GRID).id
    assert (one.store.folder.resolve(), one.budget) == (Path("runs", name).resolve(), 5.0)
    folder = Path("runs", name, "forecast")
    assert {path.name for path in folder.iterdir()} >= {"forecast.csv", "directions.parquet", "fits.csv", "map.png"}
    assert f"files  {folder}: experiment.yaml" in answer.out
    assert "best in common" in answer.out
    assert "probing" in answer.err


def test_files_go_where_they_are_wanted(asked, here):
    assert crossfeed_cli("forecast", "quickstart", "--budget", "8.5", "--out", "there", *SETS).code == 0
    assert (here / "there" / "forecast.parquet").is_file()
    assert asked[0].budget == 8.5
    assert not list(here.glob("runs/*/forecast"))


def test_json_is_the_forecast_and_writes_nothing(asked, here):
    answer = crossfeed_cli("forecast", "quickstart", "--json", *SETS)
    assert json.loads(answer.out) == json.loads(json.dumps(forecast_data(made(*GRID))))
    assert not list(here.rglob("forecast*"))
    assert crossfeed_cli("forecast", "quickstart", "--json", "--out", "there", *SETS).out == answer.out
    assert (here / "there" / "fits.csv").is_file()


def test_a_run_is_forecast_where_it_is(asked, here):
    run(Experiment.from_yaml(read_preset("fake"), SMALL), open_store("mine"))
    assert crossfeed_cli("forecast", "mine").code == 0
    assert asked[0].experiment.id == Run.load("mine").experiment.id
    assert (here / "mine" / "forecast" / "forecast.csv").is_file()
    check_refused(crossfeed_cli("forecast", "mine", "--set", "n=30"), ("another experiment",))


def test_linear_models_get_the_exact_answer(asked):
    small = ["figure-4", "--set", "generations=2"]
    exact, answer = crossfeed_cli("predict", *small), crossfeed_cli("forecast", *small)
    assert answer.code == 0, answer.err
    assert answer.out == exact.out
    assert answer.err.count("\n") == 1
    assert "exact answer of `crossfeed predict`" in answer.err
    assert crossfeed_cli("forecast", *small, "--json").out == crossfeed_cli("predict", *small, "--json").out
    assert asked == []


def test_ctrl_c_says_what_is_kept(monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "crossfeed.forecasting.probing", SimpleNamespace(forecast=stop))
    answer = crossfeed_cli("forecast", "quickstart")
    assert answer.code == 130
    assert "finished probes are kept in runs/quickstart-" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.yaml"], ("'nothing.yaml'", "neither")),
        (["quickstart", "--budget", "0"], ("--budget 0", "positive")),
        (["quickstart", "--budget", "-2"], ("--budget -2", "positive")),
        (["quickstart", "--budget", "nan"], ("--budget nan", "positive")),
        (["quickstart", "--budget", "inf"], ("--budget inf", "positive")),
        (["quickstart", "--data-root", "nowhere"], ("--data-root nowhere",)),
        (["figure-4", "--budget", "0"], ("--budget 0",)),
    ],
)
def test_what_cannot_be_used_is_refused(asked, here, arguments, words):
    check_refused(crossfeed_cli("forecast", *arguments), words)
    assert asked == []
    assert not list(here.iterdir())


def test_a_budget_that_is_no_number_is_refused(asked):
    answer = crossfeed_cli("forecast", "quickstart", "--budget", "much")
    assert answer.code == 2
    assert "--budget" in answer.err
    assert asked == []


def test_a_link_in_the_place_of_the_folder_is_not_followed(asked, here):
    run(Experiment.from_yaml(read_preset("fake"), SMALL), open_store("mine"))
    (here / "elsewhere").mkdir()
    (here / "mine" / "forecast").symlink_to(here / "elsewhere")
    answer = crossfeed_cli("forecast", "mine")
    assert answer.code == 2
    assert not list((here / "elsewhere").iterdir())
