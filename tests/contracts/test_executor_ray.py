"""The contract of executors, held by Ray: the same tests, on one cluster."""

from __future__ import annotations

import warnings

import pytest
from tests.contracts.test_executor import (  # noqa: F401 - collected here, with this file's `kind`
    TestExecutor,
    test_what_was_given_and_cannot_be_used_stops_the_run_by_name,
)


@pytest.fixture(scope="module")
def kind():
    """Ray; its executors share a cluster, as they do in a notebook that began one."""
    ray = pytest.importorskip("ray", reason="executor ray needs the ray extra")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
        yield "ray"
        ray.shutdown()
