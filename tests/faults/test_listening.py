"""Who can connect to what a run starts: this machine alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from ipaddress import ip_address

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.errors import CrossfeedError
from crossfeed.executors import open_executor
from crossfeed.executors.listening import Listening, listening
from crossfeed.loop import run
from crossfeed.store import open_store
from tests.faults.test_links import TEXT
from tests.runs import numbers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sockets are listed in /proc of Linux")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("0.0.0.0", False), ("::1", True), ("::", False), ("::ffff:127.0.0.1", True)],
)
def test_sockets_of_this_process_are_seen(host, loopback):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    before = listening()
    with socket.socket(family) as opened:
        opened.bind((host, 0))
        opened.listen()
        (found,) = listening() - before
        assert (found.address, found.port) == (ip_address(host), opened.getsockname()[1])
        assert found.on_loopback is loopback
    assert listening() == before


def test_sockets_of_processes_that_were_started_are_seen():
    code = "import socket, sys\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\n"
    code += "sys.stdin.read()"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"]
    before = listening()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert {each.port for each in listening() - before} == {port}
        process.communicate()


def ray_or_skip():
    ray = pytest.importorskip("ray", reason="executor ray needs the ray extra")
    if ray.is_initialized():
        pytest.skip("a cluster runs in this process already")
    return ray


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_cluster_that_is_started_for_a_run_listens_on_loopback_alone(tmp_path, monkeypatch):
    """Looked at while the run is going on: by each worker's first sign of life all processes are there."""
    ray_or_skip()
    experiment, before, seen = Experiment.from_yaml(TEXT), listening(), set()
    executor = open_executor("ray", workers=1)
    wait = executor.wait

    def look():
        seen.update(listening() - before)
        return wait()

    monkeypatch.setattr(executor, "wait", look)
    there = numbers(run(experiment, open_store(tmp_path / "ray"), executor=executor))
    assert there == numbers(run(experiment, open_store(tmp_path / "here")))
    assert len(seen) >= 3  # the cluster's own, the driver's and the worker's
    assert not [str(each) for each in seen if not each.on_loopback]


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_is_open_to_others_is_ended_and_refused(tmp_path, monkeypatch):
    """As with a version of Ray that keeps to no address: the executor sees a socket that others could reach."""
    ray = ray_or_skip()
    from crossfeed.executors import ray as executors_ray

    looks = iter([frozenset(), frozenset({Listening("1", ip_address("0.0.0.0"), 4321)})])
    monkeypatch.setattr(executors_ray, "listening", lambda: next(looks))
    with pytest.raises(CrossfeedError, match=r"listens on 0\.0\.0\.0:4321.*--executor processes"):
        run(Experiment.from_yaml(TEXT), open_store(tmp_path / "run"), executor=open_executor("ray", workers=1))
    assert not ray.is_initialized()
