"""The form of a run's documents: what of them is read is there, and of its kind.

A checksum says that a document is what was written; whoever made the folder may have written anything. A document of
another form counts as damaged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from crossfeed.store.schema import PACKS

__all__ = ["form_fault"]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,254}")

_Check = Callable[[Any], bool]


def form_fault(path: str, document: Mapping[str, Any]) -> str | None:
    """Check the form of a document.

    Args:
        path: Its path within the run.
        document: Its data.

    Returns:
        A sentence about the fault; None if there is none.
    """
    folder, slash, _ = path.rpartition("/")
    folder = PACKS if folder.startswith(f"{PACKS}/") else folder
    fault = _fault(document, _FORMS.get(folder if slash else path, {}))
    if fault is None and path == "run.json":
        cells = (_fault(cell, _CELL) for cell in document.get("cells", ()))
        return next((f"of a cell, {fault}" for fault in cells if fault is not None), None)
    return fault


def _fault(document: Mapping[str, Any], form: Mapping[str, tuple[_Check, str]]) -> str | None:
    for key, (check, wanted) in form.items():
        name = key.rstrip("?")
        if name not in document:
            if key == name:
                return f"it has no {name}"
        elif not check(document[name]):
            return f"its {name} is not {wanted}"
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _holds_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _holds_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _holds_spans(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_span, value))


def _holds_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_name, value))


def _is_growth(value: Any) -> bool:
    ends = value.get("ends") if isinstance(value, dict) else None
    return isinstance(ends, dict) and all(map(_is_count, ends.values())) and _holds_names(value.get("metrics"))


def _is_span(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != _SPAN or not _is_text(value[0]):
        return False
    return all(map(_is_count, value[1:])) and value[1] <= value[2]


def _are_added(value: Any) -> bool:
    return value in (["scope"], ["scope", "generation"])


_SPAN: Final = 5  # scope, first and last generation, row, rows
_MOST: Final = 1e12
_A_TEXT: Final = _is_text, "a text"
_A_NAME: Final = _is_name, "a name"
_A_COUNT: Final = _is_count, "a number of generations"
_A_SHARE: Final = _is_share, "a share between 0 and 1"
_FAILURE: Final[Mapping[str, tuple[_Check, str]]] = {
    "stage?": _A_TEXT,
    "type?": _A_TEXT,
    "message?": _A_TEXT,
    "generation?": _A_COUNT,
}
_CELL: Final[Mapping[str, tuple[_Check, str]]] = {
    "cell": _A_NAME,
    "seed?": (_is_seed, "a whole number"),
    "point?": (_is_mapping, "a mapping"),
    "zero": _A_NAME,
    "generations?": _A_COUNT,  # runs of older versions have none
}
# By the folder that a document is in, or by its own path. Of a key with a question mark, absence is no fault.
_FORMS: Final[Mapping[str, Mapping[str, tuple[_Check, str]]]] = {
    "run.json": {
        "schema": (_is_count, "a number"),
        "id": _A_NAME,
        "name?": _A_NAME,
        "data?": (_holds_texts, "a mapping of texts"),
        "description?": _A_TEXT,
        "cells?": (_holds_mappings, "a list of cells"),
        "merged?": (_holds_names, "a list of names"),
        "before?": (_holds_names, "a list of names"),
        "grows?": (_is_growth, "what a growth asks for"),
        "removed?": (_are_texts, "a list of texts"),
    },
    "environment.json": {
        "packages?": (_holds_texts, "a mapping of texts"),
        "learner?": (_is_mapping, "a mapping"),
    },
    "failures": _FAILURE,
    "added": {"metrics": (_holds_names, "a list of names"), "until": _A_COUNT},
    "known": {"half_width": _A_SHARE, "threshold": _A_SHARE},
    "notes": {"text?": _A_TEXT},
    PACKS: {"tables": (_holds_spans, "a list of tables"), "added": (_are_added, "a list of columns")},
    "models": {"name?": _A_TEXT, "content?": _A_TEXT},
    "status": {
        "stage?": _A_TEXT,
        "generation?": _A_COUNT,
        "step?": _A_TEXT,
        "time?": (_is_time, "a time"),
    },
}
