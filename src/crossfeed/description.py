"""Reading descriptions written by people: strict YAML, overrides, and errors that name the key.

PyYAML's safe loader is made stricter (a key given twice is an error) and friendlier (``1e-3`` is a number, as in
YAML 1.2).
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Hashable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from crossfeed.errors import InvalidDescription

__all__ = [
    "Nested",
    "assign",
    "dump_yaml",
    "nested",
    "override",
    "parse_yaml",
    "preset_names",
    "read_description",
    "read_preset",
    "validate",
]

M = TypeVar("M", bound=BaseModel)
_MOST_VALUES: Final = 100_000
_DEEPEST: Final = 50
_BRIEFLY: Final = reprlib.Repr()
_BRIEFLY.maxlevel, _BRIEFLY.maxstring, _BRIEFLY.maxother = 3, 80, 80


class _Loader(yaml.SafeLoader):
    """Safe YAML without duplicate keys and with floats such as 1e-3."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *base`: what follows may differ from the base
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise InvalidDescription(f"line {key_node.start_mark.line + 1}: the key {key!r} is not a word")
            if key in seen:
                raise InvalidDescription(f"line {key_node.start_mark.line + 1}: the key {key!r} is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Safe YAML that quotes what `_Loader` would read as a number."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


def parse_yaml(text: str) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        InvalidDescription: It is not YAML, not a mapping, or has a key twice.
    """
    data = _load(text)
    if not isinstance(data, dict):
        raise InvalidDescription(f"a description is a mapping of keys to values; received {_shown(data)}")
    return data


def dump_yaml(data: Mapping[str, Any]) -> str:
    """Plain data as YAML that `parse_yaml` reads back equal."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def assign(data: Any, path: str, value: Any) -> Any:
    """A copy of nested plain data with the value at a dotted path replaced or added.

    Raises:
        ValueError: The path goes through something that is neither a mapping nor a list entry.
    """
    head, _, rest = path.partition(".")
    if isinstance(data, BaseModel):
        data = data.model_dump(mode="python")
    if isinstance(data, list | tuple):
        if not head.isdigit() or int(head) >= len(data):
            raise ValueError(f"{head!r} is not an entry of a list of {len(data)} (counted from 0)")
        entries = list(data)
        entries[int(head)] = assign(entries[int(head)], rest, value) if rest else value
        return entries
    if not isinstance(data, dict):
        raise ValueError(f"{head!r} cannot be set: there is {_shown(data)}, not a mapping")
    return data | {head: assign(data.get(head, {}), rest, value) if rest else value}


def override(data: dict[str, Any], assignment: str) -> dict[str, Any]:
    """Apply one ``path.to.key=value``; a field that was on the grid leaves it.

    Raises:
        InvalidDescription: It is not of that form, or its path cannot be followed.
    """
    path, equals, value = assignment.partition("=")
    path = path.strip()
    if not equals or not path:
        raise InvalidDescription(f"--set {assignment}: give path.to.key=value, such as ecosystem.alpha=0.5")
    parsed = _load(value)
    data = _spelled_out(data)
    grid = data.get("grid")
    try:
        if path.startswith("grid."):  # the rest is one key, dots and all
            varied = dict(grid) if isinstance(grid, dict) else {}
            return data | {"grid": varied | {path.removeprefix("grid."): parsed}}
        if isinstance(grid, dict):
            # What is set as a whole leaves the grid with all its parts; a part of what is varied cannot be set.
            above = [key for key in grid if isinstance(key, str) and path.startswith(f"{key}.")]
            if above:
                raise ValueError(f"{above[0]} is on the grid; change it there, or set all of it")
            kept = {key: v for key, v in grid.items() if key != path and not str(key).startswith(f"{path}.")}
            data = data | {"grid": kept}
        changed: dict[str, Any] = assign(data, path, parsed)
    except ValueError as error:
        raise InvalidDescription(f"--set {assignment}: {error}") from error
    return changed


def _spelled_out(data: dict[str, Any]) -> dict[str, Any]:
    """Short forms at length, so that paths can lead into them: ``math`` is ``{source: math}``, ``true`` is ``{}``."""
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
    """The presets that come with the package."""
    folder = resources.files("crossfeed") / "presets"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def read_preset(name: str) -> str:
    """The text of a preset.

    Raises:
        InvalidDescription: There is none of that name; the message lists them.
    """
    if name not in preset_names():
        raise InvalidDescription(f"{_shown(name)} is not a preset; there are {', '.join(preset_names())}")
    return (resources.files("crossfeed") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def read_description(source: str) -> str:
    """The text of a preset or of a file.

    Args:
        source: A preset's name, or a path.

    Raises:
        InvalidDescription: Neither exists; the message lists the presets.
    """
    if source in preset_names():
        return read_preset(source)
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        close = difflib.get_close_matches(source, preset_names(), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise InvalidDescription(
            f"{_shown(source)} is neither a preset nor a file that can be read ({_reason(error)}).{hint} "
            f"Presets: {', '.join(preset_names())}."
        ) from error


class Nested(ValueError):
    """What is wrong with a part of a description whose model was chosen by one of its own fields.

    Args:
        model: The chosen model.
        path: Where the part is, below the field that was being read; may be empty.
        error: What it said.
    """

    def __init__(self, model: type[BaseModel], path: str, error: ValidationError) -> None:
        super().__init__(str(error))
        self.model, self.path, self.error = model, path, error


def nested(model: type[M], value: Any, path: str = "") -> M:
    """Make a part of a description; errors keep the chosen model, so that they can say what it knows.

    Raises:
        Nested: It cannot be understood.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Nested(model, path, error) from error


def validate(model: type[M], data: Mapping[str, Any]) -> M:
    """Make a description of plain data.

    Raises:
        InvalidDescription: One line for each thing that is wrong: its key, what was received, what is allowed.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidDescription("\n".join(_explain(model, item) for item in error.errors())) from error
    except ValueError as error:
        raise InvalidDescription(str(error)) from error


def _load(text: str) -> Any:
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InvalidDescription(f"this is not YAML that can be read: {where}{problem}") from error
    except (RecursionError, ValueError) as error:
        raise InvalidDescription(f"this is not YAML that can be read: {_reason(error)}") from error
    _bound(data)
    return data


def _bound(data: Any) -> None:
    """Refuse what a few lines of aliases can blow up to: values are counted as often as they are referred to."""
    count, waiting = 0, [(data, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > _MOST_VALUES or depth > _DEEPEST:
            raise InvalidDescription(
                f"a description has at most {_MOST_VALUES:,} values, nested at most {_DEEPEST} deep; this one has more "
                "(aliases that refer to each other or to themselves?)"
            )
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting += [(item, depth + 1) for item in inner]


def _explain(model: type[BaseModel], item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
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
        prefix = ".".join(part for part in (where, inner.path) if part)
        return "\n".join(f"{prefix}.{_explain(inner.model, one)}" for one in inner.error.errors())
    message = (message[:1].lower() + message[1:]).replace("valid tuple", "list")
    if item["type"] == "value_error" and isinstance(item["input"], dict | BaseModel):
        return f"{where}: {message}" if where else message  # about several fields, which the message names
    return f"{where}: {message}; received {_shown(item['input'])}"


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Field names of the model at a path, as far as it can be followed by field types."""
    fields = model.model_fields
    for part in path:
        if not isinstance(part, str) or part not in fields:
            continue
        inner = _model_in(fields[part].annotation)
        if inner is None:
            return []
        fields = inner.model_fields
    return list(fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def _shown(value: Any) -> str:
    return _BRIEFLY.repr(value)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
