"""Items from the columns of a data set: templates over a row, such as ``Question: {question}``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from crossfeed.display.formatting import shown
from crossfeed.errors import InvalidInput
from crossfeed.settings import Frozen, Sequence_
from crossfeed.tasks.conversations import Messages, exchanges
from crossfeed.tasks.prose import SHORTEST_PASSAGE, passages, prose_row, units
from crossfeed.tasks.splits import Row

__all__ = ["Fields", "Formatted", "rows_of"]

RIGHT_CHOICE: Final = "right_choice"
_BEGINS_WITH_COLUMN: Final = re.compile(r"[ \n]?\{(?!\{)")
_ABSENT: Final = object()
_WAYS: Final = (("prompt", "completion"), ("messages",), ("text",))


def _readable(template: str) -> str:
    """Refuse a template with formats, conversions or positions: only ``{column}`` and ``{column.part}`` are allowed."""
    try:
        for _, name, spec, conversion in Formatter().parse(template):
            if name is not None and (not name or name.isdecimal() or spec or conversion or "[" in name):
                raise ValueError(f"{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}")
    except ValueError as error:
        raise ValueError(
            f"cannot use the template {template!r} ({error}): write {{column}} or {{column.part}}, and {{{{ or }}}} "
            "for a brace; a column whose own name has such characters is given another one under columns: "
            "{short: its name}"
        ) from error
    return template


def _as_text(value: Any) -> Any:
    """Truth values and whole numbers as data spell them: YAML reads ``true`` and ``1`` where labels are meant."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


Template = Annotated[str, AfterValidator(_readable)]
Option = Annotated[Template, BeforeValidator(_as_text, json_schema_input_type=bool | int | str)]


class Fields(Frozen):
    r"""The templates of an item: `prompt` and `completion`, or `messages`, or `text` alone for prose.

    Each field is a template: ``{column}`` stands for the value of a column, ``{column.part}`` for a part of a nested
    one (``{turns.0.text}``: of the first element of a list; ``{choices.text}`` with a list of mappings: of every
    element), ``{{`` and ``}}`` for braces. Rows in which a named column is empty (missing, null or NaN) are left out.

    Attributes:
        prompt: What a model is given, for example ``"Question: {question}\nAnswer:"``.
        completion: What it should say; starts with a space or newline, of the template or of the data.
            ``{right_choice}`` stands for the text of the right choice.
        answer: The final answer: a number or short text, or the right choice's text (or label, with `labels`).
        choices: The options: a template of a column that holds a list, or a list of templates.
        labels: The options' labels, given like `choices`, where `answer` is a label.
        key: The text that must not be in two splits, for example ``"{question}"``; default: the whole text.
        text: Prose; the first 24 words are the prompt. Short rows are joined to the next.
        messages: A column of conversations, in place of prompt and completion.
        columns: Other names for columns, by the name that templates use: for names with braces or colons in them.
    """

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": list(each)} for each in _WAYS]})

    prompt: Template | None = None
    completion: Template | None = None
    answer: Template | None = None
    choices: Template | Sequence_[Option] | None = None
    labels: Template | Sequence_[Option] | None = None
    key: Template | None = None
    text: Template | None = None
    messages: Messages | None = None
    columns: dict[str, str] = Field(default_factory=dict)

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
        for alone, what in (("text", "makes prose"), ("messages", "makes items of conversations")):
            if getattr(self, alone) is not None:
                others = self._given() - {alone, "columns"}
                if others:
                    listed = ", ".join(sorted(others))
                    raise ValueError(f"{alone} {what} and stands alone; leave out {listed}, or {alone}")
                return self
        if self.prompt is None or self.completion is None:
            raise ValueError("give prompt and completion, messages, or text alone for prose")
        if not self.prompt.strip():
            raise ValueError("prompt is empty; for texts without a prompt give text alone")
        if not self.completion.startswith((" ", "\n")) and not _BEGINS_WITH_COLUMN.match(self.completion):
            raise ValueError("completion must start with a space or a newline, so that prompt + completion is the text")
        if self.choices is not None and self.answer is None:
            raise ValueError("choices need answer: the text or label of the right one")
        if self.labels is not None and self.choices is None:
            raise ValueError("labels need choices")
        return self

    def _given(self) -> set[str]:
        return {name for name in type(self).model_fields if getattr(self, name) not in (None, {})}


@dataclass(frozen=True)
class Formatted:
    """Items of a table, and how many of its rows gave none.

    Attributes:
        rows: The items.
        left_out: Numbers of rows by the reason why they gave no item.
        nothing: Why there is no item at all, with numbers; empty if there are some.
    """

    rows: list[Row]
    left_out: Mapping[str, int] = field(default_factory=dict)
    nothing: str = ""


def rows_of(where: str, table: Sequence[Mapping[str, Any]], fields: Fields) -> Formatted:
    """Make a table's rows into items.

    Args:
        where: What the table is, for messages.
        table: Its rows; a column that a row lacks is empty in it.
        fields: How a row becomes an item.

    Raises:
        InvalidInput: A template names a column that no row has, or a value does not fit; the message names the row.
    """
    reader = _Reader(where, fields)
    if fields.text is not None:
        return reader.prose(fields.text, table)
    items = [item for number, row in enumerate(table, 1) for item in reader.items(number, row)]
    reader.check_columns(table)
    counts = ", ".join(f"{count} {why}" for why, count in reader.left_out.items())
    return Formatted(items, reader.left_out, "" if items else f"of {len(table)} rows, {counts or 'none is usable'}")


