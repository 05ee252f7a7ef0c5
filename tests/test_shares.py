"""Several processes on one run: who has which cell, what is shared, what is refused, who ends it."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace

import pytest

import crossfeed.loop
from crossfeed import MemoryStore, Run, open_executor, run
from crossfeed.errors import InvalidInput, StoreError
from crossfeed.executors.slurm import array_share
from crossfeed.learners.fake import FakeLearner
from crossfeed.running.session import Session, Setup
from crossfeed.running.shares import Shares, parse_share
from crossfeed.running.status import read_status, work_of
from crossfeed.store import lock, open_store
from crossfeed.store.local import LocalFiles
from crossfeed.store.owner import Owner
from crossfeed.store.remote import RemoteFiles
from tests.contracts.test_store import PLACES
from tests.faults.cli import crossfeed_cli, empty_report
from tests.runs import numbers

FEW = ("generations=2", "n=20", "ecosystem.beta=0.5", "grid.ecosystem.alpha=[0, 0.5, 1]", "seeds=[0, 1]")
TESTS = ("tasks.warm.test=3", "tasks.cold.test=3", "public.test=3", "metrics={loss: {}}")


@pytest.fixture
def experiment(fake):
    """Six cells, of which three start from each of two generations 0."""
    return fake(*FEW, *TESTS)


@pytest.fixture
def undisturbed(experiment):
    return numbers(run(experiment, MemoryStore()))


@pytest.fixture(params=sorted(PLACES))
def place(request, tmp_path, monkeypatch):
    """Where a run can be opened more than once."""
    return PLACES[request.param](tmp_path, monkeypatch)


@pytest.fixture
def quick(monkeypatch):
    """Hearts that beat fast, and little patience."""
    monkeypatch.setattr(lock, "BEAT", 0.05)
    monkeypatch.setattr(lock, "PATIENCE", 0.6)
    monkeypatch.setattr(lock, "SETTLE", 0.05)


@pytest.fixture
def elsewhere(monkeypatch):
    """No process can be looked up, as if all were on other machines."""
    monkeypatch.setattr(Owner, "is_alive", lambda self: None)


def together(work, count):
    """Call a function in several threads at once; return what each gives."""
    given, errors = [None] * count, []
    barrier = threading.Barrier(count)

    def call(number):
        barrier.wait()
        try:
            given[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return given


@pytest.fixture
def written(monkeypatch):
    """The files that are written, each time that it is."""
    names = []
    for kind in (LocalFiles, RemoteFiles):
        write = kind.write

        def noting(self, path, content, *, durable=True, write=write):
            names.append(path)
            write(self, path, content, durable=durable)

        monkeypatch.setattr(kind, "write", noting)
    return names


def test_several_at_once_write_each_generation_once_and_one_ends_the_run(experiment, undisturbed, place, written):
    outcomes = together(lambda number: run(experiment, open_store(place), cells=(number + 1, 3)), 3)
    assert any(not outcome.others for outcome in outcomes)
    for outcome in outcomes:
        if not outcome.others:
            assert numbers(outcome) == undisturbed
    records = [path for path in written if path.startswith("records/")]
    assert len(records) == len({*records}) == 2 + 6 * 2
    assert numbers(open_store(place).read_result("records")) == undisturbed
    store = open_store(place)
    assert store.writers() == []
    assert not store._files.names(".claims")
    assert not store.documents("status")
    assert len(store.documents("sittings")) <= 3


def test_a_run_of_one_share_alone_is_the_whole_run(experiment, undisturbed, tmp_path):
    outcome = run(experiment, open_store(tmp_path / "run"), cells=(2, 8))
    assert outcome.others == ()
    assert numbers(outcome) == undisturbed


def test_a_finished_run_is_left_as_it_is(experiment, undisturbed, tmp_path):
    run(experiment, open_store(tmp_path / "run"))
    before = {path: path.read_bytes() for path in (tmp_path / "run" / "records").rglob("*.parquet")}
    assert numbers(run(experiment, open_store(tmp_path / "run"), cells=(1, 2))) == undisturbed
    assert {path: path.read_bytes() for path in (tmp_path / "run" / "records").rglob("*.parquet")} == before


def test_it_goes_on_alone_with_what_was_shared(experiment, undisturbed, tmp_path, monkeypatch):
    stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        run(experiment, open_store(tmp_path / "run"), cells=(1, 2))
    monkeypatch.undo()
    assert open_store(tmp_path / "run").writers() == []
    assert numbers(run(experiment, open_store(tmp_path / "run"))) == undisturbed


def stop_after(monkeypatch, updates):
    update, left = FakeLearner.update, [updates]

    def stopping(*arguments, **named):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return update(*arguments, **named)

    monkeypatch.setattr(FakeLearner, "update", stopping)


def shares_of(experiment, tmp_path, number, count):
    store = open_store(tmp_path / "run")
    session = Session(Setup(experiment, store, None, tmp_path / "cache", None))
    return Shares(session, store.claims, (number, count))


def test_shares_are_neighbours_by_their_start(experiment, tmp_path):
    cells = experiment.cells()
    orders = [shares_of(experiment, tmp_path, number, 3).in_order() for number in (1, 2, 3)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    starts = [cells[position].start for position in orders[0]]
    assert starts == sorted(starts, key=starts.index)
    assert [position for order in orders for position in order[:2]] == orders[0]  # all cells, each in one share
    assert orders[1] == orders[0][2:] + orders[0][:2]  # and then those of the others


def test_more_shares_than_cells(experiment, tmp_path):
    begins = [shares_of(experiment, tmp_path, number, 50).in_order()[0] for number in range(1, 51)]
    assert {*begins} == {*range(6)}


@pytest.mark.parametrize(
    "text", ["0/8", "9/8", "3", "3/", "/8", "a/b", "-1/8", "3/8/2", "", "3 / 8", "³/8", "1/" + "9" * 5000]
)
def test_what_is_no_share_is_refused(text):
    with pytest.raises(InvalidInput, match="give a share such as 3/8"):
        parse_share(text)
    assert parse_share("3/8") == (3, 8)


@pytest.mark.parametrize("share", [(0, 8), (9, 8), (1, 0)])
def test_what_is_no_share_is_refused_in_python_too(experiment, share):
    with pytest.raises(InvalidInput, match=r"cells = .*: give a share"):
        run(experiment, MemoryStore(), cells=share)


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        ({}, None),
        ({"ID": "3"}, None),
        ({"ID": "1", "MIN": "1", "COUNT": "1"}, None),
        ({"ID": "3", "MIN": "1", "COUNT": "8"}, (3, 8)),
        ({"ID": "0", "MIN": "0", "COUNT": "8"}, (1, 8)),
        ({"ID": "14", "MIN": "2", "COUNT": "4", "STEP": "4"}, (4, 4)),
        ({"ID": "9", "MIN": "1", "COUNT": "3", "STEP": "1"}, (3, 3)),
        ({"ID": "x", "MIN": "1", "COUNT": "8"}, None),
    ],
)
def test_the_share_of_an_array_task(variables, share):
    environment = {f"SLURM_ARRAY_TASK_{name}": value for name, value in variables.items()}
    assert array_share(environment) == share


def test_a_store_of_one_process_is_refused(experiment):
    with pytest.raises(InvalidInput, match=r"cells = 1/2: several processes cannot write to this store; give a folder"):
        run(experiment, MemoryStore(), cells=(1, 2))


def test_what_needs_one_process_is_refused(experiment, tmp_path):
    with pytest.raises(InvalidInput, match="a forecast needs one process"):
        run(experiment, open_store(tmp_path / "run"), cells=(1, 2), forecaster=lambda session: None)
    with pytest.raises(InvalidInput, match="tracking needs one process"):
        run(experiment, open_store(tmp_path / "run"), cells=(1, 2), tracker=object())
    assert not (tmp_path / "run").exists()


def begin(store, experiment, **how):
    contents = {"schema": 3, "id": experiment.id, "data": {}, "name": experiment.name, "cells": []}
    store.begin(experiment.to_yaml(), contents, **how)
    return store


def test_one_alone_and_several_keep_each_other_out(experiment, place):
    first = begin(open_store(place), experiment, shared=True)
    with pytest.raises(StoreError, match="in use by process"):
        begin(open_store(place), experiment)
    second = begin(open_store(place), experiment, shared=True)
    first.end()
    with pytest.raises(StoreError, match="in use by process"):
        begin(open_store(place), experiment)
    second.end()
    alone = begin(open_store(place), experiment)
    with pytest.raises(StoreError, match="in use by process"):
        begin(open_store(place), experiment, shared=True)
    alone.end()
    begin(open_store(place), experiment, shared=True).end()
    assert open_store(place).writers() == []


def test_two_descriptions_at_once_are_refused(experiment, place):
    first = begin(open_store(place), experiment, shared=True)
    other = experiment.model_copy(update={"checkpoints": "all"})
    with pytest.raises(StoreError, match=r"process \d+ on .* runs another description"):
        begin(open_store(place), other, shared=True)
    first.end()
    begin(open_store(place), other, shared=True).end()
    assert "checkpoints: all" in open_store(place).read_description()


def test_a_store_that_lets_two_create_the_same_file_is_refused(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalFiles, "create", lambda self, path, content: self.write(path, content) or True)
    with pytest.raises(StoreError, match="lets two processes create the same file"):
        run(experiment, open_store(tmp_path / "run"), cells=(1, 2))


def test_a_client_that_looks_before_it_writes_is_refused(experiment, monkeypatch):
    monkeypatch.setattr("crossfeed.store.remote._CREATING", {"s3"})
    with pytest.raises(StoreError, match="this kind of store does not decide"):
        run(experiment, open_store("memory://looks/run"), cells=(1, 2))


def test_a_file_system_without_locks_is_refused(experiment, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(StoreError, match="gives no locks"):
        run(experiment, open_store(tmp_path / "run"), cells=(1, 2))
    assert not list((tmp_path / "run" / ".writers").iterdir())


def test_of_many_at_once_one_gets_a_claim(experiment, place):
    stores = [begin(open_store(place), experiment, shared=True) for _ in range(6)]
    for work in ("one", "two", "three"):
        states = together(lambda number, work=work: stores[number].claims.take(work), 6)
        assert (states.count("mine"), {*states} - {"mine"} <= {"held", "unknown"}) == (1, True)  # half-written: unknown
        owner = stores[states.index("mine")]
        owner.claims.release(work)
        again = together(lambda number, work=work: stores[number].claims.take(work), 6)
        assert (again.count("mine"), {*again} - {"mine"} <= {"held", "unknown"}) == (1, True)
        stores[again.index("mine")].claims.done(work)
        assert {store.claims.take(work) for store in stores} == {"done"}
    for store in stores:
        store.end()


def test_what_was_done_before_a_process_began_may_be_done_again(experiment, place):
    first, second = (begin(open_store(place), experiment, shared=True) for _ in range(2))
    assert first.claims.take("work") == "mine"
    assert second.claims.look("work") == "held"
    first.claims.done("work")
    assert second.claims.take("work") == "done"
    third = begin(open_store(place), experiment, shared=True)
    assert third.claims.take("work") == "mine"
    for store in (first, second, third):
        store.end()


def test_what_a_dead_process_held_is_free_at_once_on_its_machine(experiment, place):
    dead, alive = (begin(open_store(place), experiment, shared=True) for _ in range(2))
    assert dead.claims.take("work") == "mine"
    end_without_a_word(dead, replace(Owner.this_process(), started="1"))
    assert alive.claims.take("work") == "mine"
    assert alive.claims.others() == []
    dead.end()
    assert alive.claims.look("work") == "mine"
    alive.end()


def end_without_a_word(store, owner=None):
    """Stop the heart of a process that shares a run, as a kill does."""
    writers = store.claims.writers
    writers._stop.set()
    writers._thread.join()
    if owner is not None:
        writers._owner = owner
        store._files.write(f".writers/{writers.token}", writers._content(0))


def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_process_elsewhere_holds_is_free_once_it_is_silent(experiment, place, quick, elsewhere):
    silent, alive = (begin(open_store(place), experiment, shared=True) for _ in range(2))
    assert silent.claims.take("work") == "mine"
    assert alive.claims.take("work") in ("unknown", "held")
    until(lambda: alive.claims.take("work") == "held")
    end_without_a_word(silent)
    until(lambda: alive.claims.take("work") == "mine")
    silent.claims.writers._stop = threading.Event()  # it was only asleep
    beat = threading.Thread(target=silent.claims.writers._beat, args=(silent.claims.writers.token, threading.Event()))
    beat.start()
    beat.join()
    with pytest.raises(StoreError, match="silent too long, and others took its cells over"):
        silent.claims.take("other")
    silent.end()
    assert alive.claims.look("work") == "mine"
    alive.end()


def test_half_a_claim_is_watched(experiment, place, quick):
    store = begin(open_store(place), experiment, shared=True)
    assert store.claims.take("work") == "mine"
    (path,) = (name for name in store._files.names(".claims") if name != claim_of("begin"))
    store._files.write(f".claims/{path.partition('.')[0]}.0002", b"")
    other = begin(open_store(place), experiment, shared=True)
    assert other.claims.take("work") == "unknown"
    until(lambda: other.claims.take("work") == "mine")
    store.end()
    other.end()


def claim_of(work):
    from crossfeed.store.claims import _path

    return _path(work, 1).rpartition("/")[2]


def test_a_cell_whose_owner_is_gone_is_run_by_who_comes_next(experiment, undisturbed, tmp_path):
    dead = begin_as(experiment, tmp_path)
    assert dead.claims.take(work_of(experiment.cells()[3].name)) == "mine"
    end_without_a_word(dead, replace(Owner.this_process(), started="1"))
    outcome = run(experiment, open_store(tmp_path / "run"), cells=(1, 2))
    assert outcome.others == ()
    assert numbers(outcome) == undisturbed
    dead.end()


def begin_as(experiment, tmp_path):
    """Join a run as a process that runs nothing."""
    from crossfeed.display.progress import Silent
    from crossfeed.running.beginning import begin_run

    store = open_store(tmp_path / "run")
    begin_run(Session(Setup(experiment, store, None, tmp_path / "cache", Silent())), (1, 2))
    return store


def test_what_another_one_is_at_is_left_to_it(experiment, undisturbed, tmp_path):
    other = begin_as(experiment, tmp_path)
    name = experiment.cells()[3].name
    assert other.claims.take(work_of(name)) == "mine"
    outcome = run(experiment, open_store(tmp_path / "run"), cells=(1, 2))
    assert [f"process {os.getpid()} on" in each for each in outcome.others] == [True]
    status = read_status(open_store(tmp_path / "run"))
    assert [cell.cell for cell in status.cells if cell.state != "finished"] == [name]
    assert status.writers == (status.writer,) == outcome.others
    assert not (tmp_path / "run" / "records.parquet").exists()
    other.end()
    assert numbers(run(experiment, open_store(tmp_path / "run"), cells=(1, 2))) == undisturbed
    assert not (tmp_path / "run" / ".claims").exists()


def test_who_waits_for_a_start_goes_on_when_it_is_there(experiment, undisturbed, tmp_path):
    """Both generations 0 are another one's; it makes one of them and gives the other back."""
    other = begin_as(experiment, tmp_path)
    starts = list(dict.fromkeys(cell.start for cell in experiment.cells()))
    for start in starts:
        assert other.claims.take(f"start {start}") == "mine"
    given = []
    waiting = threading.Thread(target=lambda: given.append(run(experiment, open_store(tmp_path / "run"), cells=(1, 2))))
    waiting.start()
    time.sleep(0.5)
    assert not (tmp_path / "run" / "records").exists()
    for start in starts:
        other.claims.release(f"start {start}")
    waiting.join()
    other.end()
    assert numbers(given[0]) == undisturbed


