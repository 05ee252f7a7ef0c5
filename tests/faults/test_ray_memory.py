"""Requests to workers that are larger than all of Ray's shared memory: they are spilled, and nothing changes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from crossfeed import Experiment, MemoryStore, run
from crossfeed.executors import open_executor
from crossfeed.executors.distributed import DistributedLearner
from crossfeed.executors.messages import encode, pack_set
from crossfeed.store import open_store
from tests.runs import numbers

SHARED = 80 * 2**20  # Ray takes 75 MB at least
TEXT = """
ecosystem: {entities: 4, alpha: 1, beta: 1}
learner: {kind: categorical}
tasks: {each: {source: categorical, uniform: 50, train: 500, test: 10, replicates: 100}}
public: {source: categorical, uniform: 50, train: 10, test: 10, replicates: 100}
n: 220000
initial_n: 500
generations: 1
metrics: {heterozygosity: {}}
"""


def test_requests_beyond_the_shared_memory(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="executor ray needs the ray extra")
    experiment = Experiment.from_yaml(TEXT)
    undisturbed = numbers(run(experiment, MemoryStore()))
    sent, update = [], DistributedLearner.update

    def measured(self, states, sets, keys, generation):
        by_worker = np.bincount([state.worker for state in states], weights=[len(encode(pack_set(s))) for s in sets])
        sent.append(by_worker.max())
        return update(self, states, sets, keys, generation)

    monkeypatch.setattr(DistributedLearner, "update", measured)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own
        options = {"num_cpus": 2, "include_dashboard": False, "log_to_driver": False, "_node_ip_address": "127.0.0.1"}
        ray.init("local", object_store_memory=SHARED, **options)
        try:
            workers = open_executor("ray", 2)
            there = run(experiment, open_store(tmp_path / "run"), executor=workers, spread="entities")
        finally:
            ray.shutdown()
    assert max(sent) > SHARED, "one request is larger than the memory that all share"
    assert not there.failures
    assert numbers(there) == undisturbed
