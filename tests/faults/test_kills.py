"""kill -9 at any moment, of the run itself, of its workers, of a cluster's nodes: the rerun has the same records.

Counts: 50 kills of the main process (40 of a serial run, 10 of one with worker processes), 20 of a worker, 5 of a node.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import ClassVar

import pytest

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.reading import read_description
from crossfeed.display.progress import Silent
from crossfeed.executors import open_executor
from crossfeed.executors.messages import decode, encode
from crossfeed.executors.processes import SILENT, ProcessExecutor
from crossfeed.executors.request_handler import setup_message
from crossfeed.running.session import Setup
from crossfeed.store import open_store
from crossfeed.store.schema import SCHEMA
from tests.runs import numbers

LONG = ("generations=25", "seeds=[0, 1]", "n=60")


@pytest.fixture(scope="module")
def experiment():
    return Experiment.from_yaml(read_description("fake"), LONG)


@pytest.fixture(scope="module")
def undisturbed(experiment):
    return numbers(run(experiment, MemoryStore()))


def begin(folder: str, workers: int) -> None:
    """The run, in a process that is going to be killed."""
    experiment = Experiment.from_yaml(read_description("fake"), LONG)
    executor = open_executor("processes", workers) if workers > 1 else open_executor("serial")
    run(experiment, open_store(folder), executor=executor)


@pytest.fixture(scope="module")
def forked():
    """Starts processes at once: they are forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["crossfeed.loop", "crossfeed.learners.fake", "crossfeed.store.folder", "tests.faults.test_kills"]
    )
    return context


@pytest.mark.parametrize(("workers", "kills", "longest"), [(1, 40, 1.0), (2, 10, 5.0)])
def test_the_main_process_killed_at_random_moments(experiment, undisturbed, forked, tmp_path, workers, kills, longest):
    folder, dice, killed = tmp_path / "run", random.Random(), 0
    while killed < kills:
        process = forked.Process(target=begin, args=(str(folder), workers))
        process.start()
        process.join(dice.uniform(0.0, longest))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            killed += 1
        else:
            assert process.exitcode == 0
            assert numbers(run(experiment, open_store(folder))) == undisturbed
            folder = tmp_path / f"run-{killed}"  # it came to its end between two kills
    outcome = run(experiment, open_store(folder))
    assert not outcome.failures
    assert numbers(outcome) == undisturbed
    assert not list(folder.rglob("*.partial-*"))


class _Hunter(threading.Thread):
    """Kills a random worker at random moments, so many times.

    On a loaded machine a worker may need longer to begin than it is given to live. Once some in a row were killed
    before their first word, the next one is spared until then: after more of them a run is given up, as it promises.
    """

    between: ClassVar = (0.3, 3.0)  # seconds from one kill to the next

    def __init__(self, executor: ProcessExecutor, kills: int) -> None:
        super().__init__(daemon=True)
        self.executor, self.left, self.stopped = executor, kills, threading.Event()

    def run(self) -> None:
        dice, silent = random.Random(), 0
        while self.left and not self.stopped.wait(dice.uniform(*self.between)):
            chosen = [worker for worker in list(self.executor._workers) if worker.spoke or silent < SILENT - 1]
            if chosen:
                worker = dice.choice(chosen)
                silent = 0 if worker.spoke else silent + 1
                self.end(worker.process)
                self.left -= 1

    @staticmethod
    def end(process):
        process.kill()


@pytest.mark.parametrize("spread", ["cells", "entities"])
def test_workers_killed_at_random_moments(experiment, undisturbed, tmp_path, spread):
    left, outcome = 10, None
    for attempt in range(40):
        folder = tmp_path / f"run-{attempt}"
        executor = ProcessExecutor(2, 1)
        hunter = _Hunter(executor, left)
        hunter.start()
        outcome = run(experiment, open_store(folder), executor=executor, spread=spread)
        hunter.stopped.set()
        hunter.join()
        left = hunter.left
        for failure in outcome.failures.values():  # a cell that lost two workers, with its last place
            assert failure["type"] == "WorkerLost"
            assert "signal 9" in failure["message"]
            assert failure["stage"]
        if outcome.failures:
            outcome = run(experiment, open_store(folder), retry_failed=True)
        assert not outcome.failures
        assert numbers(outcome) == undisturbed
        if not left:
            break
    assert not left


