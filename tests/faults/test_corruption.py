"""A hundred random damages to a run: each is rebuilt to the same records, or refused by name; none is used."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crossfeed import run
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from crossfeed.errors import StoreError
from crossfeed.learners.fake import FakeLearner, FakeSettings
from crossfeed.reporting.data.frames import Run
from crossfeed.store import open_store
from tests.faults.conftest import SMALL, refused
from tests.runs import numbers

COUNT = 100
KINDS = ("checkpoints", "pool", "outputs", "records", "results", "run.json", "documents")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(small, open_store(folder))
    return folder


@pytest.fixture(scope="module")
def foreign(tmp_path_factory) -> Path:
    """A run of another description with files of the same names."""
    folder = tmp_path_factory.mktemp("foreign") / "run"
    run(Experiment.from_yaml(read_description("fake"), (*SMALL, "n=19", "checkpoints=all")), open_store(folder))
    return folder


@pytest.fixture(scope="module")
def whole(finished, small) -> dict[str, Any]:
    return {name: read() for name, read in readings(Run.load(finished), small)}


@pytest.mark.parametrize("number", range(COUNT))
def test_damage_is_rebuilt_or_refused_and_never_used(number, finished, foreign, whole, small, undisturbed, tmp_path):
    chance = random.Random(number)
    folder = shutil.copytree(finished, tmp_path / "run")
    stop_early(folder, chance)
    target = damaged(folder, foreign, chance, KINDS[number % len(KINDS)])

    check(folder, target, whole, small)
    store = open_store(folder)
    outcome = refusing(lambda: run(small, store), named(target, folder))
    if outcome is not None:
        assert numbers(outcome) == undisturbed
        assert not outcome.failures
        check(folder, target, whole, small)
        assert all(named(target, folder) in sentence for sentence in store.set_aside)


def stop_early(folder: Path, chance: random.Random) -> None:
    """Leave the run as if it had been stopped in its last generation, mostly before its states were kept."""
    for scope in ("history-latest_seed-0", "history-accumulate_seed-0"):
        (folder / "records" / scope / "generation-002.parquet").unlink()
        if chance.random() < 0.7:
            shutil.rmtree(folder / "checkpoints" / scope / "generation-002")


def damaged(folder: Path, foreign: Path, chance: random.Random, kind: str) -> Path:
    """Damage one file of a kind, and say which."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and kind_of(path, folder) == kind]
    target = chance.choice(found or [folder / "run.json"])
    before = target.read_bytes()
    way = chance.choice(["cut", "flip", "foreign", "swap"])
    if way == "cut":
        target.write_bytes(before[: chance.randrange(len(before))])
    elif way == "flip":
        flipped = bytearray(before)
        flipped[chance.randrange(len(before))] ^= 1 << chance.randrange(8)
        target.write_bytes(flipped)
    else:
        places = [folder, foreign] if way == "swap" else [foreign]
        found = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
        others = [path for path in found if path.suffix == target.suffix and path.read_bytes() != before]
        target.write_bytes(chance.choice(others).read_bytes())
    return target


def kind_of(path: Path, folder: Path) -> str:
    first = path.relative_to(folder).parts[0]
    if first in KINDS:
        return first
    return "results" if path.suffix == ".parquet" else "documents" if path.suffix in (".json", ".yaml") else "other"


def named(target: Path, folder: Path) -> str:
    """What a message calls a file; of a checkpoint it names the folder that all entities' files are in."""
    path = target.relative_to(folder)
    if path.parts[0] == "checkpoints":
        return next(str(parent) for parent in path.parents if parent.name.startswith("generation"))
    return str(path)


def check(folder: Path, target: Path, whole: dict[str, Any], small: Experiment) -> None:
    """Whatever a reader is given is what was written; what it is not given is refused by name."""
    opened = refusing(lambda: Run.load(folder), named(target, folder))
    if opened is not None:
        for name, read in readings(opened, small):
            content = refusing(read, named(target, folder))
            assert not content or content == whole[name], name


def refusing(read: Callable[[], Any], name: str | None = None) -> Any:
    """What is read; None if it is refused, which takes the name of what is damaged."""
    try:
        return read()
    except StoreError as error:
        if name is None or name not in str(error):
            raise
        return None


def readings(opened: Run, experiment: Experiment) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that can be read from a run, as plain values."""
    yield "experiment", opened.experiment.to_yaml
    yield "data", lambda: opened.store.read_document("run")["data"]
    for cell in experiment.cells():
        for generation in range(experiment.generations + 1):
            for step in ("pool", "outputs", "records"):
                yield f"{step}/{cell.name}/{generation}", partial(table_of, opened, step, cell, generation)
            yield f"states/{cell.name}/{generation}", partial(states_of, opened, cell, generation)
    yield "projection", lambda: opened.projection.to_dict("list")


def table_of(opened: Run, step: str, cell, generation: int) -> Any:
    scope = f"shared/{cell.zero}" if generation == 0 else cell.name
    if not opened.store.has_table(step, scope, generation):
        return None
    rows = opened.store.read_table(step, scope, generation).to_pylist()
    return [row for row in rows if row.get("metric") != "seconds"]


def states_of(opened: Run, cell, generation: int) -> Any:
    scope = f"shared/{cell.start}" if generation == 0 else cell.name
    if not opened.store.has_states(scope, generation):
        return None
    learner = FakeLearner(FakeSettings(), ())
    return [state.tolist() for state in opened.store.read_states(scope, generation, ["warm", "cold"], learner.load)]


def test_the_command_line_names_what_is_damaged_and_mends_it(finished, crossfeed, described, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    table = folder / "records" / "history-latest_seed-0" / "generation-002.parquet"
    table.write_bytes(table.read_bytes()[:-20])
    assert "generation-002.parquet: damaged: " in refused(crossfeed("show", folder))
    again = crossfeed("run", described, "--out", folder)
    assert again.returncode == 0
    assert "generation-002.parquet was damaged" in again.stderr  # said once, and kept
    assert len(list(table.parent.glob(".damaged-*-generation-002.parquet"))) == 1
    assert crossfeed("show", folder).returncode == 0


def test_a_file_more_in_a_checkpoint_is_damage_too(finished, tmp_path):
    """Libraries read whatever lies in a checkpoint's folder, such as an adapter or a second set of weights."""
    folder = shutil.copytree(finished, tmp_path / "run")
    checkpoint = folder / "checkpoints" / "history-latest_seed-0" / "generation-001"
    (checkpoint / "warm" / "adapter_config.json").write_text("{}")
    with pytest.raises(StoreError, match=r"generation-001: damaged: warm/adapter_config\.json does not belong there"):
        open_store(folder).has_states("history-latest_seed-0", 1)


def test_a_checkpoint_is_not_another_entitys(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    checkpoint = folder / "checkpoints" / "history-latest_seed-0" / "generation-001"
    for old, new in (("warm", "x"), ("cold", "warm"), ("x", "cold")):
        (checkpoint / old).rename(checkpoint / new)
    with pytest.raises(StoreError, match=r"checksum of cold/counts\.npy does not match"):
        open_store(folder).has_states("history-latest_seed-0", 1)


def test_damage_after_the_first_look_is_found_when_it_is_read(finished, small, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    store = open_store(folder)
    for generation in (1, 2):
        assert store.has_table("pool", "history-latest_seed-0", generation)
    path = folder / "pool" / "history-latest_seed-0" / "generation-001.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"generation-001\.parquet: damaged"):
        store.read_table("pool", "history-latest_seed-0", 1)
