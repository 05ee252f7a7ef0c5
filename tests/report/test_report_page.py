"""The report as a whole: what the page holds, and that nothing in a run can make it do anything."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.figures import save_empty

from crossfeed.display.formatting import clip, plain, safe_cell, shorten
from crossfeed.errors import StoreError
from crossfeed.reporting.data.exact import theory_of
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.numbers import OTHERS, OWN, by_others, mixture
from crossfeed.reporting.files import to_csv
from crossfeed.reporting.html import write_report, write_side_by_side
from crossfeed.reporting.page.blocks import Words
from crossfeed.reporting.page.measured import measured
from crossfeed.reporting.page.samples import points_left_out, samples
from crossfeed.reporting.page.sections import sections
from crossfeed.reporting.page.sheets import sheets

ATTACK = (
    "<script>alert(1)</script></style><style>*{display:none}</style><img src=x onerror=alert(2)>"
    "<a href='javascript:alert(3)'>x</a>{{ 7*7 }}&lt;b&gt;\x1b[2J\x00\x07\u202eevil\u2066\u200b\ud7ff\ufffe"
)
VOID = {"meta", "img", "source", "br"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "p", "h1", "h2", "h3", "nav", "a", "main", "section"),
    *("dl", "div", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "figure", "picture"),
    *("source", "img", "figcaption", "article", "pre", "bdi", "footer"),
}


class Page(HTMLParser):
    """Everything a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Callable[[Run], Path]:
    """Write a run's report once; gives its folder."""
    made: dict[Path, Path] = {}

    def report(run: Run) -> Path:
        if run.folder not in made:
            made[run.folder] = write_report(run, tmp_path_factory.mktemp("report") / "new" / "place").parent
        return made[run.folder]

    return report


def page_of(folder: Path) -> Page:
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    check_passive(page, text)
    return page


def check_passive(page: Page, text: str) -> None:
    """No script, nothing fetched, nothing that acts; every picture has a text."""
    assert {tag for tag, _ in page.tags} <= TAGS
    assert not [c for c in text if (ord(c) < 32 and c not in "\n\t") or ord(c) in range(0x202A, 0x202F)]
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert tag == "meta" or "http-equiv" not in attributes
    for attributes in page.all("a"):
        assert attributes["href"].startswith(("#", "figures/", "tables/"))
    assert len(page.all("style")) == 1
    css = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in css
    assert "@import" not in css
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert base64.b64encode(hashlib.sha256(css.encode()).digest()).decode() in policy
    for attributes in page.all("img"):
        assert len(attributes["alt"]) > 20
        check_picture(attributes["src"])
    for attributes in page.all("source"):
        check_picture(attributes["srcset"])


def check_picture(address: str) -> None:
    head, _, body = address.partition(",")
    assert head == "data:image/svg+xml;base64"
    for node in ElementTree.fromstring(base64.b64decode(body)).iter():
        assert node.tag.split("}")[-1] not in {"script", "foreignObject", "a", "animate", "set"}
        for name, value in node.attrib.items():
            assert not name.startswith("on")
            assert "href" not in name or value.startswith(("#", "data:image/png"))


def test_the_page_holds_all_that_was_asked(seeds, reported):
    page = page_of(reported(seeds))
    sections = [attributes["id"] for attributes in page.all("section")]
    expected = ["summary", "loss", "differences", "gains", "collapse", "similarity", "outputs", "quality", "mixture"]
    expected += ["timing", "definitions", "environment", "reproduce"]
    assert sections == expected
    table = seeds.change_table("loss")
    for row in table.rows:
        assert row.label in page.text
        for entry in row.entries.values():
            assert f"{entry.initial} → {entry.final}" in page.text
            assert entry.change in page.text
    for word in ("▼", "▲", "better", "worse", "same", "at most 0.1", "leaves out zero", "over 3 seeds"):
        assert word in page.text
    assert seeds.experiment.to_yaml().strip() in page.text
    assert "All 9 cells finished." in page.text
    for said in ("Loss (nats/word), beta", "Loss (nats/word) over generations", "Similarity of outputs (mean cosine)"):
        assert said in page.text.replace("β", "beta")
    assert "the loss ended lowest at" in page.text
    assert len(page.all("img")) == 7
    assert seeds.outputs("alpha-1_seed-0", 2)["completion"][0] in page.text


