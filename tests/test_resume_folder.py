"""`crossfeed run FOLDER` goes on with the run that is there, as it was described."""

from __future__ import annotations

import json
import shutil

import pytest

from crossfeed import Run, open_store, run

from .faults.cli import crossfeed_cli
from .runs import numbers

CHANGES = ("generations=2", "n=30", "ecosystem.beta=0.7", "ecosystem.alpha=0.5")


@pytest.fixture
def stopped(fake, tmp_path, monkeypatch):
    """A run with changes to its preset, whose last generation is missing; and its numbers when it was whole."""
    monkeypatch.setattr("crossfeed.reporting.reports.report", lambda *_, **__: None)
    monkeypatch.chdir(tmp_path)
    whole = run(fake(*CHANGES, "checkpoints=all"), open_store(tmp_path / "mine"))
    (tmp_path / "mine" / "records" / "alpha-0.5_seed-0" / "generation-002.parquet").unlink(missing_ok=True)
    for late in (tmp_path / "mine" / "records").glob("*/generation-002.parquet"):
        late.unlink()
    return numbers(whole)


@pytest.mark.parametrize("place", ["mine", "mine/", "./mine", "file"])
def test_a_folder_is_gone_on_with_without_the_changes_that_it_was_begun_with(stopped, tmp_path, place):
    place = (tmp_path / "mine").as_uri() if place == "file" else place
    answer = crossfeed_cli("run", place, "--quiet", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["id"] == Run.load("mine").id
    assert numbers(open_store("mine").read_result("records")) == stopped
    assert not (tmp_path / "runs").exists()


def test_changes_of_no_effect_are_taken_and_others_are_refused_by_name(stopped, tmp_path):
    kept = crossfeed_cli("run", "mine", "--quiet", "--set", "checkpoints=none", "--set", "description=again")
    assert kept.code == 0, kept.err
    assert not list((tmp_path / "mine" / "checkpoints").rglob("*.json"))
    before = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    for changes in (["n=31"], ["seeds=[1]"], ["checkpoints=all", "generations=1"]):
        refused = crossfeed_cli("run", "mine", *(word for change in changes for word in ("--set", change)))
        assert refused.code == 2
        assert f"--set {changes[-1]}: that is another experiment" in refused.err
        assert "mine/experiment.yaml" in refused.err
    out = crossfeed_cli("run", "mine", "--out", "other")
    assert out.code == 2
    assert "--out other: mine is a run, which goes on where it is" in out.err
    assert before == {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    assert not (tmp_path / "other").exists()


def test_a_folder_that_is_no_run_is_refused_and_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    refused = crossfeed_cli("run", "mine")
    assert refused.code == 2
    assert "not a crossfeed run (no run.json in it)" in refused.err
    assert not list((tmp_path / "mine").iterdir())


def test_a_preset_is_no_folder_also_where_one_has_its_name(stopped, tmp_path):
    shutil.move("mine", "fake")
    answer = crossfeed_cli("run", "fake", "--set", "generations=1", "--set", "n=20", "--quiet", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["location"].startswith("runs/fake-")
