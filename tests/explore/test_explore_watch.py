"""A run that is read while it goes on: what is read anew, what is kept, and what is said when it cannot be read."""

from __future__ import annotations

import shutil
import time

import pytest

from crossfeed import Experiment, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import StoreError
from crossfeed.explorer import watch
from crossfeed.explorer.watch import Watch


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = tmp_path_factory.mktemp("watch") / "run"
    overrides = ("ecosystem.alpha=0.5", "generations=2", "n=40", "metrics={loss: {}}")
    run(Experiment.from_yaml(read_preset("fake"), overrides), open_store(place))
    return place


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(watch, "_EVERY", 0.02)
    monkeypatch.setattr(watch, "_LONGEST", 0.3)


def until(true):
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_does_not_change_is_the_same_sight(finished, quick):
    looking = Watch(str(finished))
    first = looking.latest
    time.sleep(0.1)
    assert looking.latest is first
    assert first.status.count("finished") == 1


def test_a_run_that_vanishes_keeps_its_numbers_and_comes_back(finished, tmp_path, quick):
    place = tmp_path / "run"
    shutil.copytree(finished, place)
    looking = Watch(str(place))
    records = looking.latest.run.records
    place.rename(tmp_path / "elsewhere")
    until(lambda: looking.latest.problem)
    assert "not a crossfeed run" in looking.latest.problem
    assert looking.latest.run.records is records
    (tmp_path / "elsewhere").rename(place)
    until(lambda: not looking.latest.problem)
    assert looking.latest.run.records.equals(records)


def test_new_records_are_read_when_a_generation_is_measured(finished, tmp_path, quick):
    place = tmp_path / "run"
    shutil.copytree(finished, place)
    (place / "records.parquet").unlink()
    (last,) = (place / "records").rglob("generation-002.parquet")
    content = last.read_bytes()
    last.unlink()
    looking = Watch(str(place))
    assert looking.latest.run.records["generation"].max() == 1
    last.write_bytes(content)
    until(lambda: looking.latest.status.cells[0].reached == 2)
    assert looking.latest.run.records["generation"].max() == 2


def test_nobody_looks_when_nobody_asks(finished, quick):
    looking = Watch(str(finished))
    _ = looking.latest
    thread = looking._looking
    thread.join(timeout=30)
    assert not thread.is_alive()
    _ = looking.latest
    assert looking._looking is not thread


def test_what_is_no_run_is_refused_at_once(tmp_path):
    with pytest.raises(StoreError, match="not a crossfeed run"):
        Watch(str(tmp_path))
