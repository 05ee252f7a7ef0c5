"""Debian's Chromium, driven through playwright: what a page shows, asks for and complains about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

HERE = {"127.0.0.1", "localhost", "[::1]"}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; tests that need one are skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: install the extra dev")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        # Without a sandbox: in containers the user is root, and the pages are our own.
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """``open_page(url, width=1600, scheme="light")``: a page that may neither complain nor reach beyond this machine.

    Both are asserted when the test ends, over everything that the page did until then.
    """
    complaints: list[str] = []
    beyond: list[str] = []

    def watch(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in {h.strip("[]") for h in HERE}:
            beyond.append(request.url)

    with ExitStack() as stack:

        def opened(
            url: str, width: int = 1600, scheme: Literal["light", "dark"] = "light", *, scripts: bool = True
        ) -> Any:
            context = stack.enter_context(
                browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
                )
            )
            page = context.new_page()
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", watch)
            page.on("websocket", watch)
            page.goto(url)
            return page

        yield opened
    assert complaints == []
    assert beyond == []
