"""An S3-compatible server for tests, on the loopback interface: moto's, in a process of its own, started once."""

from __future__ import annotations

import atexit
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from functools import cache

import pytest

BUCKET = "runs"


def new_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place in an object store that this process and those it starts can reach.

    Skips the test where the server or the client is not installed.
    """
    missing = [name for name in ("moto", "flask", "s3fs") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"tests of S3 need {', '.join(missing)}: pip install 'crossfeed[dev]'")
    for name, value in _settings(_server()).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}/run"


def _settings(endpoint: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    return keys | {"AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}


@cache
def _server() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    # Its requests and replies are in step with nothing here: what it says is thrown away.
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | _settings(""),
    )
    atexit.register(process.kill)
    endpoint = f"http://127.0.0.1:{port}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the S3 server ended with code {process.returncode}")
        try:
            opener.open(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return endpoint
    raise RuntimeError("the S3 server did not answer within a minute")