def test_figures_and_tables_are_files_too(seeds, reported):
    folder = reported(seeds)
    names = {path.name for path in (folder / "figures").iterdir()}
    figures = ("loss", "loss-matrix", "gain", "similarity", "pca", "mixture", "timing")
    assert names == {f"{name}.{kind}" for name in figures for kind in ("pdf", "png", "svg")}
    with (folder / "tables" / "change.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (found,) = (
        row
        for row in rows
        if (row["metric"], row["model"], row["task"], row["alpha"]) == ("loss", "warm", "cold", "0.5")
    )
    entry = next(r for r in seeds.change_table("loss").rows if r.label == "warm on cold").entries[1]
    assert f"{float(found['final']):.2f}" == entry.final
    assert found["seeds"] == "3"


@pytest.mark.parametrize("width", [3.25, 5.5, 7.0])
def test_figures_fit_a_papers_column_or_page_in_legible_letters(seeds, tmp_path, monkeypatch, width):
    save_empty(monkeypatch, "png", "svg")
    write_report(seeds, tmp_path, width)
    figures = sorted((tmp_path / "figures").glob("*.pdf"))
    assert len(figures) == 7
    for figure in figures:
        content = figure.read_bytes()
        (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", content)
        assert float(box) == pytest.approx(72 * width)
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
        streams = [zlib.decompress(part) for part in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)]
        page = next(part for part in streams if b" Tf" in part)
        (scale,) = re.findall(rb"^([\d.]+) 0 0 \1 0 0 cm$", page, re.MULTILINE)
        sizes = {float(size) for size in re.findall(rb"/F\d[\w-]* ([\d.]+) Tf", page)}
        assert sizes
        assert float(scale) * min(sizes) >= 5.9, figure.name


def test_the_same_run_gives_the_same_report(seeds, reported, tmp_path):
    first = reported(seeds)
    write_report(Run.load(seeds.folder), tmp_path)
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) > 10
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    for file in files:
        assert (first / file).read_bytes() == (tmp_path / file).read_bytes(), file


@pytest.mark.parametrize(
    ("overrides", "present", "absent"),
    [
        (("ecosystem.entities=[{name: one, private: warm}]",), {"loss", "outputs"}, {"similarity"}),
        (("generations=0",), {"loss", "outputs", "mixture"}, {"failures", "gains"}),
        (("metrics={loss: {}}",), {"loss", "gains", "mixture"}, {"similarity", "outputs", "quality", "landscape"}),
        (("metrics={}",), {"mixture", "timing"}, {"loss", "gains", "similarity", "outputs", "quality"}),
        (("learner.diverge_at=0",), {"summary", "failures"}, {"loss", "mixture", "timing"}),
    ],
    ids=["one model", "no generations", "loss alone", "no metrics", "all failed"],
)
def test_what_was_not_measured_is_left_out(make, overrides, present, absent):
    run = make(*overrides)
    names = {section.name for section in sections(run, theory_of(run))}
    assert present <= names
    assert not absent & names


def test_the_contents_name_every_section(seeds, reported):
    page = page_of(reported(seeds))
    names = {attributes["id"] for attributes in page.all("section")}
    assert {link["href"] for link in page.all("a") if link["href"].startswith("#")} == {f"#{name}" for name in names}


@pytest.mark.usefixtures("figures_unsaved")
def test_a_partly_failed_run_is_reported_as_far_as_it_came(partly, reported):
    page = page_of(reported(partly))
    assert "Of 4 cells: 2 finished, 2 failed." in page.text
    assert "t = 1: measured up to that generation only" in page.text
    assert "Diverged: entity warm: generation 2" in page.text


