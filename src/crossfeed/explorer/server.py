"""The Bokeh server that the explorer runs: on this machine's own address, for pages that this machine opened."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.settings import settings
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from crossfeed.errors import CrossfeedError, InvalidInput

__all__ = ["Site", "serve"]

_HERE: Final = "127.0.0.1"


@dataclass(frozen=True)
class Site:
    """Content of the server.

    Attributes:
        name: The experiment's name.
        page: Fills the document of a tab that was opened.
        described: The YAML behind what is shown, given what was moved.
    """

    name: str
    page: Callable[[Document], None]
    described: Callable[[dict[str, Any]], str]


class _Yaml(RequestHandler):
    """The description behind a view: ``experiment.yaml?moved={...}``."""

    def initialize(self, site: Site, hosts: list[str]) -> None:
        self._site, self._hosts = site, hosts

    def get(self) -> None:
        """Answer with YAML, or say in a line what is wrong with the question."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        if self.request.host not in self._hosts:  # a stranger's page that calls itself by a name that leads here
            self.set_status(403)
            self.finish("this is only for pages of this machine\n")
            return
        try:
            moved = json.loads(self.get_query_argument("moved", "{}"))
            if not isinstance(moved, dict):
                raise InvalidInput(f'moved: give settings by name, such as {{"alpha": 0.5}}; received {moved!r}')
            text = self._site.described(moved)
        except (CrossfeedError, json.JSONDecodeError) as error:
            self.set_status(400)
            self.finish(f"{error}\n")
            return
        self.set_header("Content-Disposition", f'attachment; filename="{self._site.name}.yaml"')
        self.finish(text)


def serve(site: Site, *, port: int, browser: bool, say: Callable[[str], None]) -> None:
    """Serve a site until Ctrl-C.

    Args:
        site: What to serve.
        port: Where; 0: any port that is free.
        browser: Whether to open the user's browser.
        say: Where the address is told.

    Raises:
        CrossfeedError: The port cannot be had.
    """
    listening = _listening(port)
    port = listening.getsockname()[1]
    hosts = [f"{_HERE}:{port}", f"localhost:{port}"]
    # Whatever the environment says: scripts from here, questions from here.
    settings.resources.set_value("server")
    settings.allowed_ws_origin.set_value(hosts)
    say(f"http://{_HERE}:{port}/")
    if browser:  # some browsers do not return before they are closed
        threading.Thread(target=webbrowser.open, args=(f"http://{_HERE}:{port}/",), daemon=True).start()
    with suppress(KeyboardInterrupt):
        asyncio.run(_answer(site, listening, hosts))


async def _answer(site: Site, listening: socket.socket, hosts: list[str]) -> None:
    """Answer questions until cancelled; the socket takes them from the beginning."""
    application = BokehTornado(
        {"/": Application(FunctionHandler(site.page))},
        extra_websocket_origins=hosts,
        extra_patterns=[(r"/experiment\.yaml", _Yaml, {"site": site, "hosts": hosts})],
    )
    http = HTTPServer(application)
    http.add_socket(listening)
    server = BaseServer(IOLoop.current(), application, http)
    server.start()
    try:
        await asyncio.Event().wait()
    finally:
        server.stop(wait=False)


def _listening(port: int) -> socket.socket:
    try:
        listening = socket.create_server((_HERE, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is taken by another program" if taken else f"cannot be had ({error.strerror})"
        raise CrossfeedError(f"--port {port}: {why}; give another, or leave it out for one that is free") from error
    listening.setblocking(False)
    return listening
