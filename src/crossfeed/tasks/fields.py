"""Items from the columns of a data set: templates over a row, such as ``Question: {question}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import Formatter
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, model_validator

from crossfeed.display.formatting import shown
from crossfeed.errors import InvalidInput
from crossfeed.settings import Frozen, Sequence_
from crossfeed.tasks.prose import passages, prose_row
from crossfeed.tasks.splits import Row

__all__ = ["Fields", "rows_of"]

RIGHT_CHOICE: Final = "right_choice"


def _readable(template: str) -> str:
    """Refuse a template with formats, conversions or positions: only ``{column}`` and ``{column.part}`` are allowed."""
    try:
        for _, name, spec, conversion in Formatter().parse(template):
            if name is not None and (not name or name.isdecimal() or spec or conversion or "[" in name):
                raise ValueError(f"{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}")
    except ValueError as error:
        raise ValueError(
            f"cannot use the template {template!r} ({error}): write {{column}} or {{column.part}}, and {{{{ or }}}} "
            "for a brace"
        ) from error
    return template


Template = Annotated[str, AfterValidator(_readable)]


class Fields(Frozen):
    r"""The templates of an item: either `prompt` and `completion`, or `text` alone for prose.

    Each field is a template: ``{column}`` stands for the value of a column, ``{column.part}`` for a part of a nested
    one, ``{{`` and ``}}`` for braces. Rows in which a named column is empty (null) are left out.

    Attributes:
        prompt: The text that a model is given, for example ``"Question: {question}\nAnswer:"``.
        completion: The right continuation; it starts with a space or newline. ``{right_choice}`` stands for the text
            of the right choice.
        answer: The final answer: a number or short text, or the right choice's text (or label, with `labels`).
        choices: The options: a template of a column that holds a list, or a list of templates.
        labels: The options' labels, given like `choices`, where `answer` is a label.
        key: The text that must not be in two splits, for example ``"{question}"``; default: the whole text.
        text: Prose; the first 24 words are the prompt. Short rows are joined to the next.
    """

    prompt: Template | None = None
    completion: Template | None = None
    answer: Template | None = None
    choices: Template | Sequence_[Template] | None = None
    labels: Template | Sequence_[Template] | None = None
    key: Template | None = None
    text: Template | None = None

    @model_validator(mode="after")
    def _names_columns(self) -> Self:
        """Refuse a template without braces, which would give every item the same text."""
        for name in ("prompt", "completion", "text"):
            template = getattr(self, name)
            if template and template.strip() and all(column is None for _, column, _, _ in Formatter().parse(template)):
                raise ValueError(
                    f"{name} names no column: received {template!r}; write a column in braces, as {{text}}"
                )
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.text is not None:
            others = [name for name in type(self).model_fields if name != "text" and getattr(self, name) is not None]
            if others:
                raise ValueError(f"text makes prose and stands alone; leave out {', '.join(others)}, or text")
        elif self.prompt is None or self.completion is None:
            raise ValueError("give prompt and completion, or text alone for prose")
        elif not self.prompt.strip():
            raise ValueError("prompt is empty; for texts without a prompt give text alone")
        elif not self.completion.startswith((" ", "\n")):
            raise ValueError("completion must start with a space or a newline, so that prompt + completion is the text")
        if self.choices is not None and self.answer is None:
            raise ValueError("choices need answer: the text or label of the right one")
        if self.labels is not None and self.choices is None:
            raise ValueError("labels need choices")
        return self


def rows_of(where: str, table: Sequence[Mapping[str, Any]], fields: Fields) -> list[Row]:
    """Build the items of a table.

    Args:
        where: Name of the table, for messages.
        table: Its rows; every row has the same columns.
        fields: The templates of an item.

    Returns:
        The items; rows with an empty column that a template names are left out.

    Raises:
        InvalidInput: A template names a column that is not there, or a value does not fit.
    """
    if fields.text is not None:
        texts = (_filled(where, fields.text, row) for row in table)
        return [prose_row(passage) for passage in passages(text for text in texts if text)]
    return [item for row in table if (item := _item(where, row, fields)) is not None]


def _item(where: str, row: Mapping[str, Any], fields: Fields) -> Row | None:
    choices = _options(where, fields.choices, row)
    answer = _filled(where, fields.answer, row)
    key = _filled(where, fields.key, row)
    if (choices, answer, key).count(None) > (fields.choices, fields.answer, fields.key).count(None):
        return None
    if choices is not None and answer is not None:
        answer = _right_choice(where, choices, _options(where, fields.labels, row), answer)
        row = {**row, RIGHT_CHOICE: answer}
    prompt, completion = _filled(where, fields.prompt, row), _filled(where, fields.completion, row)
    if prompt is None or completion is None or not completion.strip():
        return None
    return Row(prompt, completion, answer, choices, key)


def _right_choice(where: str, choices: Sequence[str], labels: Sequence[str] | None, answer: str) -> str:
    if labels is None:
        if answer not in choices:
            raise InvalidInput(
                f"{where}: the answer {shown(answer)} is not among the choices {shown(list(choices))}; if it is a "
                "label, give the labels too"
            )
        return answer
    if answer not in labels or len(labels) != len(choices):
        raise InvalidInput(
            f"{where}: the answer {shown(answer)} must be one of {len(choices)} labels, got {shown(list(labels))}"
        )
    return choices[labels.index(answer)]


def _options(where: str, given: str | Sequence[str] | None, row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the texts of a list of templates, or of one template that stands for a list."""
    if given is None:
        return None
    if not isinstance(given, str):
        texts = [_filled(where, template, row) for template in given]
    else:
        names = [name for _, name, _, _ in Formatter().parse(given) if name is not None]
        value = _value(where, names[0], row) if [f"{{{name}}}" for name in names] == [given] else None
        if not isinstance(value, list | tuple):
            raise InvalidInput(f"{where}: {given!r} does not stand for a list of options")
        texts = [_text(where, given, part) for part in value]
    kept = tuple(text for text in texts if text is not None)
    return kept if kept and len(kept) == len(texts) else None


def _filled(where: str, template: str | None, row: Mapping[str, Any]) -> str | None:
    """Return the text of a template, or None if there is no template or a value is empty."""
    if template is None:
        return None
    texts = list(_pieces(where, template, row))
    return None if None in texts else "".join(text for text in texts if text is not None)


def _pieces(where: str, template: str, row: Mapping[str, Any]) -> Iterator[str | None]:
    for literal, name, _, _ in Formatter().parse(template):
        yield literal
        if name is not None:
            yield _text(where, name, _value(where, name, row))


def _text(where: str, name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(f"{where}: {name!r} holds a {type(value).__name__}, which is neither text nor a number")


def _value(where: str, name: str, row: Mapping[str, Any]) -> Any:
    """Return the value of a column, or of a part of a nested one."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            columns = sorted(column for column in row if column != RIGHT_CHOICE)
            raise InvalidInput(f"{where}: there is no column {name!r}; there are {', '.join(columns)}")
        value = value[part]
    return value