class _Reader:
    """Rows of one table on their way to items.

    It keeps which columns were met in any row, since one that is met in none is a slip, and why rows were left out.
    """

    def __init__(self, where: str, fields: Fields) -> None:
        self.where, self.fields = where, fields
        self.left_out: Counter[str] = Counter()
        self._met: dict[str, bool] = {}

    def items(self, number: int, row: Mapping[str, Any]) -> Iterator[Row]:
        """Give the items of one row: one, several turns of a conversation, or none."""
        where = f"{self.where}, row {number}"
        if self.fields.messages is not None:
            yield from self._conversation(where, row, self.fields.messages)
        else:
            item = self._item(where, row)
            if isinstance(item, str):
                self.left_out[item] += 1
            else:
                yield item

    def prose(self, template: str, table: Sequence[Mapping[str, Any]]) -> Formatted:
        """Make items of passages."""
        filled = (self._filled(f"{self.where}, row {number}", template, row) for number, row in enumerate(table, 1))
        texts = [text for text in filled if text and text.strip()]
        self.check_columns(table)
        empty = len(table) - len(texts)
        rows = [prose_row(passage) for passage in passages(texts)]
        nothing = ""
        if not rows:
            words = sum(map(units, texts))
            nothing = f"{len(texts)} texts, {words} words together: a passage takes at least {SHORTEST_PASSAGE}"
        return Formatted(rows, {"without a text": empty} if empty else {}, nothing)

    def check_columns(self, table: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a name that no row has.

        Raises:
            InvalidInput: There is one; the message lists the columns.
        """
        missing = [name for name, met in self._met.items() if not met]
        if missing and table:
            columns = sorted({column for row in table for column in row})
            raise InvalidInput(f"{self.where}: there is no column {missing[0]!r}; there are {', '.join(columns)}")

    def _conversation(self, where: str, row: Mapping[str, Any], messages: Messages) -> Iterator[Row]:
        value = self._value(messages.column, row)
        found = [] if value is None else list(exchanges(where, value, messages.turn))
        if not found:
            self.left_out["without a turn of an assistant that answers"] += 1
        yield from (Row(prompt, completion) for prompt, completion in found)

    def _item(self, where: str, row: Mapping[str, Any]) -> Row | str:
        """An item, or why there is none."""
        fields = self.fields
        choices = self._options(where, fields.choices, row)
        answer, key = (self._filled(where, template, row) for template in (fields.answer, fields.key))
        for name, value in (("choices", choices), ("answer", answer), ("key", key)):
            if value is None and getattr(fields, name) is not None:
                return f"without {name}"
        if choices is not None and answer is not None:
            answer = _right_choice(where, choices, self._options(where, fields.labels, row), answer)
            row = {**row, RIGHT_CHOICE: answer}
        prompt, completion = (self._filled(where, each, row) for each in (fields.prompt, fields.completion))
        if prompt is None:
            return "without prompt"
        if completion is None or not completion.strip():
            return "without completion"
        return Row(prompt, _spaced(str(fields.completion), completion), answer, choices, key)

    def _options(self, where: str, given: str | Sequence[str] | None, row: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The texts of a list of templates, or of one template that stands for a list."""
        if given is None:
            return None
        if not isinstance(given, str):
            texts = [self._filled(where, template, row) for template in given]
        else:
            names = [name for _, name, _, _ in Formatter().parse(given) if name is not None]
            alone = [f"{{{name}}}" for name in names] == [given]
            value = self._value(names[0], row) if alone else ""
            if value is None:
                return None
            if not isinstance(value, list):
                raise InvalidInput(f"{where}: {given!r} does not stand for a list of options")
            texts = [_text(where, given, each) for each in value]
        known = [text for text in texts if text is not None]
        return tuple(known) if known and len(known) == len(texts) else None

    def _filled(self, where: str, template: str | None, row: Mapping[str, Any]) -> str | None:
        """The text of a template, or None if there is no template or a value is empty."""
        if template is None:
            return None
        pieces = []
        for literal, name, _, _ in Formatter().parse(template):
            pieces.append(literal)
            if name is not None:
                text = _text(where, name, self._value(name, row))
                if text is None:
                    return None
                pieces.append(text)
        return "".join(pieces)

    def _value(self, name: str, row: Mapping[str, Any]) -> Any:
        """A column, or a part of a nested one; None where this row does not have it."""
        value = _part(row, self.fields.columns.get(name, name))
        self._met[name] = self._met.get(name, False) or value is not _ABSENT
        return None if value is _ABSENT else value


def _part(value: Any, path: str) -> Any:
    """Follow a path into a value: a key with all its dots if there is one, else key by key."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        if path in value:
            return value[path]
        first, dot, rest = path.partition(".")
        return _part(value[first], rest) if dot and first in value else _ABSENT
    if isinstance(value, list):
        first, dot, rest = path.partition(".")
        if first.isdecimal():
            element = value[int(first)] if int(first) < len(value) else None
            return _part(element, rest) if dot else element
        parts = [_part(each, path) for each in value]
        return _ABSENT if value and all(part is _ABSENT for part in parts) else [_empty(part) for part in parts]
    return _ABSENT


def _empty(part: Any) -> Any:
    return None if part is _ABSENT else part


def _text(where: str, name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    kind = "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else "bytes"
    inside = f"; its parts are {', '.join(f'{{{name}.{part}}}' for part in value)}" if isinstance(value, dict) else ""
    raise InvalidInput(f"{where}: {name!r} holds {kind}, which is neither text nor a number{inside}")


def _spaced(template: str, completion: str) -> str:
    """One space or newline between prompt and completion, whether the template or the data have it."""
    if template.startswith((" ", "\n")) and _BEGINS_WITH_COLUMN.match(template) and completion[1:2] in (" ", "\n"):
        return completion[1:]
    return completion if completion.startswith((" ", "\n")) else f" {completion}"


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