def test_nodes_of_a_cluster_killed(experiment, undisturbed, tmp_path):
    ray = pytest.importorskip("ray", reason="executor ray needs the ray extra")
    from ray.cluster_utils import Cluster

    kills, dice = 3, random.Random()
    with warnings.catch_warnings(), ThreadPoolExecutor(1) as apart:
        warnings.simplefilter("ignore")  # of Ray's own
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [_node_of(cluster) for _ in range(2)]
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            for attempt in range(20):
                folder = tmp_path / f"run-{attempt}"
                running = apart.submit(run, experiment, open_store(folder), executor=open_executor("ray", 2))
                while kills and not wait([running], timeout=dice.uniform(2.0, 8.0)).done:
                    cluster.remove_node(nodes.pop(dice.randrange(len(nodes))), allow_graceful=False)
                    kills -= 1
                    nodes.append(_node_of(cluster))
                outcome = running.result(timeout=300)
                if outcome.failures:
                    outcome = run(experiment, open_store(folder), retry_failed=True)
                assert not outcome.failures
                assert numbers(outcome) == undisturbed
                if not kills:
                    break
        finally:
            ray.shutdown()
            cluster.shutdown()
    assert not kills


def _node_of(cluster, tries=5):
    """A new node; Ray gives each 30 seconds to begin, which on a loaded machine is not always enough."""
    try:
        return cluster.add_node(num_cpus=1)
    except Exception as error:
        if "timed out during startup" not in str(error) or tries == 1:
            raise
        return _node_of(cluster, tries - 1)


MEMORY = """
import resource, sys
from pathlib import Path
from typing import ClassVar
from crossfeed import Experiment, run
from crossfeed.description.reading import read_description
from crossfeed.executors import open_executor
from crossfeed.store import open_store
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
few = ("generations=1", "ecosystem.alpha=0.5", "grid={n: [50, 100000000, 60]}")
experiment = Experiment.from_yaml(read_description("fake"), few)
run(experiment, open_store(sys.argv[1]), executor=open_executor(sys.argv[2], 1))
"""


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_cell_that_runs_out_of_memory_is_a_failure_and_the_others_finish(tmp_path, executor):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", MEMORY, str(folder), executor, str(5 << 29)]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    store = open_store(folder)
    (name,) = store.documents("failures")
    failure = store.read_document(f"failures/{Path(name).name}")
    assert failure["type"] in ("MemoryError", "_ArrayMemoryError", "ArrowMemoryError")
    assert "100000000" in failure["cell"] or failure["cell"].startswith("n-2")
    finished = {row["cell"] for row in store.read_result("records").to_pylist() if row["generation"] == 1}
    assert len(finished) == 2


def test_a_worker_waits_for_nobody_who_is_gone(experiment, forked, tmp_path):
    """Workers end with the process that began them, also in the middle of a step."""
    process = forked.Process(target=begin, args=(str(tmp_path / "run"), 2))
    process.start()
    deadline = time.monotonic() + 60
    while not (children := _children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


DEAF = """
import time
from crossfeed.executors import worker

def listen(connection, requests):
    for _ in range(2):
        requests.put(worker.decode(connection.recv_bytes()))
    time.sleep(600)

worker._listen = listen
worker.main()
"""


def test_a_worker_that_finds_its_caller_gone_writes_no_failure(experiment, tmp_path):
    """On a busy machine it may speak into the void before it hears that nobody is there."""
    store = open_store(tmp_path / "run")
    store.begin(experiment.to_yaml(), {"schema": SCHEMA, "id": experiment.id, "data": {}})
    setup = Setup(experiment, store, None, tmp_path / "cache", Silent())
    ours, theirs = multiprocessing.Pipe()
    command = [sys.executable, "-c", DEAF, str(theirs.fileno())]
    worker = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)
    theirs.close()
    ours.send_bytes(encode(setup_message(setup)))
    ours.send_bytes(encode({"verb": "advance", "cells": [0], "only_start": False}))
    while decode(ours.recv_bytes()).get("name") != "update":  # in the middle of a cell
        pass
    ours.close()
    complaints = worker.communicate(timeout=120)[1]
    assert not store.documents("failures")
    assert (worker.returncode, complaints) == (0, b"")
    store.end()


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("needs Linux's /proc")
    return [int(child) for child in path.read_text().split()]