def test_status_says_who_is_at_which_cell(experiment, tmp_path):
    first, second = begin_as(experiment, tmp_path), begin_as(experiment, tmp_path)
    names = [cell.name for cell in experiment.cells()]
    for store, name in ((first, names[0]), (second, names[1])):
        store.claims.take(work_of(name))
    for name in names[:3]:  # of the third one nobody is at work any more
        first.write_document(f"status/{name}", {"stage": "update", "generation": 1, "time": time.time()})
    status = read_status(open_store(tmp_path / "run"))
    assert [cell.state for cell in status.cells] == ["running", "running", "stopped", "waiting", "waiting", "waiting"]
    assert [f"process {os.getpid()} on" in (cell.writer or "") for cell in status.cells] == [True] * 2 + [False] * 4
    assert len(status.writers) == 2
    answer = crossfeed_cli("status", str(tmp_path / "run"))
    assert "2 processes are at work on it" in answer.out
    assert answer.out.count(f"  process {os.getpid()} on") >= 2
    first.end()
    second.end()


@pytest.mark.parametrize("seeds", [4, 9])
def test_cells_are_packed_by_those_that_ran_them(fake, tmp_path, monkeypatch, seeds):
    monkeypatch.setattr(crossfeed.loop, "TOGETHER", 3)
    experiment = fake("generations=2", "n=20", "ecosystem.alpha=0.5", f"seeds={list(range(seeds))}", *TESTS)
    expected = numbers(run(experiment, MemoryStore()))
    outcomes = together(lambda number: run(experiment, open_store(tmp_path / "run"), cells=(number + 1, 2)), 2)
    assert next(numbers(outcome) for outcome in outcomes if not outcome.others) == expected
    folder = tmp_path / "run"
    assert not [path for step in ("records", "pool", "checkpoints") for path in (folder / step).rglob("*.parquet")]
    assert numbers(Run.load(folder).store.read_result("records")) == expected
    assert (Run.load(folder).cells["state"] == "finished").all()


