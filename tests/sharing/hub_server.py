"""A hub that takes data sets, on this machine: what its own client calls to make a repository and commit files to it.

Files of text come within the commit; others are uploaded to a store of large files first, and the commit names their
hashes, as the hub has it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

from tests.answering import Answering

TOKEN = "hf_the-token-of-a-test"
LARGE = (".parquet", ".safetensors", ".npy", ".png", ".pdf")


@dataclass
class Repository:
    """A repository: its files and its commits."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return hashlib.sha1(repr(self.commits).encode()).hexdigest()


@dataclass
class Hub:
    """What the hub holds, and what it was asked."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    refuse: set[str] = field(default_factory=set)
    endpoint: str = ""


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve an empty hub."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(Answering, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *rest) -> None:
        self.hub = hub
        super().__init__(*rest)

    def log_message(self, *_) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, verb: str) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"{verb} {path}")
        parts = path.strip("/").split("/")
        if parts[0] == "large":  # with an address of its own, and without a token
            self.hub.large[parts[1]] = body
            self._json({})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid username or password."}, 401)
        elif verb == "POST" and any(path.endswith(each) for each in self.hub.refuse):
            self._json({"error": "You are not allowed to do that"}, 403)
        elif path == "/api/whoami-v2":
            self._json({"name": "me", "type": "user", "orgs": []})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        else:
            self._repository(verb, parts, body)

    def _create(self, asked: dict) -> None:
        assert asked["type"] == "dataset"
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        repository = Repository(private=asked.get("visibility") == "private" or bool(asked.get("private")))
        repository.files[".gitattributes"] = b"*.parquet filter=lfs\n"
        self.hub.repositories[name] = repository
        self._json({"url": f"{self.hub.endpoint}/datasets/{name}", "name": name})

    def _repository(self, verb: str, parts: list[str], body: bytes) -> None:
        rest = parts[2:] if parts[0] == "api" else parts[1:]
        name, rest = "/".join(rest[:2]).removesuffix(".git"), rest[2:]
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif rest[:1] == ["preupload"]:
            files = [_mode(each["path"], repository) for each in json.loads(body)["files"]]
            self._json({"files": files})
        elif rest[:3] == ["info", "lfs", "objects"]:
            self._json({"objects": [self._upload(each) for each in json.loads(body)["objects"]]})
        elif rest[:1] == ["commit"]:
            self._commit(repository, name, body)
        elif rest[:1] == ["resolve"]:
            self._send_file(repository, "/".join(rest[2:]))
        elif rest[:1] == ["tree"]:
            self._json([_entry(path, content) for path, content in sorted(repository.files.items())])
        else:
            files = [{"rfilename": path} for path in sorted(repository.files)]
            about = {"_id": "1", "id": name, "sha": repository.head, "siblings": files, "tags": []}
            self._json(about | {"private": repository.private})

    def _upload(self, asked: dict) -> dict:
        place = {"href": f"{self.hub.endpoint}/large/{asked['oid']}", "header": {}}
        return {"oid": asked["oid"], "size": asked["size"], "actions": {"upload": place}}

    def _commit(self, repository: Repository, name: str, body: bytes) -> None:
        for line in body.decode().splitlines():
            each = json.loads(line)
            value = each["value"]
            if each["key"] == "header":
                repository.commits.append(value["summary"])
            elif each["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "lfsFile":
                content = self.hub.large[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                repository.files[value["path"]] = content
            elif each["key"] == "deletedFile":
                del repository.files[value["path"]]
        url = f"{self.hub.endpoint}/datasets/{name}/commit/{repository.head}"
        self._json({"commitUrl": url, "commitOid": repository.head, "success": True})

    def _send_file(self, repository: Repository, path: str) -> None:
        content = repository.files.get(path)
        if content is None:
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        head = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": repository.head}
        self._send(content, 200, head)


def _mode(path: str, repository: Repository) -> dict:
    large = path.endswith(LARGE)
    mode = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
    content = repository.files.get(path)
    if content is None:
        return mode
    oid = hashlib.sha256(content) if large else hashlib.sha1(b"blob %d\0" % len(content) + content)
    return mode | {"oid": oid.hexdigest()}


def _entry(path: str, content: bytes) -> dict:
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    large = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}}
    return {"type": "file", "path": path, "oid": oid, "size": len(content)} | (large if path.endswith(LARGE) else {})