@pytest.mark.usefixtures("figures_unsaved")
def test_groups_of_columns_have_a_figure_each(make, reported):
    run = make("metrics={loss: {}}", "grid={ecosystem.alpha: [0, 1], ecosystem.beta: [0.2, 0.8]}")
    page = page_of(reported(run))
    names = {path.stem for path in (reported(run) / "figures").glob("*.svg")}
    assert names == {"loss-1", "loss-2", "loss-matrix", "gain", "landscape", "mixture-1", "mixture-2", "timing"}
    assert page.text.count("β\u00a0=\u00a00.2") > 2


@pytest.mark.usefixtures("figures_unsaved")
def test_of_a_large_grid_some_points_are_shown_and_all_are_in_the_files(make, reported):
    betas = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1]
    run = make("metrics={loss: {}}", "generations=1", f"grid={{ecosystem.alpha: [0, 0.5, 1], ecosystem.beta: {betas}}}")
    folder = reported(run)
    names = {path.stem for path in (folder / "figures").glob("*.pdf")}
    curves = {f"{name}-{number}" for name in ("loss", "mixture") for number in (1, 2, 3, 4)}
    assert names == {*curves, "loss-matrix", "gain", "landscape", "timing"}
    text = page_of(folder).text
    assert text.count("12 of 27 grid points, evenly chosen") == 1 + 4 + 4
    assert "β\u00a0=\u00a00.3" in text
    assert "β\u00a0=\u00a00.2" not in text.partition("Who learnt from whom")[0].partition("evenly chosen")[0]
    with (folder / "tables" / "loss.csv").open(encoding="utf-8") as file:
        assert len(next(csv.reader(file))) == 1 + 27


def test_time_that_was_never_spent_is_no_number(seeds, reported):
    assert "nan" not in page_of(reported(seeds)).text.partition("Seconds by stage")[2].partition("Environment")[0]


@pytest.mark.usefixtures("figures_unsaved")
def test_pages_of_runs_side_by_side_are_passive_too(seeds, partly, tmp_path):
    page = page_of(write_side_by_side([seeds, partly], tmp_path).parent)
    assert "Of 4 cells: 2 finished, 2 failed." in page.text
    assert "Diverged: entity warm: generation 2" in page.text
    assert {link["href"][1:] for link in page.all("a") if link["href"].startswith("#")} == {
        attributes["id"] for attributes in page.all("section")
    }
    for link in (attributes["href"] for attributes in page.all("a")):
        assert link.startswith("#") or (tmp_path / link).is_file()


def test_every_linked_file_is_there(seeds, reported):
    folder = reported(seeds)
    links = {attributes["href"] for attributes in page_of(folder).all("a")}
    assert len(links) > 40
    for link in links:
        assert link.startswith("#") or (folder / link).is_file(), link


def test_a_very_long_table_is_shown_in_part_and_kept_whole(make):
    names = ", ".join(f"{{name: m{k}, private: t{k}}}" for k in range(13))
    tasks = ", ".join(f"t{k}: {{source: fake, test: 2}}" for k in range(13))
    few = ("metrics={loss: {}}", "grid={ecosystem.alpha: [0.5]}", "generations=1", "n=10")
    run = make(f"ecosystem.entities=[{names}]", f"tasks={{{tasks}}}", *few)
    (block,) = (each for each in measured(run, run.measures[:1]) if each.kind == "changes")
    assert len(block.whole.rows) == 13 * 14
    assert [row.kind for row in block.table.rows] == ["own"] * 13 + ["public"] * 13
    assert "26 of 182 rows; all are in the files." in block.legend
    (curves,) = measured(run, run.measures[:1])[1:]
    titles = [axis.get_title(loc="left") for axis in curves.draw(10.4).axes]
    assert titles == ["own tasks, mean of 13", "other models' tasks, mean of 156", "public data, mean of 13"]
    rows = run.records.query("metric == 'loss' and generation == 1")
    own = rows.loc[rows["model"].str[1:] == rows["task"].str[1:], "value"].mean()
    assert curves.draw(10.4).axes[0].get_lines()[0].get_ydata()[-1] == pytest.approx(own)


