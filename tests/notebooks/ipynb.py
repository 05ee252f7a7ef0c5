"""The example notebooks as Jupyter opens them, made from their scripts: a cell that installs, and what cells show.

``python -m tests.notebooks.ipynb`` runs the scripts and writes the notebooks beside them; it takes a minute.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from typing import Any

from tests.notebooks.test_notebooks import FOLDER, NAMES, cells

INSTALL = """\
# Installs crossfeed where it is missing: the checkout that this notebook lies in, or what pip knows by that name.
from importlib.util import find_spec
from pathlib import Path

if find_spec("crossfeed") is None:
    source = "../.." if Path("../../src/crossfeed").is_dir() else "crossfeed"  # or a wheel's path or address
    %pip install --quiet {source}
"""
ABOUT = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def sources(name: str) -> list[tuple[str, str]]:
    """Kind and text of every cell of a notebook: the one that installs, then the script's."""
    found = [("code", INSTALL.rstrip("\n"))]
    for kind, text in cells(name):
        if kind == "[markdown]":
            plain = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.strip("\n").splitlines())
            found.append(("markdown", plain))
        else:
            found.append(("code", text.strip("\n")))
    return found


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _bundle(value: Any) -> dict[str, Any]:
    """What Jupyter keeps of a value: as text, and as HTML where it has some."""
    data = {"text/plain": _lines(repr(value))}
    html = getattr(value, "_repr_html_", lambda: None)()
    return data | ({"text/html": _lines(html)} if html else {})


def _figures() -> list[dict[str, Any]]:
    """Pyplot's open figures, which are closed, as Jupyter shows them behind a cell."""
    from matplotlib import pyplot

    found = []
    for number in pyplot.get_fignums():
        figure, png = pyplot.figure(number), io.BytesIO()
        figure.savefig(png, format="png", dpi=100)
        image = base64.b64encode(png.getvalue()).decode() + "\n"
        data = {"image/png": image, "text/plain": [repr(figure)]}
        found.append({"output_type": "display_data", "data": data, "metadata": {}})
    pyplot.close("all")
    return found


def _outputs(text: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """What a cell prints, shows and draws."""
    body = ast.parse(text).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    found = [{"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())}] if printed.tell() else []
    if value is not None:
        shown = {"output_type": "execute_result", "execution_count": count, "data": _bundle(value), "metadata": {}}
        found.append(shown)
    return found + _figures()


def notebook(name: str) -> dict[str, Any]:
    """A notebook with the outputs of running its script here."""
    names: dict[str, Any] = {}
    made = []
    for place, (kind, text) in enumerate(sources(name)):
        cell = {"cell_type": kind, "id": f"{name}-{place}", "metadata": {}, "source": _lines(text)}
        if kind == "code":
            cell |= {"execution_count": place + 1, "outputs": []}
            cell["outputs"] = [] if place == 0 else _outputs(text, names, place + 1)
        made.append(cell)
    return {"cells": made, "metadata": ABOUT, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    """Write all of them."""
    import matplotlib

    matplotlib.use("agg")
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            text = json.dumps(notebook(name), indent=1, ensure_ascii=False) + "\n"
            os.chdir(FOLDER)
        (FOLDER / f"{name}.ipynb").write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote examples/notebooks/{name}.ipynb\n")


if __name__ == "__main__":
    main()
