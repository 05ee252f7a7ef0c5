"""Field types and checks shared by the settings of learners that AdamW trains; needs no torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, JsonValue

from crossfeed.settings import Number, Sequence_, is_finite_json

__all__ = ["Betas", "check_free_fields", "free_fields"]

Betas = Annotated[Sequence_[Annotated[Number, Field(ge=0.0, lt=1.0)]], Field(min_length=2, max_length=2)]
"""AdamW's decay rates of the first and the second moments, each in [0, 1)."""


def free_fields(own: tuple[str, ...]) -> dict[str, JsonValue]:
    """Return the rule, for a JSON Schema, of fields that are passed on to another library's configuration.

    Args:
        own: Names that crossfeed sets itself.
    """
    return {"propertyNames": {"not": {"enum": list(own)}}}


def check_free_fields(fields: dict[str, Any], own: tuple[str, ...], instead: str) -> dict[str, Any]:
    """Check fields that are passed on to another library's configuration.

    Args:
        fields: The fields.
        own: Names that crossfeed sets itself.
        instead: Where these come from and what to give instead, for the message.

    Returns:
        The same fields.

    Raises:
        ValueError: One of `own` is given, or a value is no finite JSON.
    """
    taken = sorted(set(fields) & set(own))
    if taken:
        raise ValueError(f"{', '.join(taken)}: {instead}")
    if not is_finite_json(fields):
        raise ValueError("only finite numbers, words, truth values and lists or mappings of them")
    return fields