def test_a_failed_cell_is_every_ones_failure_and_is_tried_again_once(fake, tmp_path, monkeypatch):
    experiment = fake(*FEW[:3], "ecosystem.alpha=0.5", "seeds=[0, 1]", "grid={learner.diverge_at: [1, null]}", *TESTS)
    outcomes = together(lambda number: run(experiment, open_store(tmp_path / "run"), cells=(number + 1, 2)), 2)
    last = next(outcome for outcome in outcomes if not outcome.others)
    failed = [cell.name for cell in experiment.cells() if cell.experiment.learner.diverge_at == 1]
    assert sorted(last.failures) == sorted(failed)
    tried, fail = [], Session._fail

    def noting(self, cell, runner, error):
        tried.append(cell.name)
        fail(self, cell, runner, error)

    monkeypatch.setattr(Session, "_fail", noting)
    run(experiment, open_store(tmp_path / "run"), cells=(1, 2))
    assert tried == []
    other = begin_as(experiment, tmp_path)  # so that claims are kept
    run(experiment, open_store(tmp_path / "run"), cells=(1, 2), retry_failed=True)
    assert sorted(tried) == sorted(failed)
    other.end()


def test_a_start_that_fails_fails_all_its_cells(fake, tmp_path):
    experiment = fake(*FEW, *TESTS, "learner.diverge_at=0")
    alone = run(experiment, MemoryStore())
    outcomes = together(lambda number: run(experiment, open_store(tmp_path / "run"), cells=(number + 1, 3)), 3)
    last = next(outcome for outcome in outcomes if not outcome.others)
    assert last.failures.keys() == alone.failures.keys() == {cell.name for cell in experiment.cells()}


