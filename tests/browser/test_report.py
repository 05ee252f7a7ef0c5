"""Reports in a real browser: the library's numbers at phone and desktop width, light and dark, without scripts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from crossfeed.loop import run
from crossfeed.reporting.data.exact import theory_of
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import ChangeTable
from crossfeed.reporting.data.numbers import change
from crossfeed.reporting.html import write_report, write_side_by_side
from crossfeed.reporting.page.findings import findings
from crossfeed.reporting.side_by_side.runs import lay_side_by_side
from crossfeed.store import open_store
from tests.figures import save_empty

FAKE = (
    "generations=2",
    "n=40",
    "tasks.warm.test=4",
    "tasks.cold.test=4",
    "public.test=4",
    "seeds=[0, 1]",
    "grid={ecosystem.alpha: [0.5, 1]}",
)
LINEAR = (
    "grid={ecosystem.alpha: [0, 0.5], ecosystem.beta: [0.2, 0.8]}",
    "generations=2",
    "metrics={loss: {}}",
    *(f"{task}.{field}" for task in ("tasks.a", "tasks.b", "public") for field in ("dimension=5", "replicates=50")),
    *("tasks.a.rank=2", "tasks.b.rank=2", "public.rank=5"),
)
NINE = "grid={ecosystem.beta: [0.25, 0.5, 0.75], ecosystem.alpha: [0, 0.5, 1]}"
PAPER = 718  # CSS pixels between the margins of A4
SIZES = [(width, scheme) for width in (380, 1600) for scheme in ("light", "dark")]

Opened = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    """Small runs: two of one experiment at two betas, one of other models, one of linear models, one of a grid."""
    folder = tmp_path_factory.mktemp("runs")
    three = "ecosystem.entities=[{name: warm, private: warm}, {name: cold, private: cold}, {name: wild, private: wild}]"
    wanted = {
        "small": ("fake", FAKE),
        "other": ("fake", (*FAKE, "ecosystem.beta=0.9")),
        "three": ("fake", (*FAKE, three, "tasks.wild={source: fake, words: [fox], test: 4}", "metrics={loss: {}}")),
        "linear": ("fine-grid", LINEAR),
        "grid": ("fake", (*FAKE, "metrics={loss: {}}", NINE)),
    }
    for name, (preset, changes) in wanted.items():
        run(Experiment.from_yaml(read_description(preset), changes), open_store(folder / name))
    return {name: Run.load(folder / name) for name in wanted}


@pytest.fixture(scope="module")
def pages(runs, tmp_path_factory) -> dict[str, Path]:
    """The pages, each written once; what they show are vectors."""
    folder = tmp_path_factory.mktemp("pages")
    compared = [runs[name] for name in ("small", "other", "three")]
    with pytest.MonkeyPatch.context() as patch:
        save_empty(patch, "png", "pdf")
        return {
            "small": write_report(runs["small"], folder / "small"),
            "linear": write_report(runs["linear"], folder / "linear"),
            "grid": write_report(runs["grid"], folder / "grid"),
            "compared": write_side_by_side(compared, folder / "compared"),
        }


@pytest.fixture(scope="module")
def table(runs) -> dict[str, ChangeTable]:
    """The losses that each page shows."""
    compared = lay_side_by_side([runs[name] for name in ("small", "other", "three")])
    found = {name: runs[name].change_table("loss", greek=True) for name in ("small", "linear")}
    loss = next(measure for measure in compared.measures if measure.metric == "loss")
    return found | {"compared": compared.table(loss)}


@pytest.mark.parametrize(("width", "scheme"), SIZES)
@pytest.mark.parametrize("name", ["small", "linear", "compared"])
def test_a_page_is_read_at_any_width_and_scheme_without_scripts(pages, table, open_page, name, width, scheme):
    page = open_page(pages[name].as_uri(), width, scheme)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert_pictures_are_shown(page)
    assert_table_is(page, table[name])
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ground, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (brightness(ground) > brightness(ink)) == (scheme == "light")


@pytest.mark.parametrize("name", ["grid", "compared"])
def test_tables_fit_onto_paper(pages, runs, open_page, name):
    page = open_page(pages[name].as_uri(), PAPER, "light")
    page.emulate_media(media="print")
    edges = page.eval_on_selector_all(
        "table:not(.side)", "all => all.map(each => each.getBoundingClientRect().right - innerWidth)"
    )
    assert len(edges) > 1
    assert max(edges) <= 0
    if name == "grid":
        heads = page.eval_on_selector_all("#loss thead th[scope=col]", "all => all.map(each => each.innerText)")
        assert len(heads) == 9


def assert_pictures_are_shown(page: Any) -> None:
    """Every picture has a text, is there, and fits."""
    images = page.eval_on_selector_all(
        "img",
        "all => all.map(each => [each.alt, each.complete, each.naturalWidth, each.getBoundingClientRect().right])",
    )
    assert len(images) >= 3
    for alt, complete, natural, right in images:
        assert len(alt) > 20
        assert complete
        assert natural > 0
        assert right <= page.evaluate("innerWidth")


def assert_table_is(page: Any, table: ChangeTable) -> None:
    """The first table's cells are the library's entries, and each stands under its head and beside its row."""
    cells = page.eval_on_selector_all(
        "#loss table.changes:first-of-type tbody tr:not(.kind)",
        "rows => rows.map(row => [...row.children].map(cell => cell.innerText.replace(/\\s+/g, ' ').trim()))",
    )[: len(table.rows)]
    assert [row[0] for row in cells] == [row.label for row in table.rows]
    for shown, row in zip(cells, table.rows, strict=True):
        for text, point in zip(shown[1:], table.columns.points, strict=True):
            entry = row.entries.get(point)
            if entry is None:
                assert text == "–"
            else:
                assert text.startswith(f"{entry.initial} → {entry.final}")
                assert entry.mark in text
                assert entry.change in text
    scopes = page.eval_on_selector_all("th", "all => all.map(each => each.scope)")
    assert set(scopes) <= {"row", "col", "rowgroup", "colgroup"}


def brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


@pytest.mark.parametrize("name", ["small", "compared"])
def test_without_scripts_a_page_is_the_same(pages, open_page, name):
    texts = [open_page(pages[name].as_uri(), scripts=on).locator("main").inner_text() for on in (True, False)]
    assert texts[0] == texts[1]
    assert len(texts[0]) > 2000


def test_the_summary_says_what_the_records_say(runs, pages, open_page):
    page = open_page(pages["small"].as_uri())
    said = dict(zip(*(page.locator(f"#summary dl {tag}").all_inner_texts() for tag in ("dt", "dd")), strict=True))
    assert said == dict(findings(runs["small"]))
    row = change(runs["small"].records, "loss").query("point == 1 and model == 'cold' and task == 'warm'").iloc[0]
    word = "gained" if row["percent"] < 0 else "lost"
    assert f"{word} {abs(row['percent']):.1f} ± {row['percent_se']:.1f}\u00a0% on warm" in said["cold"]


def test_exact_theory_stands_beside_the_measured_losses(runs, pages, open_page):
    page = open_page(pages["linear"].as_uri())
    rows = page.eval_on_selector_all(
        "#gains table.sheet tbody tr", "all => all.map(row => [...row.children].map(cell => cell.innerText))"
    )
    both = theory_of(runs["linear"]).exact.beside
    assert len(rows) == len(both) == 24
    for (label, measured, exact, error, _), row in zip(rows, both.to_dict("records"), strict=True):
        assert label.startswith(f"{row['model']} on {row['task']}, α")
        shown = [float(measured), float(exact), float(error)]
        assert shown == pytest.approx([row["final"], row["exact_final"], row["exact_se"]], rel=0.05, abs=0.006)
    assert "lowest at α" in page.locator("#landscape dd").first.inner_text()


def test_what_runs_differ_in_is_told(runs, pages, open_page):
    page = open_page(pages["compared"].as_uri(), 380)
    fields = page.locator("#differences table.sheet tbody th").all_inner_texts()
    compared = lay_side_by_side([runs[name] for name in ("small", "other", "three")])
    assert fields == compared.differences()["field"].tolist()
    assert "ecosystem.beta" in fields
    assert page.locator("h1").inner_text() == "3 runs side by side"


def test_regions_that_scroll_are_reached_by_keyboard(pages, open_page):
    page = open_page(pages["compared"].as_uri(), 380)
    wide = page.eval_on_selector_all(
        ".scroll", "all => all.map(each => [each.scrollWidth > each.clientWidth, each.tabIndex, each.ariaLabel])"
    )
    assert any(scrolls for scrolls, _, _ in wide)
    assert all(index == 0 and label for _, index, label in wide)
    region = page.locator(".scroll", has=page.locator("table.changes")).first
    region.focus()
    page.keyboard.press("ArrowRight")
    wait_until(page, "document.activeElement.scrollLeft > 0")
    page.keyboard.press("Tab")  # from here on focus is the keyboard's, and seen
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"


def wait_until(page: Any, condition: str) -> None:
    """As `wait_for_function`, which would put a script into the page, and its policy refuses scripts."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def test_contents_lead_to_their_sections(pages, open_page):
    page = open_page(pages["small"].as_uri(), 380)
    page.locator("nav a", has_text="Realised mixture").click()
    wait_until(page, "Math.abs(document.querySelector('#mixture').getBoundingClientRect().top) < 60")


@pytest.mark.parametrize("name", ["small", "compared"])
def test_a_page_prints(pages, open_page, name):
    page = open_page(pages[name].as_uri(), 1600, "dark")
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") + printed.count(b"/Type/Page/") >= 3
    page.emulate_media(media="print")
    assert brightness(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 600  # on paper it is light
    assert not page.locator("nav").is_visible()
