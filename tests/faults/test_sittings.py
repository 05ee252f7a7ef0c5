"""A run that goes on elsewhere: each sitting is kept, what changed is said, and numbers of two kinds are refused."""

from __future__ import annotations

import itertools
import json

import pytest

import crossfeed.environment
from crossfeed.description.experiment import Experiment
from crossfeed.errors import StoreMismatch
from crossfeed.learners.fake import FakeLearner
from crossfeed.loop import run
from crossfeed.reporting.data.frames import Run
from crossfeed.running import session, sittings
from crossfeed.running.sittings import changes, refuse_mixture
from crossfeed.store import open_store
from tests.faults.test_links import TEXT
from tests.runs import numbers

HERE = crossfeed.environment.environment()


@pytest.fixture
def sit(tmp_path, monkeypatch):
    """Go on with a run for one more generation, in an environment that differs in what is given."""
    generations = itertools.count(1)
    update = FakeLearner.update

    def sitting(learner=None, **changed):
        last = next(generations)
        updates = itertools.count(1)

        def stopping(*arguments, **named):
            if next(updates) > 1:
                raise KeyboardInterrupt
            return update(*arguments, **named)

        for module in (session, sittings):
            monkeypatch.setattr(module, "environment", lambda: HERE | changed)
        monkeypatch.setattr(FakeLearner, "describe", lambda _: learner or {"device": "cpu"})
        monkeypatch.setattr(FakeLearner, "update", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(Experiment.from_yaml(TEXT, ("generations=6",)), open_store(tmp_path / "run"))
        return last

    return sitting


def notes(tmp_path):
    return Run.load(tmp_path / "run").notes


def test_each_sitting_is_kept_and_an_unchanged_environment_is_not_spoken_of(sit, tmp_path):
    for number in (1, 2, 3):
        assert sit() == number
        kept = sorted(path.name for path in (tmp_path / "run" / "sittings").glob("*.json"))
        assert kept == [f"{n:03d}.json" for n in range(1, number + 1)]
    assert notes(tmp_path) == []
    first = json.loads((tmp_path / "run" / "sittings" / "001.json").read_text())
    assert first["packages"] == HERE["packages"]
    assert first["begun"]


def test_what_changed_is_said_and_every_sitting_keeps_its_own(sit, tmp_path):
    sit()
    sit(packages=HERE["packages"] | {"numpy": "9.9"}, python="4.0")
    (note,) = notes(tmp_path)
    assert f"python {HERE['python']} → 4.0, numpy {HERE['packages']['numpy']} → 9.9" in note
    sit(packages=HERE["packages"] | {"numpy": "9.9"}, python="4.0")
    assert notes(tmp_path) == [note]
    sit()
    assert len(notes(tmp_path)) == 2
    kept = [json.loads(path.read_text()) for path in sorted((tmp_path / "run" / "sittings").glob("*.json"))]
    assert [each["python"] for each in kept] == [HERE["python"], "4.0", "4.0", HERE["python"]]


def test_a_finished_run_that_is_started_again_is_no_sitting(tmp_path):
    experiment = Experiment.from_yaml(TEXT)
    before = numbers(run(experiment, open_store(tmp_path / "run")))
    assert numbers(run(experiment, open_store(tmp_path / "run"))) == before
    assert [path.name for path in (tmp_path / "run" / "sittings").iterdir()] == ["001.json"]


BEFORE = {"device": "cpu (x86_64)", "precision": "fp32", "threads": "2", "compiled": "yes"}


@pytest.mark.parametrize(
    "changed",
    [{"precision": "bf16 autocast"}, {"device": "cuda:0 (a GPU)"}, {"compiled": "no"}, {"precision": "fp32, compiled"}],
)
def test_numbers_of_two_kinds_are_refused(sit, tmp_path, changed):
    sit(BEFORE)
    with pytest.raises(StoreMismatch, match=rf"begun with {next(iter(changed))} .*choose another folder"):
        sit(BEFORE | changed)
    sit(BEFORE)  # as it was, it goes on
    assert notes(tmp_path) == []


@pytest.mark.parametrize("changed", [{"threads": "4"}, {"device": "cpu (another)"}])
def test_what_may_change_last_digits_is_said(sit, tmp_path, changed):
    sit(BEFORE)
    sit(BEFORE | changed)
    (note,) = notes(tmp_path)
    name, value = next(iter(changed.items()))
    assert f"{name} {BEFORE[name]} → {value}" in note


def test_the_number_of_a_device_is_not_its_kind():
    refuse_mixture({"learner": {"device": "cuda:0 (a)"}}, {"device": "cuda:1 (a)"})
    refuse_mixture({}, {"device": "cpu"})
    refuse_mixture({"learner": {"device": "a: cuda:0 (x); b: cpu (y)"}}, {"device": "a: cuda:1 (x); b: cpu (z)"})
    with pytest.raises(StoreMismatch):
        refuse_mixture({"learner": {"device": "a: cuda:0 (x); b: cpu (y)"}}, {"device": "a: cuda:0 (x); b: cuda:1 (x)"})
    refuse_mixture({"learner": {"device": "cpu"}}, {"device": "cpu", "compiled": "yes"})


def test_what_does_not_change_numbers_is_not_spoken_of():
    assert changes(HERE, HERE | {"cores": 999, "git_commit": "x"}) == []
    assert changes({"packages": {"a": "1"}}, {"packages": {"b": "2"}}) == ["b none → 2", "a 1 → none"]
