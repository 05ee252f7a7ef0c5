"""The doctor: what it finds, what it calls broken, and that nothing upsets it."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from crossfeed import doctor
from crossfeed.doctor import Device, diagnose, hardware, packages, places
from crossfeed.doctor import speed as estimate
from crossfeed.reporting.terminal.diagnosis import render_diagnosis

from .faults.cli import crossfeed_cli

CPU = Device(kind="cpu", name="cpu (x)", precision="fp32", threads=2, torch="2.13.0", step=estimate._STEP)


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    """Torch is not tried in every test: that takes seconds. Nor is the hub, which reads its environment only once."""
    monkeypatch.setattr(doctor, "device", lambda: CPU)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_healthy_machine(tmp_path):
    answer = crossfeed_cli("doctor")
    assert answer.code == 0, answer.err
    assert f"crossfeed {metadata.version('crossfeed')}" in " ".join(answer.out.split())
    assert "HF_HUB_OFFLINE is set" in answer.out
    assert "Nothing is broken." in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_as_json_it_is_one_document(tmp_path):
    (tmp_path / "sciq").mkdir()
    pq.write_table(pa.table({"question": ["a", "b"], "answer": ["c", "d"]}), tmp_path / "sciq" / "train.parquet")
    (tmp_path / "sciq" / "test.jsonl").write_text('{"question": "a"}\n{"question": "b"}\n{"question": "c"}\n')
    answer = crossfeed_cli("doctor", "--json", "--data-root", str(tmp_path))
    found = json.loads(answer.out)
    assert answer.code == 0
    assert [(file["split"], file["rows"], file["columns"]) for file in found["data"]] == [
        ("test", 3, ["question"]),
        ("train", 2, ["question", "answer"]),
    ]
    assert found["packages"]["numpy"] == metadata.version("numpy")
    assert found["problems"] == []
    assert found["hub"]["reachable"] is None
    assert found["machine"]["usable_cores"] <= found["machine"]["cores"]


def test_what_is_broken_is_named_with_what_to_do(tmp_path, monkeypatch):
    data, file = tmp_path / "data", tmp_path / "file"
    (data / "sciq").mkdir(parents=True)
    (data / "sciq" / "train.parquet").write_bytes(b"PAR1 and nothing")
    file.write_text("not a folder")
    monkeypatch.setenv("CROSSFEED_CACHE", str(file / "cache"))
    broken = Device(problem="torch cannot be used: ImportError: libcudart.so.13")
    monkeypatch.setattr(doctor, "device", lambda: broken)
    answer = crossfeed_cli("doctor", "--data-root", str(data))
    said = " ".join(answer.out.split())
    assert answer.code == 1
    assert "BROKEN: torch cannot be used: ImportError: libcudart.so.13; install it again" in said
    unbroken = said.replace(" ", "")  # a long path may have been broken at a hyphen
    assert re.search(r"BROKEN:\S+/cachecannotbewritten\(Notadirectory\);nameanother\S+CROSSFEED_CACHE", unbroken)
    assert "BROKEN: sciq/train:" in said
    assert "takes not known" in said
    assert crossfeed_cli("doctor", "--data-root", str(data / "none")).code == 2


def test_without_torch_nothing_is_broken_and_the_extra_is_named(monkeypatch):
    known = metadata.version

    def version(name):
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "rich" else known(name)

    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    monkeypatch.setattr(packages.metadata, "version", version)
    found = diagnose()
    lm = next(extra for extra in found.extras if extra.name == "lm")
    assert any(lack.startswith("torch") for lack in lm.missing)
    assert "missing: torch" in found.quickstart.how
    assert found.quickstart.seconds is None
    assert found.device == Device()
    (problem,) = found.problems
    assert problem.startswith("rich>=13.7 (there is 0.1) is missing")


def test_every_extra_that_a_run_may_need_is_known():
    """So that a new one is not forgotten; these are for people who work on crossfeed itself."""
    extras = set(metadata.metadata("crossfeed").get_all("Provides-Extra"))
    assert extras - packages.FOR.keys() <= {"all", "bench", "dev", "docs"}
    names = {extra.name for extra in packages.extras()}
    assert names == {"", *(extras & packages.FOR.keys())}


class Answers(BaseHTTPRequestHandler):
    """Says that nothing is there, as the hub says of its first page to some."""

    def do_HEAD(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


def test_the_hub_is_asked_and_never_waited_for(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(places, "_PATIENCE", 0.3)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.handle_request, daemon=True).start()
    with server, socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = {}
        for name, port in (
            ("answers", server.server_port),
            ("silent", silent.getsockname()[1]),
            ("closed", closed.getsockname()[1]),
        ):
            monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
            found[name] = places.hub()
    assert found["answers"].reachable is True
    assert found["silent"].reachable is False
    assert found["closed"].reachable is False
    assert "refused" in found["closed"].why.lower()


def test_a_container_is_given_what_its_groups_allow(monkeypatch, tmp_path):
    def groups(controller):
        return iter([tmp_path / "inner", tmp_path])

    for folder, quota, memory in ((tmp_path / "inner", "max 100000", "max"), (tmp_path, "150000 100000", str(2**20))):
        folder.mkdir(exist_ok=True)
        (folder / "cpu.max").write_text(quota)
        (folder / "memory.max").write_text(memory)
        (folder / "memory.current").write_text(str(2**18))
    monkeypatch.setattr(hardware, "_groups", groups)
    here = hardware.machine()
    assert here.cpu_quota == 1.5
    assert (here.memory, here.memory_free) == (2**20, 2**20 - 2**18)
    assert here.workers == min(1.5, here.usable_cores)


@pytest.mark.parametrize(("cores", "slower", "seconds"), [(2, 1, 112), (1, 1, 190), (2, 3, 336), (0.5, 1, 380)])
def test_the_estimate_is_the_measured_run_scaled(cores, slower, seconds):
    found = estimate.quickstart(Device(kind="cpu", step=slower * estimate._STEP), cores, ())
    assert found.seconds == pytest.approx(seconds)
    assert "112 s on two cores" in found.how


def test_what_is_scaled_is_what_the_benchmarks_say():
    page = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text()
    assert f"{estimate._WALL:.0f} s, {estimate._PROCESSOR:.0f} s of processor time" in page


def test_more_workers_than_cells_do_not_help():
    times = [estimate.quickstart(CPU, cores, ()).seconds for cores in (1, 2, 3, 64)]
    assert times[0] > times[1] > times[2] == times[3]


def test_torch_is_tried_in_a_process_of_its_own(monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="needs the extra 'lm'")
    from crossfeed.learners.neural.compiled.library import compiler, library

    found = estimate.device()
    assert found.problem == ""
    assert found.kind in ("cpu", "cuda", "mps")
    assert found.step > 0
    assert found.compiler == ("" if library() is None else " ".join(compiler()))
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch is\\nnot what it was')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert estimate.device().problem == "torch cannot be used: not what it was"
    (tmp_path / "torch.py").write_text("import os; os.kill(os.getpid(), 4)")
    assert estimate.device().problem == "torch cannot be used: ended with signal 4"
    (tmp_path / "torch.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(estimate, "_PATIENCE", 0.5)
    assert "not ready in 0.5 s" in estimate.device().problem


def test_names_from_elsewhere_move_no_cursor(tmp_path):
    (tmp_path / "\x1b[2Jset").mkdir()
    (tmp_path / "\x1b[2Jset" / "[red]train.parquet").write_bytes(b"")
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - nobody reads it
    render_diagnosis(diagnose(tmp_path), console)
    text = console.export_text()
    console.file.close()
    assert "\x1b" not in text
    assert "[red]train" in text
