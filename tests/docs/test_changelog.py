"""The changelog's table of moved modules: each new path is there, each old one is gone."""

from __future__ import annotations

import re
from importlib.util import find_spec

from tests.docs.blocks import ROOT

TABLE = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("| before | now |\n|---|---|\n")[2]
ROWS = re.findall(r"^\| (.*) \| (.*) \|$", TABLE.partition("\n\n")[0], re.M)
PACKAGE = ROOT / "src" / "crossfeed"
#: Names of modules that are now names of folders or functions.
TAKEN = {"crossfeed.description", "crossfeed.generation", "crossfeed.predict", "crossfeed.plan", "crossfeed.evaluate"}


def modules_in(cell: str) -> list[str]:
    """The modules that a cell names: the first in full, the others beside it or in full from a folder on."""
    first, *others = re.findall(r"`([\w.]+)`", cell)
    folder = first if first.endswith(".") else first.rpartition(".")[0] + "."
    return [first.rstrip("."), *(folder + each for each in others)]


def test_new_modules_are_there():
    assert len(ROWS) > 15
    for _, now in ROWS:
        for name in modules_in(now) if "`crossfeed.reporting.page`" not in now else re.findall(r"`([\w.]+)`", now):
            assert find_spec(name) is not None, name


def test_old_modules_are_gone():
    for before, _ in ROWS:
        for name in modules_in(before):
            path = PACKAGE.joinpath(*name.split(".")[1:])
            assert name in TAKEN or not (path.is_dir() or path.with_suffix(".py").exists()), name


def test_those_that_keep_their_name_are_in_the_new_folder():
    for before, now in ROWS:
        if now.endswith("and the same name"):
            folder = re.search(r"`([\w.]+)\.`", now)[1]
            for name in modules_in(before):
                assert find_spec(f"{folder}.{name.rpartition('.')[2]}") is not None, (before, name)
