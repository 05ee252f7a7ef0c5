"""A run that goes on elsewhere: each sitting is kept, what changed is said, and numbers of two kinds are refused."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys

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
from tests.tiny import TINY

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


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_a_compiler_that_is_removed_between_two_sittings(tmp_path):
    """Two processes, of which the second one finds no compiler; with it the run goes on to the numbers of one alone."""
    pytest.importorskip("torch", reason="language models need the lm extra")
    (tmp_path / "tiny.yaml").write_text(TINY)

    def command(generations: int, folder: str, **variables: str) -> subprocess.CompletedProcess:
        environment = os.environ | {"CROSSFEED_CACHE": str(tmp_path / "cache")} | variables
        asked = ("--set", f"generations={generations}", "--out", folder, "--quiet")
        line = [sys.executable, "-m", "crossfeed", "run", "tiny.yaml", *asked]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert command(1, "run").returncode == 0
    kept = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert kept["learner"]["compiled"] == "yes"
    answer = command(2, "run", CC="")
    assert answer.returncode == 2
    assert "begun with compiled yes, and here it is no" in answer.stderr
    assert "install the C compiler again" in " ".join(answer.stderr.split())
    assert command(2, "run").returncode == 0
    assert command(2, "whole").returncode == 0
    one, other = (Run.load(tmp_path / name).records for name in ("run", "whole"))
    shown = ["cell", "generation", "model", "task", "metric", "value"]
    one, other = (each[each["metric"] != "seconds"][shown].sort_values(shown[:-1]) for each in (one, other))
    assert one.to_numpy().tolist() == other.to_numpy().tolist()
