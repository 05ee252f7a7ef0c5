"""The paper's tables as they are kept: equal to their source, consistent, in the package, and facts alone."""

from __future__ import annotations

import csv
import re
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossfeed import paper
from crossfeed.errors import InvalidInput

ROOT = Path(__file__).parents[2]
NUMBERS = ("2a", "2b", "2c", "3", "4a", "4b", "7", "8")
TASKS = {"1": "sciq", "2": "gsm8k", "3": "arc_challenge", "private1": "sciq", "private2": "gsm8k", "public": "public"}
MODELS = {"GPT": "GPT 1", "GPT-2": "GPT 2", "GPT-3": "GPT 3"}
CELL = ["beta", "alpha", "entity", "task"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_number_is_that_of_the_source(source):
    wanted = set()
    for row in read(source / "loss_tables.csv"):
        places = (TASKS[row["model"]], TASKS[row["task"]])
        wanted.add(
            (
                row["table"],
                row["architecture"],
                row["K"],
                row["T"],
                row["beta"],
                row["alpha"],
                *places,
                row["initial"],
                row["final"],
            )
        )
    for row in read(source / "similarity_table3.csv"):
        places = ("sciq+gsm8k", TASKS[row["dataset"]])
        wanted.add(
            (
                row["table"],
                row["architecture"],
                row["K"],
                row["T"],
                row["beta"],
                row["alpha"],
                *places,
                row["initial"],
                row["final"],
            )
        )
    numbers = {(*row[:2], *map(float, row[2:6]), *row[6:8], *map(float, row[8:])) for row in wanted}
    kept = pd.concat([paper.table(name) for name in NUMBERS])
    columns = ["table", "base", "K", "T", "beta", "alpha", "entity", "task", "initial", "final"]
    assert {tuple(row) for row in kept[columns].itertuples(index=False)} == numbers
    assert len(kept) == len(numbers)


def test_the_survey_is_that_of_the_source(source):
    kept = paper.table("1")
    for row in read(source / "generations_table1.csv"):
        mine = kept[(kept["family"] == row["family"]) & (kept["version"] == row["version"])]
        assert "; ".join(mine["named"]) == row["sources"]
        assert set(mine["reference"]) == {row["reference"]}
        assert ("undisclosed" in row["sources"]) == (set(mine["how"]) == {"undisclosed"})
    assert len(kept) == sum(len(row["sources"].split("; ")) for row in read(source / "generations_table1.csv"))
    wanted = {
        (MODELS.get(row["model"], row["model"]), row["reference"], name, how)
        for row in read(source / "training_sources_table6.csv")
        for name, how in row.items()
        if name not in ("model", "reference") and how
    }
    columns = ["model", "reference", "source", "how"]
    assert {tuple(row) for row in paper.table("6")[columns].itertuples(index=False)} == wanted


def test_the_hyperparameters_are_those_of_the_source(source):
    wanted = [(row["parameter"], row["value"]) for row in read(source / "finetuning_table9.csv")]
    assert list(zip(*[paper.table("9")[name] for name in ("parameter", "value")], strict=True)) == wanted


def test_statements_are_told_in_our_words(source):
    """No run of six words of the source is in any text of ours."""
    words = re.findall(r"\w+", (source / "paper.txt").read_text(encoding="utf-8").lower())
    theirs = {tuple(words[i : i + 6]) for i in range(len(words) - 5)}
    told = [*paper.table("5")["pretraining"], *paper.table("5")["fine_tuning"], *paper.tables().values()]
    told += paper.slips()[["printed", "against", "here"]].to_numpy().ravel().tolist()
    for text in told:
        own = re.findall(r"\w+", text.lower())
        assert not {tuple(own[i : i + 6]) for i in range(len(own) - 5)} & theirs, text


@pytest.mark.parametrize("name", NUMBERS)
def test_a_table_has_each_cell_once_and_one_initial_value_for_each_row(name):
    table = paper.table(name)
    assert not table.duplicated(CELL).any()
    rows = table[["entity", "task"]].drop_duplicates()
    assert len(table) == len(rows) * table["alpha"].nunique() * table["beta"].nunique()
    assert set(table["alpha"]) == {0, 0.5, 1}
    assert len(table[["entity", "task", "initial"]].drop_duplicates()) == len(rows)
    owners = {each for entity in table["entity"] for each in entity.split("+")}
    assert len(owners) == table["K"].iloc[0]
    assert len(rows) == (3 if name == "3" else len(owners) ** 2)


@pytest.mark.parametrize(("part", "all_betas"), [("2a", "8"), ("2b", "7")])
def test_table_2_is_a_column_of_the_tables_with_all_betas(part, all_betas):
    whole = paper.table(all_betas)
    both = paper.table(part).merge(whole, on=CELL, suffixes=("", "_whole"))
    assert len(both) == 12
    for name in ("base", "initial", "final"):
        assert (both[name] == both[f"{name}_whole"]).all()


def test_models_that_do_not_interact_do_not_know_how_many_there_are():
    """With alpha = 0, OPT's two models of Table 2a are two of the three of Table 4a."""
    two, three = (paper.table(name) for name in ("2a", "4a"))
    both = two[two["alpha"] == 0].merge(three, on=CELL, suffixes=("", "_three"))
    assert len(both) == 4
    assert (both["final"] == both["final_three"]).all()


def test_what_the_slips_say_about_the_tables_is_so():
    spread = []
    for name in ("7", "8"):
        table = paper.table(name)
        finals = table[table["alpha"] == 1].groupby(["entity", "task"])["final"]
        spread += (finals.max() - finals.min()).round(1).tolist()
    assert max(spread) == 0.2
    assert min(spread) == 0.0
    lower = {}
    for name in ("7", "8"):
        table = paper.table(name)
        half = table[table["alpha"] == 0.5].pivot_table(index=["entity", "task"], columns="beta", values="final")
        lower[name] = np.sign((half[1.0] - half[0.5]).round(2)).astype(int).value_counts().to_dict()
    assert lower == {"7": {-1: 4}, "8": {0: 2, -1: 1, 1: 1}}
    assert {row["place"] for row in paper.slips().to_dict("records")} >= {"Section 4", "Theorem 2", "Tables 7 and 8"}


def test_the_index_names_every_table_that_there_is():
    folder = files("crossfeed.paper").joinpath("data")
    held = {}
    for name in ("changes.csv", "sources.csv", "statements.csv", "finetuning.csv"):
        held |= dict.fromkeys(pd.read_csv(folder.joinpath(name), dtype=str)["table"], name)
    index = pd.read_csv(folder.joinpath("tables.csv"), dtype=str)
    assert dict(zip(index["table"], index["file"], strict=True)) == held
    assert list(paper.tables()) == list(index["table"])


def test_every_reference_has_a_title_and_a_place():
    cited = {*paper.table("1")["reference"], *paper.table("5")["reference"], *paper.table("6")["reference"]}
    assert set(paper.references()) == cited


def test_a_table_can_be_changed_without_changing_the_next_one():
    changed = paper.table("7")
    changed["final"] = 0.0
    assert paper.table("7")["final"].min() > 0


def test_a_table_that_is_not_there_is_refused_with_a_list():
    with pytest.raises(InvalidInput, match=r"'10' is not a table .* there are 1, 2a, 2b, .*, 9"):
        paper.table("10")


def test_the_tables_are_in_the_wheel(tmp_path):
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert config == {"packages": ["src/crossfeed"]}
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed: no wheel is built")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    wanted = {f"crossfeed/paper/data/{item.name}" for item in files("crossfeed.paper").joinpath("data").iterdir()}
    assert len(wanted) == 7
    assert wanted <= set(zipfile.ZipFile(built).namelist())
