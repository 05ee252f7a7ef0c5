"""A run's folder that is moved, removed or replaced while the run goes on: the run stops, and makes nothing anew."""

from __future__ import annotations

import shutil

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.errors import StoreError
from crossfeed.learners.fake import FakeLearner
from crossfeed.loop import run
from crossfeed.store import open_store
from crossfeed.store.schema import SCHEMA
from tests.faults.cli import check_refused, crossfeed_cli
from tests.faults.test_links import TEXT
from tests.runs import numbers

DOCUMENT = {"schema": SCHEMA, "id": "abc", "data": {}}


def moved(place, to):
    place.rename(to)


def removed(place, to):
    shutil.rmtree(place)


def replaced(place, to):
    place.rename(to)
    place.mkdir()
    (place / ".lock").touch()


def unlocked(place, to):
    (place / ".lock").unlink()


@pytest.mark.parametrize("what", [moved, removed, replaced, unlocked])
def test_a_run_stops_and_makes_no_folder_anew(tmp_path, monkeypatch, what):
    place, to = tmp_path / "run", tmp_path / "elsewhere"
    before = numbers(run(Experiment.from_yaml(TEXT, ("generations=3",)), open_store(tmp_path / "undisturbed")))
    update = FakeLearner.update
    calls = []

    def moving(*arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            what(place, to)
        return update(*arguments, **named)

    (tmp_path / "linked.yaml").write_text(TEXT)
    words = ["run", str(tmp_path / "linked.yaml"), "--set", "generations=3", "-q", "--out"]
    with monkeypatch.context() as patch:
        patch.setattr(FakeLearner, "update", moving)
        check_refused(crossfeed_cli(*words, str(place)), (str(place), "moved or removed"))
    assert len(calls) == 2
    if what in (moved, removed):
        assert not place.exists()
    elif what is replaced:
        assert [path.name for path in place.iterdir()] == [".lock"]
    if what is not removed:
        kept = place if what is unlocked else to
        outcome = run(Experiment.from_yaml(TEXT, ("generations=3",)), open_store(kept))
        assert numbers(outcome) == before
        assert outcome.failures == {}


@pytest.mark.parametrize("what", [moved, removed, replaced, unlocked])
def test_a_worker_stops_too(tmp_path, what):
    place = tmp_path / "run"
    main = open_store(place)
    main.begin("name: x\n", DOCUMENT)
    worker = open_store(place, worker=True)
    worker.write_document("status/x", {"stage": "update"})
    what(place, tmp_path / "elsewhere")
    for store in (main, worker):
        with pytest.raises(StoreError, match="moved or removed"):
            store.write_document("status/x", {"stage": "measure"})
    assert not (place / "status" / "x.json").exists() or what is unlocked
    main.end()


def test_a_folder_that_is_left_alone_is_written_again_and_again(tmp_path):
    store = open_store(tmp_path / "run")
    for number in range(3):
        store.begin("name: x\n", DOCUMENT)
        store.write_document("status/x", {"stage": f"s{number}"})
        store.end()
    assert open_store(tmp_path / "run").read_document("status/x") == {"stage": "s2"}
