"""A hub of data sets on this machine: enough of the Hugging Face Hub's protocol for its own clients to read folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

from tests.answering import Answering

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(repositories: Mapping[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as repositories; gives the endpoint and the list of paths that were asked for."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, repositories, asked))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(Answering, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, repositories: Mapping[str, Path], asked: list[str], *rest) -> None:
        self.repositories, self.asked = repositories, asked
        super().__init__(*rest)

    def log_message(self, *_) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "datasets"] and "/".join(parts[2:4]) in self.repositories:
            self._describe("/".join(parts[2:4]), parts[4:])
        elif parts[0] == "datasets" and parts[3:4] == ["resolve"]:
            self._send_file(self.repositories["/".join(parts[1:3])].joinpath(*parts[5:]))
        else:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        root = self.repositories["/".join(path.strip("/").split("/")[2:4])]
        self._json([_entry(root, root / name) for name in body["paths"] if (root / name).exists()])

    def _describe(self, repository: str, rest: list[str]) -> None:
        root = self.repositories[repository]
        every = sorted(root.rglob("*"))
        if rest[:1] == ["tree"]:
            below = root.joinpath(*rest[2:])
            if not below.exists():
                self._json({"error": "not there"}, 404, {"X-Error-Code": "EntryNotFound"})
                return
            self._json([_entry(root, each) for each in every if below in each.parents])
            return
        files = [{"rfilename": str(each.relative_to(root))} for each in every if each.is_file()]
        self._json({"_id": "1", "id": repository, "sha": COMMIT, "siblings": files, "tags": [], "private": False})

    def _send_file(self, file: Path) -> None:
        if not file.is_file():
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        content = file.read_bytes()
        head = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        span = self.headers.get("Range")
        if span:
            first, _, last = span.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(content)
            head["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            self._send(content[int(first) : end], 206, head)
        else:
            self._send(content, 200, head)


def _entry(root: Path, path: Path) -> dict[str, object]:
    name = str(path.relative_to(root))
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    oid = hashlib.sha1(path.read_bytes()).hexdigest()
    return {"type": "file", "path": name, "oid": oid, "size": path.stat().st_size}
