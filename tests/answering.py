"""A request handler that answers with bytes or JSON, for servers that stand in for a hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler


class Answering(BaseHTTPRequestHandler):
    """Sends whole answers; to HEAD the same without the content."""

    def _json(self, value: object, status: int = 200, head: Mapping[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(head or {})})

    def _send(self, content: bytes, status: int, head: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
