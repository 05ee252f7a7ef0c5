"""Reading of descriptions: presets and files, overrides, and errors that name the key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from crossfeed.description.many_entities import spell_out
from crossfeed.description.strict_yaml import DEEPEST, MOST_CHARACTERS, load_yaml
from crossfeed.display.formatting import reason, shown, word
from crossfeed.errors import InvalidDescription

__all__ = [
    "Nested",
    "assign",
    "fields_of",
    "leaves",
    "nested",
    "override",
    "preset_names",
    "read_description",
    "read_preset",
    "validate",
]

M = TypeVar("M", bound=BaseModel)
_MOST_LINES: Final = 20


def assign(data: Any, path: str, value: Any) -> Any:
    """Return a copy of nested plain data with the value at a dotted path replaced or added.

    Args:
        data: Mappings, lists and descriptions; what the path does not lead through is kept as it is.
        path: Keys and list positions, separated by dots.
        value: The new value.

    Returns:
        The changed copy.

    Raises:
        ValueError: The path goes through something that is neither a mapping nor a list entry, or is no path.
    """
    head, dot, rest = path.partition(".")
    if not head or (dot and not rest):
        raise ValueError(f"{shown(path)} is not a dotted path such as ecosystem.alpha")
    if path.count(".") >= DEEPEST:
        raise ValueError(f"{shown(path)} leads deeper than {DEEPEST} levels")
    if isinstance(data, BaseModel):
        data = fields_of(data)
    if isinstance(data, list | tuple):
        entries, place = list(data), _place_in(data, head)
        entries[place] = assign(entries[place], rest, value) if rest else value
        return entries
    if not isinstance(data, dict):
        raise ValueError(f"{shown(head)} cannot be set: there is {shown(data)}, not a mapping")
    return data | {head: assign(data.get(head, {}), rest, value) if rest else value}


def _place_in(entries: Sequence[Any], head: str) -> int:
    """Return the place of an entry of a list: counted from 0, or by the entry's own name."""
    if re.fullmatch(r"[0-9]{1,9}", head) and int(head) < len(entries):
        return int(head)
    names = [each.get("name") if isinstance(each, dict) else getattr(each, "name", None) for each in entries]
    if head in names:
        return names.index(head)
    raise ValueError(f"{shown(head)} is not an entry of a list of {len(entries)} (counted from 0), nor the name of one")


