"""What models, data and descriptions say is shown as it is and does nothing, wherever it is shown.

A run whose every text is an attack is compared with a twin whose texts are tame: the page of the one has exactly the
elements and attributes of the other's.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from crossfeed.description import registry
from crossfeed.display.formatting import plain
from crossfeed.display.progress import LiveProgress, LogProgress
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.files import latex, markdown
from tests.faults.cli import Answer, crossfeed_cli
from tests.faults.hostile import ATTACKS, TAME
from tests.figures import save_empty

_TEXTS_AND_NUMBERS = {"alt", "content", "src", "srcset", "width", "height", "class"}  # classes say better or worse


def description(texts: tuple[str, ...]) -> str:
    """An experiment whose every free text is one of the texts; JSON is YAML."""
    tame = texts is TAME
    tasks = {name: {"source": "hostile", "tame": tame, "shift": shift} for shift, name in enumerate(("own", "other"))}
    return json.dumps(
        {
            "name": "hostile",
            "description": " ".join(texts),
            "ecosystem": {"entities": [{"name": "a", "private": "own"}, {"name": "b", "private": "other"}], "alpha": 1},
            "learner": {"kind": "hostile", "tame": tame},
            "tasks": tasks,
            "public": {"source": "hostile", "tame": tame, "shift": 2},
            "n": 30,
            "generations": 2,
            "metrics": {name: {} for name in ("loss", "accuracy", "similarity", "projection")},
            "grid": {"learner.label": [texts[0], texts[40]], "learner.fails": [False, True]},
        }
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, tuple[Path, Answer]]:
    """Both runs, with what the command said."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._LEARNERS, "hostile", "tests.faults.hostile:HostileSettings")
        patch.setitem(registry._TASKS, "hostile", "tests.faults.hostile:HostileTaskSettings")
        patch.setenv("COLUMNS", "120")
        for name, texts in (("hostile", ATTACKS), ("tame", TAME)):
            folder = tmp_path_factory.mktemp(name)
            if texts is TAME:
                save_empty(patch, "svg", "png", "pdf")  # of the twin only the elements are looked at
            (folder / "x.yaml").write_text(description(texts))
            answer = crossfeed_cli("run", str(folder / "x.yaml"), "--out", str(folder / "run"))
            assert answer.code == 1, answer.err[-3000:]  # cells failed, as they should
            made[name] = folder / "run", answer
        yield made