def test_of_many_models_some_outputs_are_shown_the_data_sets_own_among_them_and_all_kept(make):
    names = ", ".join(f"{{name: m{k}, private: t{k}}}" for k in range(7))
    tasks = ", ".join(f"t{k}: {{source: fake, test: 2}}" for k in range(7))
    few = ("metrics={accuracy: {items: 2}}", "grid={ecosystem.alpha: [0.5]}", "generations=1", "n=10")
    run = make(f"ecosystem.entities=[{names}]", f"tasks={{{tasks}}}", *few)
    (section,) = (each for each in sections(run, theory_of(run)) if each.name == "outputs")
    (shown,) = (block.samples for block in section.blocks if block.kind == "samples")
    assert len({sample.task for sample in shown}) == 6
    everything = {(sample.task, sample.item): sample for sample in samples(run)}
    for sample in shown:
        whole = everything[sample.task, sample.item]
        assert len(sample.models) == 4
        assert sample.task == "public" or f"m{sample.task[1:]}" in sample.models
        for (label, texts), (same, all_of_them) in zip(sample.rows, whole.rows, strict=True):
            assert label == same
            assert texts == [all_of_them[whole.models.index(model)] for model in sample.models]
    assert len(sheets(run, theory_of(run))["samples"]) == 7 * sum(len(sample.rows) for sample in everything.values())


def test_of_many_authors_a_mixture_tells_a_models_own_from_the_others(make):
    names = ", ".join(f"{{name: m{k}, private: warm}}" for k in range(9))
    run = make(f"ecosystem.entities=[{names}]", "metrics={}", "grid={ecosystem.alpha: [1]}")
    raw = run.records.query("metric == 'drawn' and generation == 2 and model == 'm3'").set_index("task")["value"]
    found = by_others(mixture(run.records)).query("generation == 2 and model == 'm3'").set_index("source")["drawn"]
    assert found[OWN] == raw["m3"]
    assert found[OTHERS] == raw.drop("m3").filter(like="m").sum()
    assert found.sum() == raw.sum()


def test_a_folder_that_cannot_be_written_is_named(seeds, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(seeds, tmp_path / "file")


def test_text_helpers():
    assert plain("a\r\nb\tc\u200d") == "a\nb\tc\u200d"
    assert clip("abcdef", 4) == "abcd … [2 more characters]"
    assert shorten("a-long-name-of-a-model", 9) == "a-lo…odel"
    assert safe_cell(-1.5) == -1.5
    assert [safe_cell(text) for text in ("=1", " +1", "-x", "@a", "a=b", "", "\uff1d1")] == [
        *("'=1", "' +1", "'-x", "'@a", "a=b", "", "'\uff1d1")
    ]


def test_csv_heads_are_safe_too():
    import pandas as pd

    assert to_csv(pd.DataFrame({"=a": ["+b"], "n": [-1.0]})) == "'=a,n\n'+b,-1.0\n"


def test_of_a_large_grid_outputs_of_some_points_are_read_and_the_page_says_so(make, monkeypatch):
    alphas = "[" + ",".join(f"{k / 29:.3f}" for k in range(30)) + "]"
    few = ("metrics={similarity: {items: 2}}", "generations=1", "n=8")
    run = make(*few, f"grid={{ecosystem.alpha: {alphas}}}")
    read: list[tuple[str, int]] = []
    outputs = Run.outputs
    monkeypatch.setattr(Run, "outputs", lambda self, cell, t: read.append((cell, t)) or outputs(self, cell, t))
    shown = samples(run)
    assert len(read) == len(shown[0].rows) == 1 + 24  # the shared start, and some points at the end
    assert [label for label, _ in shown[0].rows][-1] == "α\u00a0=\u00a01, t\u00a0=\u00a01"
    left_out = points_left_out(run)
    assert left_out == " 24 of 30 grid points, evenly chosen; all are in the folder outputs of the run."
    assert points_left_out(make(*few)) == ""
    (outputs_section,) = (section for section in sections(run, theory_of(run)) if section.name == "outputs")
    assert any(isinstance(block, Words) and left_out in block.paragraphs[0] for block in outputs_section.blocks)