def fields_of(described: BaseModel) -> dict[str, Any]:
    """Return a description's fields by name, its parts as they are.

    Args:
        described: A description, or a part of one.
    """
    known = type(described).model_fields
    fields = {field.alias or name: getattr(described, name) for name, field in known.items()}
    return fields | (described.model_extra or {})


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield single fields of nested plain data with their dotted paths.

    Args:
        content: The data; an empty mapping, and a list of plain values, is one field.
        path: Where they stand.

    Yields:
        Path and value, in order.
    """
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, list) and any(isinstance(each, dict) for each in content):
        for place, value in enumerate(content):
            yield from leaves(value, f"{path}.{place}")
    else:
        yield path, content


def override(data: dict[str, Any], assignment: str) -> dict[str, Any]:
    """Apply one override; a field that was on the grid leaves it.

    Args:
        data: A description as plain data.
        assignment: ``path.to.key=value``, the value in YAML.

    Returns:
        The changed description.

    Raises:
        InvalidDescription: It is not of that form, or its path cannot be followed.
    """
    path, equals, value = assignment.partition("=")
    path = path.strip()
    if not equals or not path:
        raise InvalidDescription(f"--set {word(assignment)}: give path.to.key=value, such as ecosystem.alpha=0.5")
    try:
        parsed = load_yaml(value)
    except InvalidDescription as error:
        raise InvalidDescription(f"--set {word(path)}: {error}") from error
    data = _spelled_out(data)
    grid = data.get("grid")
    try:
        if path.startswith("ecosystem.entities."):  # many entities given by their number are listed, to change one
            data = spell_out(data)
        if path.startswith("grid."):  # the rest is one key, dots and all
            varied = dict(grid) if isinstance(grid, dict) else {}
            return data | {"grid": varied | {path.removeprefix("grid."): parsed}}
        if isinstance(grid, dict):
            # A field that is set leaves the grid with all its parts; a part of a varied field cannot be set.
            above = [key for key in grid if isinstance(key, str) and path.startswith(f"{key}.")]
            if above:
                raise ValueError(f"{above[0]} is on the grid; change it there, or set all of it")
            kept = {key: v for key, v in grid.items() if key != path and not str(key).startswith(f"{path}.")}
            data = data | {"grid": kept}
        changed: dict[str, Any] = assign(data, path, parsed)
    except ValueError as error:
        raise InvalidDescription(f"--set {word(assignment)}: {error}") from error
    return changed


def _spelled_out(data: dict[str, Any]) -> dict[str, Any]:
    """Write short forms out, so that paths can lead into them: ``math`` is ``{source: math}``, ``true`` is ``{}``."""
    named = data.get("tasks"), data.get("metrics")
    tasks, metrics = (part if isinstance(part, dict) else {} for part in named)
    long = dict(data)
    if tasks:
        long["tasks"] = {name: {"source": task} if isinstance(task, str) else task for name, task in tasks.items()}
    if metrics:
        long["metrics"] = {name: {} if how is True or how is None else how for name, how in metrics.items()}
    if isinstance(data.get("public"), str):
        long["public"] = {"source": data["public"]}
    return long


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets of the package, sorted."""
    folder = resources.files("crossfeed") / "presets"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def read_preset(name: str) -> str:
    """Read a preset.

    Args:
        name: Its name.

    Returns:
        Its YAML.

    Raises:
        InvalidDescription: There is no such preset; the message lists all.
    """
    if name not in preset_names():
        raise InvalidDescription(f"{shown(name)} is not a preset; there are {', '.join(preset_names())}")
    return (resources.files("crossfeed") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def read_description(source: str) -> str:
    """Read a preset or a file.

    Args:
        source: A preset's name, or a path.

    Returns:
        Its YAML, not yet parsed.

    Raises:
        InvalidDescription: Neither exists; the message lists the presets.
    """
    if source in preset_names():
        return read_preset(source)
    try:
        with Path(source).open(encoding="utf-8") as file:
            return file.read(MOST_CHARACTERS + 1)  # `parse_yaml` refuses the one too many; a device has no end
    except (OSError, ValueError) as error:
        close = difflib.get_close_matches(source, preset_names(), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise InvalidDescription(
            f"{shown(source)} is neither a preset nor a file that can be read ({reason(error)}).{hint} "
            f"Presets: {', '.join(preset_names())}."
        ) from error


class Nested(ValueError):
    """An error in a part of a description whose model was chosen by one of the part's own fields.

    Args:
        model: The chosen model.
        path: Path of the part below the field that was being read; may be empty.
        error: The model's error.
    """

    def __init__(self, model: type[BaseModel], path: str, error: ValidationError) -> None:
        super().__init__(str(error))
        self.model, self.path, self.error = model, path, error


def nested(model: type[M], value: Any, path: str = "") -> M:
    """Build a part of a description; errors keep the chosen model, so that messages can list its fields.

    Args:
        model: The chosen model.
        value: Plain data.
        path: Path of the part below the field that is being read.

    Returns:
        The part.

    Raises:
        Nested: The data are not valid for the model.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Nested(model, path, error) from error


def validate(model: type[M], data: Mapping[str, Any]) -> M:
    """Build a description from plain data.

    Args:
        model: The description's class.
        data: Plain data.

    Returns:
        The description.

    Raises:
        InvalidDescription: The data are not valid; the message has a line for each error, with its key, the value
            received and the values allowed.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        errors = error.errors()
        lines = [_explain(model, item) for item in errors[:_MOST_LINES]]
        lines += [f"... and {len(errors) - _MOST_LINES} more"] if len(errors) > _MOST_LINES else []
        raise InvalidDescription("\n".join(lines)) from error
    except ValueError as error:
        raise InvalidDescription(str(error)) from error


def _explain(model: type[BaseModel], item: Any) -> str:
    where = ".".join(map(word, item["loc"]))
    if item["type"] == "extra_forbidden":
        allowed = _fields_at(model, item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), allowed, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{where}: unknown key{hint}" + (f" (known: {', '.join(allowed)})" if allowed else "")
    if item["type"] == "missing":
        return f"{where}: missing; it has to be given"
    message = item["msg"].removeprefix("Value error, ")
    inner = item.get("ctx", {}).get("error")
    if isinstance(inner, Nested):
        prefix = ".".join(part for part in (where, word(inner.path)) if part)
        below = [(_explain(inner.model, one), "." if one["loc"] else ": ") for one in inner.error.errors()]
        return "\n".join(f"{prefix}{joint}{line}" for line, joint in below)
    message = (message[:1].lower() + message[1:]).replace("valid tuple", "list")
    if item["type"] == "value_error" and isinstance(item["input"], dict | BaseModel):
        return f"{where}: {message}" if where else message  # several fields, which the message names
    return f"{where}: {message}; received {shown(item['input'])}"


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Return field names of the model at a path, as far as it can be followed by field types."""
    fields = model.model_fields
    for part in path:
        if not isinstance(part, str) or part not in fields:
            continue
        inner = _model_in(fields[part].annotation)
        if inner is None:
            return []
        fields = inner.model_fields
    return [field.alias or name for name, field in fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        model = _model_in(argument)
        if model is not None:
            return model
    return None
