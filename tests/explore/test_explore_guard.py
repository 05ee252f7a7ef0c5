"""The explorer's server as strangers would ask it: by other names, and for what there is not."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest

WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
KINDS = {
    "page": "/",
    "script": "/static/js/bokeh.min.js",
    "loader": "/autoload.js?bokeh-autoload-element=x",
    "metadata": "/metadata",
    "icon": "/favicon.ico",
    "description": "/experiment.yaml",
    "nothing": "/nonsense",
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, "-m", "crossfeed", "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert said is not None
        yield int(said[1])
        process.kill()


def status(port: int, path: str, host: str | None = None, method: str = "GET", **headers: str) -> int:
    """Ask and return the status alone; None as host: the server's own address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": host or f"127.0.0.1:{port}", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse().status
    connection.close()
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_is_addressed_to_another_host_is_refused(port, kind):
    own = status(port, KINDS[kind])
    assert own == (404 if kind == "nothing" else 200)
    for name in (f"localhost:{port}", f"LocalHost:{port}"):
        assert status(port, KINDS[kind], name) == own
    for name in ("wrong.invalid", f"wrong.invalid:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"[::1]:{port}"):
        assert status(port, KINDS[kind], name) == 403, name


def test_a_websocket_needs_a_host_and_an_origin_of_its_own(port):
    here, there = f"127.0.0.1:{port}", f"wrong.invalid:{port}"
    assert status(port, "/ws", here, **WEBSOCKET, Origin=f"http://{here}") == 101
    assert status(port, "/ws", here, **WEBSOCKET, Origin=f"http://{there}") == 403
    assert status(port, "/ws", there, **WEBSOCKET, Origin=f"http://{there}") == 403
    assert status(port, "/ws", there, **WEBSOCKET, Origin=f"http://{here}") == 403
    assert status(port, "/ws", there, **WEBSOCKET) == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_other_verbs_are_refused_too(port, method):
    assert status(port, "/", method=method) == 405
    assert status(port, "/", "wrong.invalid", method=method) == 403


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/nonsense",
            "/%00",
            "/%ff",
            "/static/",
            "/static/%00",
            "/static/js",
            "/static/js/%ff",
            "/static/..%2f..%2fx",
        ),
        *("/static/extensions/x/%00", "/static/js/" + "a" * 5000, "/static/%0a", "/ws", "/autoload.js"),
        *("/?bokeh-token=abc", "/autoload.js?bokeh-token=abc&bokeh-autoload-element=x", "/experiment.yaml?moved=%ff"),
    ],
)
def test_nonsense_is_answered_with_a_status_of_four_hundred(port, path):
    assert 400 <= status(port, path) < 500


MOVED = ["[]", "{", "1", '{"x": 1}', '{"alpha": 1e999}', '{"alpha": NaN}', '{"alpha": ' + "9" * 5000 + "}", "[" * 20000]
MOVED += ['{"entities": 1e300}', '{"dimension": -1}', '{"rank": "x"}', '{"noise": 1e308}', '{"alpha": {"a": 1}}']
MOVED += ['{"entities": 1.5}', '{"history": "x"}', '{"history": ["a"]}', '{"\\ud800": 1}', '{"alpha": "\\ud800"}']
MOVED += ['{"noise": -1}', '{"noise": ' + "9" * 400 + "}", '{"alpha": [0.5]}', '{"rank": 0}', '{"share": 2}']


@pytest.mark.parametrize("moved", MOVED, ids=lambda moved: moved[:20])
def test_numbers_that_no_slider_has_are_answered_with_a_status_of_four_hundred(port, moved):
    assert status(port, f"/experiment.yaml?moved={quote(moved)}") == 400


def test_what_a_slider_has_is_answered(port):
    assert status(port, f"/experiment.yaml?moved={quote(json.dumps({'alpha': 0.25, 'entities': 3}))}") == 200
