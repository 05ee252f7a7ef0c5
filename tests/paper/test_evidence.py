"""The survey, counted: by hand where the paper's tables can be counted by hand."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from crossfeed import paper
from crossfeed.reporting.evidence.files import evidence_data, evidence_figure, write_evidence
from crossfeed.reporting.evidence.survey import SOURCES, evidence
from crossfeed.reporting.evidence.tables import beta_words, render_evidence


@pytest.fixture(scope="module")
def found():
    return evidence()


def kinds(model: str) -> set[str]:
    named = [paper.table(name) for name in ("1", "6")]
    return {source for table in named for source in table.loc[table["model"] == model, "source"]} - {""}


def test_a_model_names_what_either_table_says(found):
    for model, rows in found.mentions.groupby("model"):
        assert set(rows["source"]) == kinds(model), model
        assert not rows["source"].duplicated().any()
    gpt = found.mentions[found.mentions["model"] == "GPT 3"].set_index("source")
    assert gpt["tables"].to_dict() == {
        "CommonCrawl": "1",
        "WebText": "1, 6",
        "Wikipedia": "1, 6",
        "Books": "1, 6",
        "News": "6",
    }
    assert gpt.loc["Books", "named"] == "Books, Books2"
    assert set(found.mentions["source"]) == set(SOURCES)


def test_overlap_of_two_families_counted_by_hand(found):
    """Chinchilla: CommonCrawl, GitHub, Wikipedia, Books, News; LaMDA: CommonCrawl, Wikipedia, perhaps StackExchange."""
    pairs = found.overlap.set_index(["a", "b"])
    assert len(pairs) == 21
    row = pairs.loc[("Chinchilla", "LaMDA")]
    assert (row["both"], row["either"]) == (2, 6)
    assert row["jaccard"] == pytest.approx(2 / 6)
    assert row["jaccard_stated"] == pytest.approx(2 / 5)
    same = pairs.loc[("GLaM", "PaLM")]
    assert same["jaccard"] == same["jaccard_stated"] == 1.0
    assert pairs["jaccard"].between(0, 1).all()


def test_versions_keep_what_the_next_one_names_too(found):
    rows = {
        (r["family"], r["before"], r["after"]): (r["kept"], r["named"], r["new"])
        for r in found.reuse.to_dict("records")
    }
    assert rows == {
        ("GPT", "1", "2"): (0, 1, 1),
        ("GPT", "2", "3"): (1, 1, 3),
        ("Phi", "1.5", "2"): (3, 3, 1),
        ("Phi", "2", "3"): (1, 4, 1),
    }


def test_makers_that_name_nothing_are_listed_once(found):
    assert set(found.undisclosed["model"]) == {*paper.table("5")["model"], "Llama 2"}
    assert found.undisclosed["reference"].is_unique


def test_where_the_two_tables_differ_is_found(found):
    told = {(row["model"], row["source"], row["named_in"]) for row in found.differences.to_dict("records")}
    assert told == {
        ("GPT 3", "CommonCrawl", "1"),
        ("Phi 2", "GitHub", "1"),
        ("GPT 3", "News", "6"),
        ("Llama 1", "GitHub", "6"),
        *(("Phi 2", source, "6") for source in ("Wikipedia", "Books", "ArXiv")),
    }


def test_readings_as_a_public_share(found):
    public = found.public
    assert public.mean == pytest.approx(found.overlap["jaccard"].mean())
    assert (public.low, public.high) == (found.overlap["jaccard"].min(), 1.0)
    # Only Phi's web pages and synthetic text, 2 of its 8 kinds, are named by no other family.
    assert public.anyone == pytest.approx((6 + 6 / 8) / 7)
    words = " ".join(beta_words(found))
    assert f"beta = {1 - public.mean:.2f}" in words
    assert f"beta = {1 - public.anyone:.2f}" in words
    assert "survey of statements" in words
    assert "beta = 0.5" in words


@pytest.mark.parametrize("width", [80, 120])
def test_the_survey_fits_the_terminal(found, width):
    stream = io.StringIO()
    render_evidence(found, Console(file=stream, width=width))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert re.search(r"GPT 2 to 3 +1 of 1 +3", stream.getvalue())
    (line,) = (line for line in lines if line.startswith("StackExchange"))
    assert line.split() == ["StackExchange", "o", "x", "x", "x"]


def test_plain_data_and_files(found, tmp_path):
    data = json.loads(json.dumps(evidence_data(found), allow_nan=False))
    assert set(data) == {
        "mentions", "overlap", "reuse", "undisclosed", "differences", "public_overlap", "beta", "references",
    }  # fmt: skip
    assert {row["reference"] for row in data["mentions"] + data["undisclosed"]} <= set(data["references"])
    written = write_evidence(found, tmp_path)
    assert {file.name for file in written} == {
        *(f"{name}.csv" for name in ("mentions", "overlap", "reuse", "undisclosed", "differences")),
        *(f"evidence.{kind}" for kind in ("pdf", "png", "svg")),
    }
    assert (tmp_path / "evidence.png").read_bytes().startswith(b"\x89PNG")


def test_the_heat_map_writes_every_overlap(found):
    dots, heat = evidence_figure(found).axes
    assert sum(len(line.get_xdata()) for line in dots.lines) == len(found.mentions)
    assert len({line.get_fillstyle() for line in dots.lines}) == 2
    numbers = [text.get_text() for text in heat.texts]
    assert len(numbers) == 49
    assert numbers.count("1.00") == 7 + 2
