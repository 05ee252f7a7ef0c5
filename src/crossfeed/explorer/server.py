"""The Bokeh server that the explorer runs: on this machine's own address, for pages that this machine opened."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.settings import settings
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from crossfeed.display.formatting import shown
from crossfeed.errors import CrossfeedError, InvalidInput

__all__ = ["Site", "serve"]

_HERE: Final = "127.0.0.1"
_FIRST_PRINTABLE: Final = 32
#: Seconds for requests between two slices of other work, and between two looks for such work.
_PAUSE: Final = 0.001
_IDLE: Final = 0.02
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """Content of the server.

    Attributes:
        name: The experiment's name.
        page: Fills the document of a tab that was opened.
        described: The YAML behind what is shown, given what was moved.
        work: Does a slice of what nobody waits for, and says whether there was any; called between requests.
    """

    name: str
    page: Callable[[Document], None]
    described: Callable[[dict[str, Any]], str]
    work: Callable[[], bool] = lambda: False


class _Yaml(RequestHandler):
    """The description behind a view: ``experiment.yaml?moved={...}``."""

    def initialize(self, site: Site) -> None:
        self._site = site

    def get(self) -> None:
        """Answer with YAML, or say in a line what is wrong with the question."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        try:
            text = self._site.described(_settings(self.get_query_argument("moved", "{}")))
        except CrossfeedError as error:
            self.set_status(400)
            self.finish(f"{error}\n")
            return
        self.set_header("Content-Disposition", f'attachment; filename="{self._site.name}.yaml"')
        self.finish(text)


class _Refusal(RequestHandler):
    """The answer to a request that is not for a page of this server, whatever it asks for."""

    def initialize(self, status: int, reason: str) -> None:
        self._status, self._reason = status, reason

    def prepare(self) -> None:
        """Answer before any other handler is chosen by path or verb."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_status(self._status)
        self.finish(f"{self._reason}\n")


class _Guarded(BokehTornado):
    """Bokeh's application for requests that are addressed to this server: pages, scripts, data and websockets.

    A stranger's page can have a browser ask here under a name of its own that leads to this machine; the name that a
    request is addressed to shows it.

    Args:
        site: What is served.
        hosts: The names, each with the port, that requests may be addressed to.
    """

    def __init__(self, site: Site, hosts: list[str]) -> None:
        self._hosts = frozenset(hosts)
        super().__init__(
            {"/": Application(FunctionHandler(site.page))},
            extra_websocket_origins=hosts,
            extra_patterns=[(r"/experiment\.yaml", _Yaml, {"site": site})],
        )

    def find_handler(self, request: HTTPServerRequest, **arguments: Any) -> Any:
        """Return what answers a request; Tornado asks this for each one, before any of it is carried out."""
        if request.host.lower() not in self._hosts:
            return self._refuse(request, 403, "this is only for pages of this machine")
        if any(ord(character) < _FIRST_PRINTABLE for character in unquote(request.path)):
            return self._refuse(request, 400, "no path holds control characters")
        if "bokeh-token" in request.arguments:  # pages give theirs to the websocket alone
            return self._refuse(request, 400, "no page here is asked for with a token")
        return super().find_handler(request, **arguments)

    def _refuse(self, request: HTTPServerRequest, status: int, reason: str) -> Any:
        return self.get_handler_delegate(request, _Refusal, {"status": status, "reason": reason})


def _settings(text: str) -> dict[str, Any]:
    """Return what was moved.

    Raises:
        InvalidInput: It is not settings by name in JSON.
    """
    try:
        moved = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f'moved: give settings by name in JSON, such as {{"alpha": 0.5}} ({error})') from error
    if not isinstance(moved, dict):
        raise InvalidInput(f'moved: give settings by name, such as {{"alpha": 0.5}}; received {shown(moved)}')
    return moved


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
    application = _Guarded(site, hosts)
    http = HTTPServer(application)
    http.add_socket(listening)
    server = BaseServer(IOLoop.current(), application, http)
    server.start()
    try:
        while True:
            await asyncio.sleep(_PAUSE if _worked(site) else _IDLE)
    finally:
        server.stop(wait=False)
        # Messages that are on their way to tabs are cancelled with the loop, and nobody has to hear of each.
        logging.getLogger("tornado.application").disabled = True


def _worked(site: Site) -> bool:
    try:
        return site.work()
    except Exception:
        _LOG.exception("a map could not be computed")
        return True


def _listening(port: int) -> socket.socket:
    try:
        listening = socket.create_server((_HERE, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is taken by another program" if taken else f"cannot be had ({error.strerror})"
        raise CrossfeedError(f"--port {port}: {why}; give another, or leave it out for one that is free") from error
    listening.setblocking(False)
    return listening
