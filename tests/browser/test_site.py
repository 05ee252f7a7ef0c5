"""The documentation site: it is built without a warning, needs no other machine, and reads well in a browser."""

from __future__ import annotations

import functools
import http.server
import importlib
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest

import crossfeed.errors

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: a warning is an error."""
    for name in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(name, reason=f"no {name}: install the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return folder


@pytest.fixture(scope="module")
def address(site):
    """The site, served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Elements(HTMLParser):
    """A page's elements with their attributes."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_nothing_is_fetched_from_elsewhere_and_figures_have_words(site):
    for page in site.rglob("*.html"):
        for tag, has in Elements(page).found:
            if tag in {"script", "img", "iframe"} or (tag == "link" and has.get("rel") != "canonical"):
                assert not re.match(r"(https?:)?//", has.get("src") or has.get("href") or ""), (page, tag, has)
            if tag == "img":
                assert has.get("alt") or "twemoji" in (has.get("class") or ""), (page, has)


def test_every_page_begins_with_a_title_and_a_sentence(site):
    for page in (ROOT / "docs").rglob("*.md"):
        text = re.sub(r"\A---\n.*?\n---\n", "", page.read_text(encoding="utf-8"), flags=re.S).strip()
        title, _, rest = text.partition("\n\n")
        assert re.fullmatch(r"# .+", title), page
        assert re.match(r"(?!```)[\w*`\[]", rest), f"{page} begins with {rest[:40]!r}"


def test_what_is_generated_is_all_there(site):
    from crossfeed.description.experiment import Experiment
    from crossfeed.description.reading import preset_names
    from crossfeed.description.registry import _FILTERS, _LEARNERS, _METRICS, _TASKS

    named = {
        "learners": _LEARNERS,
        "tasks": _TASKS,
        "metrics": _METRICS,
        "filters": _FILTERS,
        "presets": preset_names(),
    }
    for page, names in named.items():
        headings = {has["id"] for tag, has in Elements(site / "reference" / f"{page}.html").found if tag == "h2"}
        assert headings == {name.replace(".", "") for name in names}
    text = (site / "reference" / "experiment.html").read_text(encoding="utf-8")
    for key in [*Experiment.model_fields, "initial_beta", "fresh_fraction", "curation", "share"]:
        assert f"<dt><code>{key}</code></dt>" in text
    commands = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    for words in ("crossfeed run", "crossfeed plan", "--retry-failed", "--objective", "130"):
        assert words in commands
    assert not re.findall(r"\\g<|&lt;class|PydanticUndefined", text + commands)


def test_all_that_is_public_is_there(site):
    pages = {page: Elements(site / "reference" / f"{page}.html").found for page in ("python", "theory", "protocols")}
    there = {has["id"] for found in pages.values() for _, has in found if has.get("id")}
    for name in ("", ".figures", ".theory", ".protocols", ".testing", ".paper"):
        module = importlib.import_module(f"crossfeed{name}")
        missing = {each for each in module.__all__ if f"crossfeed{name}.{each}" not in there}
        assert missing <= {"CrossfeedError"}, name  # which stands with the other errors
    errors = {each for each, value in vars(crossfeed.errors).items() if isinstance(value, type)}
    assert {f"crossfeed.errors.{each}" for each in errors} <= there


PAGES = ["index", "tutorial", "theory", "explanation/derivations", "reference/learners"]


@pytest.mark.parametrize(("width", "scheme", "named"), [(380, "dark", "slate"), (1600, "light", "default")])
def test_pages_fit_the_window(address, open_page, width, scheme, named):
    page = open_page(f"{address}/index.html", width, scheme)
    for name in PAGES:
        page.goto(f"{address}/{name}.html")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, name
        images = page.eval_on_selector_all("main img", "all => all.map(each => [each.src, each.naturalWidth])")
        assert all(loaded > 0 for _, loaded in images), images
        assert page.evaluate("document.body.dataset.mdColorScheme") == named


def test_formulas_are_drawn(address, open_page):
    page = open_page(f"{address}/explanation/derivations.html")
    sizes = page.eval_on_selector_all(
        "main math", "all => all.map(each => [each.getBoundingClientRect().width, each.getBoundingClientRect().height])"
    )
    assert len(sizes) > 80
    assert all(width > 3 and height > 5 for width, height in sizes)
    # A fraction and a sum are higher than a letter: they are laid out, not written in a row.
    sum_height = page.eval_on_selector(".formula math:has(munder)", "each => each.getBoundingClientRect().height")
    assert sum_height > 1.8 * min(height for _, height in sizes)
    text = page.inner_text("main")
    assert not re.search(r"\\\(|\\\[|\$\$|\\(?:theta|alpha|tilde)", text)


def test_search_finds_a_page(address, open_page):
    page = open_page(f"{address}/index.html")
    # Key by key, as a person does: once its index is there, the search listens to keys alone, and a text that is put
    # in at once is seen only if it comes before.
    page.locator("input.md-search__input").press_sequentially("homogenisation")
    result = page.locator("a.md-search-result__link").first
    result.wait_for()
    assert "metrics" in " ".join(page.eval_on_selector_all("a.md-search-result__link", "all => all.map(a => a.href)"))
    result.click()
    page.wait_for_url(re.compile(r"(metrics|the-paper|limits)\.html"))


def test_light_and_dark_can_be_chosen(address, open_page):
    page = open_page(f"{address}/index.html", scheme="light")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("label[title=Dark]").click()
    page.wait_for_function("document.body.dataset.mdColorScheme === 'slate'")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_pages_read_without_scripts(address, open_page):
    page = open_page(f"{address}/explanation/derivations.html", 380, scripts=False)
    assert page.locator("h1").inner_text().startswith("Derivations")
    assert page.locator("main math").first.is_visible()
