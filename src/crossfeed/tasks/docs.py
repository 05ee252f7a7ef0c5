"""English prose from the documentation that ships with Python.

It is extracted from the topics of the language reference and from the docstrings of the standard library, which are
read from source without importing any of it.

The passages depend on the version of Python; a task's `content` tells two versions apart.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from crossfeed.cache import cached_folder, default_cache
from crossfeed.errors import DataUnavailable, StoreError
from crossfeed.tasks.prose import SHORTEST_PASSAGE

__all__ = ["documentation"]

# Not the library's own documentation: installed packages, tests, vendored or machine-made code.
_SKIPPED: Final = frozenset(
    {"site-packages", "dist-packages", "lib-dynload", "test", "tests", "idle_test", "ensurepip", "lib2to3"}
    | {"_vendor", "turtledemo", "__pycache__", "pydoc_data", "encodings"}
)
_LISTS_AND_CODE: Final = re.compile(r">>>|::|\.\.\. |[-=]>|[|{}<>\\~^=]|https?:|\*\*|--|``|@")
_SENTENCE: Final = re.compile(r"(?<=[.!?]) (?=[A-Z\"'(])")
_PLAIN_SHARE: Final = 0.9
_DOCUMENTED: Final = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_LONGEST_PASSAGE: Final = 120


@lru_cache(maxsize=2)
def documentation(root: Path | None = None) -> tuple[str, ...]:
    """Return passages of clean prose, `SHORTEST_PASSAGE` to about 120 words each, in a fixed order, none twice.

    Args:
        root: The folder of the standard library's sources; default: the running Python's.

    Returns:
        The passages.

    Raises:
        DataUnavailable: There are fewer than 100 passages.
    """
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    passages = _kept(root)
    if len(passages) < 100:
        raise DataUnavailable(
            f"stdlib-docs: only {len(passages)} passages were found under {root}; this Python comes without its "
            "sources or docstrings. Use an ordinary CPython 3.11 or newer, or another public source, such as "
            "`source: files` with a folder of your own text"
        )
    return passages


def _kept(root: Path) -> tuple[str, ...]:
    """Return the passages, extracted once for each installation of Python, since that takes seconds."""

    def make(folder: Path) -> None:
        (folder / "passages.json").write_text(json.dumps(_harvest(root)), encoding="utf-8")

    try:
        folder = cached_folder(default_cache() / "documentation" / _edition(root), make)
        return tuple(json.loads((folder / "passages.json").read_text(encoding="utf-8")))
    except (OSError, StoreError):  # nowhere to keep them
        return _harvest(root)


def _edition(root: Path) -> str:
    """Return a hash of everything that the passages depend on; files count by size and time of change, as in Python."""
    known = hashlib.blake2b(f"{sys.version} {SHORTEST_PASSAGE}".encode(), digest_size=16)
    known.update(Path(__file__).read_bytes())  # the rules of extraction
    topics = find_spec("pydoc_data.topics")
    for path in [*([Path(topics.origin)] if topics and topics.origin else []), *_sources(root)]:
        about = path.stat()
        known.update(f"{path} {about.st_size} {about.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return known.hexdigest()


def _harvest(root: Path) -> tuple[str, ...]:
    texts = itertools.chain(_topics(), *map(_docstrings, _sources(root)))
    return tuple(dict.fromkeys(passage for text in texts for prose in _prose(text) for passage in _passages(prose)))


def _sources(root: Path) -> Iterator[Path]:
    for folder, inside, names in os.walk(root):
        # In place: neither the order of the file system nor thousands of installed packages matter.
        inside[:] = sorted(set(inside) - _SKIPPED)
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _topics() -> list[str]:
    """Return the topics of the language reference; some distributions leave them out."""
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except (ImportError, AttributeError):
        return []
    return [topics[name] for name in sorted(topics)]


def _docstrings(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old code is full of escapes that newer Pythons warn of
            tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    # Walking the blocks alone takes half the time of `ast.walk`, which would look into every expression.
    blocks: list[ast.AST] = [tree]
    while blocks:
        node = blocks.pop()
        if isinstance(node, _DOCUMENTED):
            yield ast.get_docstring(node) or ""
        blocks += [
            child
            for part in ("body", "orelse")
            for child in getattr(node, part, ())
            if isinstance(child, _DOCUMENTED | ast.If | ast.Try)
        ]


def _prose(text: str) -> Iterator[str]:
    """Yield runs of clean paragraphs; a block that is not prose (code, lists, tables) ends a run."""
    run: list[str] = []
    for block in [*re.split(r"\n\s*\n", text), ""]:
        if _is_prose(block):
            run.append(" ".join(block.split()))
        elif run:
            yield " ".join(run)
            run = []


def _is_prose(block: str) -> bool:
    lines = [line for line in block.split("\n") if line.strip()]
    joined = " ".join(block.split())
    if len({len(line) - len(line.lstrip()) for line in lines}) != 1 or _LISTS_AND_CODE.search(joined):
        return False
    plain = sum(char.isalpha() or char == " " for char in joined)
    return bool(re.match(r"[A-Z]", joined) and joined.endswith((".", "!", "?"))) and (
        len(joined.split()) >= 8 and plain >= _PLAIN_SHARE * len(joined)
    )


def _passages(prose: str) -> Iterator[str]:
    """Cut a run at sentence ends into passages as short as allowed; a short rest joins the last one."""
    groups: list[list[str]] = []
    for sentence in _SENTENCE.split(prose):
        if groups and len(groups[-1]) < SHORTEST_PASSAGE:
            groups[-1] += sentence.split()
        else:
            groups.append(sentence.split())
    if len(groups) > 1 and len(groups[-1]) < SHORTEST_PASSAGE:
        rest = groups.pop()
        groups[-1] += rest
    for words in groups:
        if SHORTEST_PASSAGE <= len(words) <= _LONGEST_PASSAGE:
            yield " ".join(words)