class Page(HTMLParser):
    """Elements with the names of their attributes, and the values of those that hold no text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.values: list[tuple[str, str | None]] = []
        self.images: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.values += [(name, value) for name, value in attrs if name not in _TEXTS_AND_NUMBERS]
        assert all(re.fullmatch("[a-z0-9 ]*", value) for name, value in attrs if name == "class")
        self.images += [value for name, value in attrs if name in ("src", "srcset")]

    def handle_endtag(self, tag):
        self.elements.append((f"/{tag}", ()))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def handle_pi(self, data):
        raise AssertionError(f"an instruction: {data}")


def is_tame(text: str) -> bool:
    """Nothing moves a cursor or turns a line around; joiners are part of how words are written."""
    return not [c for c in text if c not in "\n\t\u200c\u200d" and plain(c) != c]


def test_the_page_has_the_elements_of_its_tame_twin(runs):
    texts = {name: (folder / "report" / "index.html").read_text() for name, (folder, _) in runs.items()}
    pages = {name: Page(text) for name, text in texts.items()}
    assert len(pages["tame"].elements) > 500
    assert pages["hostile"].elements == pages["tame"].elements
    assert pages["hostile"].values == pages["tame"].values
    assert is_tame(texts["hostile"])
    for attack in ATTACKS:
        assert plain(attack)[:100].strip() in pages["hostile"].text.replace("\r", "")
    assert "word0 and so on" in pages["tame"].text


def test_pictures_hold_nothing_but_shapes(runs):
    folder = runs["hostile"][0] / "report"
    inline = [base64.b64decode(image.partition(",")[2]) for image in Page((folder / "index.html").read_text()).images]
    files = [path.read_bytes() for path in (folder / "figures").glob("*.svg")]
    assert len(inline) >= 2 * len(files) >= 4
    for picture in inline + files:
        for node in ElementTree.fromstring(picture).iter():
            assert node.tag.split("}")[-1] not in {"script", "foreignObject", "a", "animate", "set", "iframe", "text"}
            for name, value in node.attrib.items():
                assert not name.startswith("on")
                assert "href" not in name or value.startswith(("#", "data:image/png"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (folder / "figures").glob("*.png"))


def test_no_cell_of_a_table_is_a_formula(runs):
    """Neither with commas between cells, nor where a spreadsheet splits at semicolons or tabs."""
    cells = 0
    for path in (runs["hostile"][0] / "report").rglob("*.csv"):
        text = path.read_text()
        assert is_tame(text)
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                cells += 1
                assert is_number(cell) or not re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", cell), (path.name, cell)
        for delimiter in (";", "\t"):
            for line in text.splitlines():
                for cell in line.split(delimiter)[1:]:
                    assert not re.match(r"\s*[=+\-@]", cell), (path.name, cell)
        for line in text.splitlines():
            assert not re.match(r"\s*[=+\-@]", line), (path.name, line)
    assert cells > 1000


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_every_file_of_a_report_is_one_of_ours(runs):
    trees = [
        sorted(str(path.relative_to(folder)) for path in (folder / "report").rglob("*")) for folder, _ in runs.values()
    ]
    assert trees[0] == trees[1]


@pytest.mark.parametrize("command", ["run", "show", "status", "report"])
@pytest.mark.usefixtures("figures_unsaved")
def test_a_terminal_is_left_alone(runs, tmp_path, command):
    folder, answer = runs["hostile"]
    if command != "run":
        answer = crossfeed_cli(command, str(folder), *(["--out", str(tmp_path)] if command == "report" else []))
        assert answer.code == 0, answer.err
    assert is_tame(answer.out + answer.err)
    assert "Traceback" not in answer.out + answer.err
    if command == "run":
        assert "⟨U+001B⟩[2J" in answer.err
    if command in ("run", "show"):
        assert "[bold red]markup[/] :smile:" in answer.out.replace("\n  ", " ") or "characters]" in answer.out


def test_progress_shows_what_it_is_told_as_it_is():
    lines, live = io.StringIO(), io.StringIO()
    with LiveProgress(Console(file=live, force_terminal=True, width=4000)) as progress:
        for attack in ATTACKS:
            progress.log(attack)
    for attack in ATTACKS:
        LogProgress(lines).log(attack)
    assert is_tame(lines.getvalue())
    for code in ("\x1b[2J", "\x1b[31m", "\x1b]", "\x07", "\x9b", "\u202e", "OVERWRITTEN\r", "\x1bP"):
        assert code not in live.getvalue()
    assert "[bold red]markup[/] :smile:" in live.getvalue()


def test_tables_for_papers_are_text():
    head, rows = ("what", "said"), [("x", attack) for attack in ATTACKS]
    commands = r"\\(?:[&%$#_{}]|text\w+\{\})|\{[\[*]\}|\$\\(?:to|pm)\$"
    lines = latex(head, rows).splitlines()
    body = [line for line in lines if line.startswith(("x", "what"))]
    assert len(lines) == len(body) + 5
    for line in body:
        assert line.endswith(r" \\")
        first, _, rest = line.removesuffix(r" \\").partition(" & ")
        assert not re.search(r"[\\{}$&#_^~%]", first + re.sub(commands, "", rest)), line
    table = markdown(head, rows)
    assert is_tame(table)
    lines = table.splitlines()
    assert len(lines) == len(ATTACKS) + 2
    for line in lines:
        bare = re.sub(r"\\.", "", line)
        assert bare.count("|") == 3
        assert not re.search(r"[`*<>\[\]!]", bare), line


def test_what_was_said_is_kept_as_it_was(runs):
    """Showing it safely changes nothing of what is stored."""
    found = Run.load(runs["hostile"][0])
    cell = str(found.cells["cell"].iloc[0])
    said = set(found.outputs(cell, 0)["completion"])
    assert said == set(ATTACKS)
    assert found.experiment.description == " ".join(ATTACKS)
