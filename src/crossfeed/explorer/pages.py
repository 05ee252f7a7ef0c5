"""Common parts of the explorer's pages: document, template, and the messages exchanged with the browser."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from bokeh.core.properties import String
from bokeh.document import Document
from bokeh.model import DataModel
from bokeh.models import CustomJS, Model
from bokeh.server.contexts import BokehSessionContext
from jinja2 import Environment, PackageLoader
from markupsafe import escape

from crossfeed.display.formatting import plain

__all__ = ["Conversation", "dress", "escaped", "html", "opened"]

_DASHES: Final = {"solid": "", "dashed": "7 3", "dotted": "2 3", "dotdash": "2 3 7 3", "dashdot": "7 3 2 3"}
_MARKS: Final = {
    "circle": "M19 7a3 3 0 1 0-6 0a3 3 0 1 0 6 0",
    "square": "M13 4h6v6h-6z",
    "triangle": "M16 3l4 7h-8z",
    "diamond": "M16 2l4 5-4 5-4-5z",
    "inverted_triangle": "M16 11l4-7h-8z",
    "plus": "M16 3v8M12 7h8",
    "": "",
}


class State(DataModel):
    """Messages to and from the browser, both as JSON (`page.js`).

    Attributes:
        asked: The browser's request: ``turn``, its number, and ``moved``, the changed settings by name.
        told: The reply: ``turn``, the number of the request that it answers, and the contents to show.
    """

    asked = String(default="{}")
    told = String(default='{"turn": 0}')


class Conversation:
    """The words exchanged with one tab of a browser.

    A request is answered after all that has arrived was read, so of a tab's requests that wait only the newest is.

    Args:
        document: The tab's document.
        answer: Called with what the reader changed whenever they change something.

    Attributes:
        active: When the reader asked or was answered last, by the monotonic clock.
    """

    def __init__(self, document: Document, answer: Callable[[dict[str, Any]], None]) -> None:
        self.state = State(name="state")
        self._document, self._answer = document, answer
        self._newest: tuple[int, dict[str, Any]] | None = None
        self.active = -math.inf
        self._told: dict[str, Any] = {"turn": 0, "html": {}}
        self.state.on_change("asked", self._asked)

    def tell(self, *, html: Mapping[str, str] | None = None, **other: Any) -> None:
        """Show something, in addition to all that is shown already.

        Args:
            html: What elements hold, by their ids.
            **other: What `page.js` knows by name.
        """
        self._told = self._told | other | {"html": self._told["html"] | dict(html or {})}
        self.state.update(told=json.dumps(self._told))

    def _asked(self, attr: str, old: str, new: str) -> None:
        self.active = time.monotonic()
        asked, waiting = json.loads(new), self._newest is not None
        self._newest = asked["turn"], asked["moved"]
        if not waiting:
            self._document.add_next_tick_callback(self._answer_newest)

    def _answer_newest(self) -> None:
        assert self._newest is not None  # noqa: S101 - for the type checker; set before this is called
        (self._told["turn"], moved), self._newest = self._newest, None
        try:
            self._answer(moved)
        except Exception:
            self.tell(html={"error": "This could not be computed; the terminal says why."})
            raise
        finally:
            self.active = time.monotonic()


def dress(
    document: Document, conversation: Conversation, figures: list[Model], template: str, **variables: Any
) -> None:
    """Make a document a page.

    Args:
        document: The document of one tab.
        conversation: Its words.
        figures: Its roots, which the template places by their names.
        template: The template's file.
        **variables: What it fills in.
    """
    figures[0].tags = [conversation.state]
    for figure in figures:
        document.add_root(figure)
    document.title = f"{variables['name']} · crossfeed explore"
    document.template = _templates().get_template(template)
    document.template_variables.update(variables, css=_text("page.css"))
    begin = CustomJS(args={"state": conversation.state}, code=_text("page.js"))
    document.js_on_event("document_ready", begin)
    document.config.notify_connection_status = False  # the page says it in its own words
    gone = "document.getElementById('gone').textContent = '{}'"
    ended = "crossfeed explore has ended, or cannot be reached; start it again, and reload."
    document.js_on_event("connection_lost", CustomJS(code=gone.format(ended)))
    document.js_on_event("client_reconnected", CustomJS(code=gone.format("")))


def opened(document: Document) -> bool:
    """Return True if a document's tab is open: connected, and not closed.

    Args:
        document: The document of one tab.
    """
    context = document.session_context
    return (
        isinstance(context, BokehSessionContext)
        and context.session is not None
        and context.session.connection_count > 0
    )


def escaped(said: Mapping[str, str]) -> dict[str, str]:
    """Return sentences as HTML, by the ids of the elements that hold them.

    Args:
        said: Plain sentences by element id.
    """
    return {name: str(escape(plain(text))) for name, text in said.items()}


def html(template: str, **variables: Any) -> str:
    """Return a piece of a page; what is filled in is escaped.

    Args:
        template: The template's file.
        **variables: Values that it shows.
    """
    return _templates().get_template(template).render(**variables)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("crossfeed.explorer", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(dashes=_DASHES, marks=_MARKS)
    return environment


def _text(name: str) -> str:
    return (resources.files("crossfeed.explorer") / name).read_text(encoding="utf-8")
