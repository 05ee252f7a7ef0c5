"""The text and the fields' meanings that settings classes have in their docstrings, in Google's style."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Final

from pydantic import BaseModel

__all__ = ["field_meanings", "text_of"]

_SECTION: Final = "Attributes:"
_FIELD: Final = re.compile(r"^ {4}(\w+): ", re.MULTILINE)


def text_of(model: type[BaseModel]) -> str:
    """Return a class's own docstring, without the section that lists its fields.

    Args:
        model: A settings class.
    """
    return _own(model).partition(_SECTION)[0].strip().replace("``", "`")


def field_meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the meaning of every attribute, inherited ones included, each in one line.

    Args:
        model: A settings class.
    """
    meanings: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel):
            _, *fields = _FIELD.split(_own(each).partition(_SECTION)[2])
            meanings |= {
                name: re.sub(r"\bNone\b", "null", " ".join(text.split()).replace("``", "`"))
                for name, text in zip(fields[::2], fields[1::2], strict=True)
            }
    return meanings


def _own(model: type[BaseModel]) -> str:
    return cleandoc(model.__dict__.get("__doc__") or "")