def test_each_process_may_have_workers_of_its_own(experiment, undisturbed, tmp_path, written):
    outcomes = together(
        lambda number: run(
            experiment,
            open_store(tmp_path / "run"),
            cells=(number + 1, 2),
            executor=open_executor("processes", 2),
            spread=("auto", "entities")[number],
        ),
        2,
    )
    assert next(numbers(outcome) for outcome in outcomes if not outcome.others) == undisturbed
    assert (Run.load(tmp_path / "run").cells["state"] == "finished").all()


def test_the_command_finds_its_share_in_an_array_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("crossfeed.reporting.html.write_report", empty_report)
    for name, value in {"ID": "3", "MIN": "1", "COUNT": "8"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    small = [word for each in (*FEW, *TESTS) for word in ("--set", each)]
    answer = crossfeed_cli("run", "fake", *small, "--out", "run")
    assert answer.code == 0, answer.err
    assert answer.err.count("task 3 of 8 of a Slurm array") == 1
    assert "records  run/records.parquet" in answer.out
    answer = crossfeed_cli("run", "fake", *small, "--out", "run", "--cells", "1/2")
    assert (answer.code, "Slurm" in answer.err) == (0, False)


def test_the_command_says_who_goes_on(fake, experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = begin_as(experiment, tmp_path)
    other.claims.take(work_of(experiment.cells()[0].name))
    (tmp_path / "few.yaml").write_text(experiment.to_yaml())
    answer = crossfeed_cli("run", "few.yaml", "--out", "run", "--cells", "1/2", "-q")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (
        "5 of 6 cells are finished, and 1 other process is at work on the run; the last one prints the tables and "
        "writes the records and the report\n"
    )
    document = crossfeed_cli("run", "few.yaml", "--out", "run", "--cells", "1/2", "-q", "--json")
    assert document.out.count("\n") == 1
    assert '"state": "unfinished"' in document.out
    assert "in use by processes that share its cells" in crossfeed_cli("run", "few.yaml", "--out", "run").err
    other.end()


def test_a_wrong_share_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = crossfeed_cli("run", "fake", "--cells", "9/8")
    assert (answer.code, answer.err) == (2, "crossfeed: --cells 9/8: give a share such as 3/8, from 1/8 to 8/8\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("token", ["../../secret", "..", "", "a/b", 3, None, "0" * 31])
def test_a_claim_that_names_no_process_leads_nowhere(experiment, tmp_path, quick, token):
    """Whoever made the folder may have written anything: an owner's name is never taken for a path."""
    (tmp_path / "secret").write_text("kept")
    store = begin(open_store(tmp_path / "run"), experiment, shared=True)
    store._files.write(f".claims/{claim_of('work')}", json.dumps({"token": token, "state": "held"}).encode())
    assert store.claims.owner("work") is None
    until(lambda: store.claims.take("work") == "mine")
    store.end()
    assert (tmp_path / "secret").read_text() == "kept"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_created_once_with_or_without_second_names(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not permitted")))
    files = LocalFiles(tmp_path)
    made = together(lambda number: files.create(".claims/x.0001", str(number).encode()), 8)
    assert made.count(True) == 1
    assert files.read(".claims/x.0001") == str(made.index(True)).encode()
    assert files.names(".claims") == ["x.0001"]


def test_a_file_is_created_while_half_written_ones_are_swept(tmp_path):
    """Who begins a run alone sweeps what another process, which is only just coming, has half written."""
    files, done = LocalFiles(tmp_path), threading.Event()

    def sweep():
        while not done.is_set():
            files.sweep()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        assert all(files.create(f".writers/{number}", b"here") for number in range(300))
    finally:
        done.set()
        sweeper.join()
    assert [files.read(f".writers/{number}") for number in range(300)] == [b"here"] * 300
