"""A tab of the explorer without a browser: what it sends and reads, and nothing drawn."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

PATIENCE = 600.0  # of which a tab that opens beside 49 others needs some


@contextmanager
def explorer(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """The command without a browser: its address and its process number."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crossfeed", "explore", *arguments, "--no-browser"],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert address is not None
        yield address[0], process.pid
    finally:
        process.terminate()
        process.communicate()


class Tab:
    """One tab, opened by `Tab.at`."""

    def __init__(self, socket: WebSocketClientConnection, state: str) -> None:
        self._socket, self._state = socket, state

    @classmethod
    async def at(cls, address: str) -> Tab:
        """Load the page, and what it shows at first."""
        client = AsyncHTTPClient(force_instance=True)
        page = await client.fetch(address, request_timeout=PATIENCE, connect_timeout=PATIENCE)
        client.close()
        token = re.search(r'"token":"([^"]+)"', page.body.decode())
        assert token is not None
        ask = HTTPRequest(address.replace("http", "ws") + "ws", request_timeout=PATIENCE, connect_timeout=PATIENCE)
        socket = await websocket_connect(ask, subprotocols=["bokeh", token[1]])
        tab = cls(socket, "")
        await tab._read()
        await tab._send("PULL-DOC-REQ", {})
        kind = ""
        while kind != "PULL-DOC-REPLY":
            kind, document = await tab._read()
        (tab._state,) = _named(json.loads(document), "state")
        return tab

    async def ask(self, turn: int, moved: Mapping[str, Any]) -> None:
        """Send a request, and wait for nothing."""
        change = {"kind": "ModelChanged", "model": {"id": self._state}, "attr": "asked"}
        await self._send("PATCH-DOC", {"events": [change | {"new": json.dumps({"turn": turn, "moved": moved})}]})

    async def told(self) -> dict[str, Any]:
        """Wait for the next thing that is told: the answer to a request, or news of the map."""
        while True:
            kind, content = await self._read()
            if kind == "PATCH-DOC" and '"attr":"told"' in content:
                (event,) = json.loads(content)["events"]
                told: dict[str, Any] = json.loads(event["new"])
                return told

    async def answered(self, turn: int) -> None:
        """Wait for an answer, without reading more of it than its number."""
        while f'\\"turn\\": {turn},' not in (await self._read())[1]:
            pass

    async def close(self) -> None:
        """Close it, as a reader does."""
        self._socket.close()
        while await self._socket.read_message() is not None:
            pass

    async def _send(self, kind: str, content: Mapping[str, Any]) -> None:
        for part in ({"msgid": os.urandom(8).hex(), "msgtype": kind}, {}, content):
            await self._socket.write_message(json.dumps(part))

    async def _read(self) -> tuple[str, str]:
        header, _, content = [await self._frame() for _ in range(3)]
        known = json.loads(header)
        for _ in range(2 * known.get("num_buffers", 0)):
            await self._frame()
        assert known["msgtype"] != "ERROR", content
        return known["msgtype"], str(content)

    async def _frame(self) -> str | bytes:
        frame = await self._socket.read_message()
        assert frame is not None, "the server has closed the tab"
        return frame


def _named(part: Any, name: str) -> list[str]:
    """Return the ids of models of a name, somewhere in a document."""
    if isinstance(part, list):
        return [found for each in part for found in _named(each, name)]
    if not isinstance(part, dict):
        return []
    attributes = part.get("attributes")
    own = [part["id"]] if isinstance(attributes, dict) and attributes.get("name") == name else []
    return own + [found for each in part.values() for found in _named(each, name)]
