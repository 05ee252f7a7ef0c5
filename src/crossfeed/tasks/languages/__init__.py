"""Templates and names of the built-in tasks in each language.

Each language has a folder: ``facts.yaml`` and ``stories.yaml`` hold templates; a table holds the names of things and
their forms (with an article, after a preposition), under the English name as ``key``. English needs no table of names:
they are those of ``crossfeed/tasks/tables``.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, get_args

from crossfeed.description.strict_yaml import parse_yaml

__all__ = ["LANGUAGES", "Language", "names", "templates"]

Language = Literal["en", "fr", "de", "es"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)


def templates(language: Language, what: str) -> dict[str, Any]:
    """Read a file of templates.

    Args:
        language: The language.
        what: ``facts`` or ``stories``.

    Returns:
        The file's content.
    """
    return parse_yaml(_text(language, f"{what}.yaml"))


@cache
def names(language: Language, table: str) -> dict[str, dict[str, str]]:
    """Read the forms of names.

    Args:
        language: The language.
        table: A table of ``crossfeed/tasks/tables``, without its ending.

    Returns:
        The forms by English name; empty for English.
    """
    if language == "en":
        return {}
    return {forms.pop("key"): forms for forms in csv.DictReader(_text(language, f"{table}.csv").splitlines())}


def _text(language: Language, name: str) -> str:
    return files(__name__).joinpath(language, name).read_text("utf-8")
