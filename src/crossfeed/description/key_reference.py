"""Every key of a description with its type, default and meaning, read from the JSON Schema of the YAML.

Keys stand in sections, one for each mapping of a description. Below `learner`, a task, a metric, a filter and a reward
the keys depend on the kind that is chosen there; such a section names its kind.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

from crossfeed.description.schema_choices import GROUPS
from crossfeed.display.formatting import word
from crossfeed.errors import InvalidInput

__all__ = ["Key", "Section", "find_keys", "sections_of", "type_words"]

_PLACES: Final = {
    "learner": "learner",
    "task": "tasks.NAME",
    "metric": "metrics.{}",
    "filter": "ecosystem.curation.{}",
    "reward": "ecosystem.preference.reward.{}",
}
"""Paths of the parts of each group, with the part's name in place of braces."""

_LIMITS: Final = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
}
_PLAIN: Final = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "null": "null",
}
_BELOW: Final = "#/definitions/"


@dataclass(frozen=True)
class Key:
    """One key of a description.

    Attributes:
        path: Its path as ``--set`` takes it; an entity's place in the list is left out, a task is called ``NAME``.
        kind: The kind of learner or source of data that has it; empty where its path says all.
        schema: Its JSON Schema.
        type: Its type and limits in words.
        meaning: What its docstring says.
        below: The definition whose keys stand below it; empty if there is none.
    """

    path: str
    kind: str
    schema: Mapping[str, Any]
    type: str
    meaning: str
    below: str = ""

    @property
    def required(self) -> bool:
        """True if it has to be given."""
        return "default" not in self.schema

    @property
    def default(self) -> str:
        """Its default as it is written in YAML; empty if it has to be given."""
        return "" if self.required else _written(self.schema["default"])

    @property
    def address(self) -> str:
        """Its path with its kind: ``learner.language.base``, ``tasks.facts.train``."""
        return _with_kind(self.path, self.kind)


@dataclass(frozen=True)
class Section:
    """The keys of one mapping of a description.

    Attributes:
        path: The mapping's path; empty for the description itself.
        kind: The kind that it is of, or lies within; empty if it depends on none.
        definition: Name of its definition in the schema; empty for the description itself.
        text: What its docstring says.
        keys: Its keys, in the order of the settings class.
    """

    path: str
    kind: str
    definition: str
    text: str
    keys: tuple[Key, ...]

    @property
    def address(self) -> str:
        """Its path with its kind."""
        return _with_kind(self.path, self.kind)


def sections_of(document: Mapping[str, Any]) -> tuple[Section, ...]:
    """Return all keys of a description, those of its own parts first, then those of every kind.

    Args:
        document: `crossfeed.description.json_schema.description_schema()`.
    """
    definitions = document["definitions"]
    found = list(_sections("", "", "", document, definitions))
    for group, field in GROUPS.items():
        if field:
            choice = definitions[group].get("else", definitions[group])  # of a task that is no name alone
            found += _sections(_PLACES[group], "", group, choice, definitions)
        for name in _names(group, definitions):
            path, kind = _PLACES[group].format(name), name if field else ""
            found += _sections(path, kind, f"{group}.{name}", definitions[f"{group}.{name}"], definitions)
    return tuple(found)


def find_keys(sections: Iterable[Section], path: str) -> tuple[Section, ...]:
    """Return the keys at a path and below it.

    Args:
        sections: All sections.
        path: A path as ``--set`` takes it (``learner.base.model``, ``ecosystem.entities.0.reads``), or with a kind:
            ``learner.language``, ``tasks.facts.train``, ``metrics.mauve``.

    Raises:
        InvalidInput: No key has such a path; the message names those that are near.
    """
    known = list(sections)
    wanted = ".".join(_plain_path(path, known))
    for of in (attrgetter("address"), attrgetter("path")):
        kept = [_narrowed(section, wanted, of) for section in known]
        if wanted and (found := tuple(each for each in kept if each.keys or _is_within(of(each), wanted))):
            return found
    raise InvalidInput(f"{word(path)} is no key of a description; {_near(wanted, known)}")


def type_words(schema: Mapping[str, Any], literal: Callable[[str], str] = str) -> str:
    """Describe a JSON Schema of the document in words.

    Args:
        schema: The schema of one value.
        literal: Marks what is written as it stands, such as a word among several.
    """
    if "title" in schema:
        return str(schema["title"])
    if "anyOf" in schema:
        return _any_of(type_words(each, literal) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return _any_of(literal(_written(each)) for each in schema.get("enum", [schema.get("const")]))
    return _typed(schema, schema.get("type"), literal)


def _typed(schema: Mapping[str, Any], kind: Any, literal: Callable[[str], str]) -> str:
    """Describe a schema of a type in words."""
    if isinstance(kind, list):
        return _any_of(_PLAIN[each] for each in kind)
    if kind in ("boolean", "null"):
        return _any_of(map(literal, _PLAIN[kind].split(" or ")))
    if kind == "array":
        return f"list of {_several(schema, literal)}"
    if kind == "object" or "$ref" in schema or "allOf" in schema:
        inner = schema.get("additionalProperties")
        return f"names, each with a {type_words(inner, literal)}" if isinstance(inner, dict) and inner else "mapping"
    limits = [how.format(_number(schema[limit])) for limit, how in _LIMITS.items() if limit in schema]
    return " ".join([_PLAIN.get(str(kind), "anything"), *limits])


def _any_of(choices: Iterable[str]) -> str:
    """Join choices: ``a, b or c``."""
    *others, last = dict.fromkeys(choices)
    return f"{', '.join(others)} or {last}" if others else last


def _number(value: float) -> str:
    return f"{value:,.15g}" if abs(value) < 1e12 else f"{value:.3g}"


def _several(schema: Mapping[str, Any], literal: Callable[[str], str]) -> str:
    """Describe the items of a list in words."""
    items = schema.get("items", {})
    if isinstance(items, list):
        return f"{len(items)}: {', '.join(type_words(each, literal) for each in items)}"
    plural = re.sub(r"^(whole number|number|mapping|list)\b", r"\1s", type_words(items, literal))
    count = schema.get("minItems")
    return f"{count} {plural}" if count == schema.get("maxItems") and count else plural


def _written(value: Any) -> str:
    """Return a plain value as it is written in YAML, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _sections(
    path: str, kind: str, name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[Section]:
    """Yield a mapping's section, and those of the mappings within it."""
    keys = []
    for field, each in schema["properties"].items():
        if "const" in each:  # the name of its kind
            continue
        below = _below(each, definitions)
        place = f"{path}.{field}" if path else field
        words = f"mapping, as {below}" if _is_kind(below) else type_words(each)
        keys.append(Key(place, kind, each, words, each.get("description", ""), below))
    yield Section(path, kind, name, schema.get("description", ""), tuple(keys))
    for key in keys:
        if key.below and not _is_kind(key.below):
            yield from _sections(key.path, kind, key.below, definitions[key.below], definitions)


def _below(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return the definition of the settings that a key holds, by itself, as a choice or in a list."""
    reference = schema.get("$ref", "").removeprefix(_BELOW)
    if reference:
        if not _is_settings(reference):
            return ""
        kind = definitions[reference]["properties"].get("kind", {}).get("const")
        return f"learner.{kind}" if f"learner.{kind}" in definitions else reference
    choices = [*schema.get("allOf", ()), *schema.get("anyOf", ())]
    inner = schema.get("items")
    choices += [inner] if isinstance(inner, dict) else []
    return next((found for each in choices if (found := _below(each, definitions))), "")


def _is_settings(definition: str) -> bool:
    """Return True if a definition is that of a settings class, not of a choice among several."""
    return definition[0].isupper() or "." in definition


def _is_kind(definition: str) -> bool:
    """Return True if a definition is that of a registered kind, which has a section of its own."""
    return definition.partition(".")[0] in GROUPS and definition.count(".") == 1


def _names(group: str, definitions: Mapping[str, Any]) -> list[str]:
    places = (place.partition(".") for place in definitions)
    return [name for of, _, name in places if of == group and name and "." not in name]


def _with_kind(path: str, kind: str) -> str:
    """Return a path with the kind behind the part that is of it, in place of a task's name."""
    if not kind:
        return path
    head, _, rest = path.partition(".")
    rest = rest.removeprefix("NAME").removeprefix(".") if head == "tasks" else rest
    return ".".join(part for part in (head, kind, rest) if part)


def _plain_path(path: str, sections: Iterable[Section]) -> list[str]:
    """Return a path's parts as the reference has them: without places in lists, with NAME for a task of one's own."""
    parts = [part for part in path.strip(".").split(".") if not part.isdecimal()]
    if parts[:1] == ["public"] and len(parts) > 1:
        parts = ["tasks", *(["NAME"] if parts[1] not in _sources(sections) else []), *parts[1:]]
    if parts[:1] == ["tasks"] and len(parts) > 2 and (parts[2] == "source" or parts[1] not in _sources(sections)):
        parts[1] = "NAME"
    return parts


def _sources(sections: Iterable[Section]) -> set[str]:
    return {section.kind for section in sections if section.path == "tasks.NAME"}


def _is_within(address: str, wanted: str) -> bool:
    return address == wanted or address.startswith(f"{wanted}.")


def _narrowed(section: Section, wanted: str, of: Callable[[Any], str]) -> Section:
    return replace(section, keys=tuple(key for key in section.keys if _is_within(of(key), wanted)))


def _near(wanted: str, sections: list[Section]) -> str:
    """Return advice that names the keys that are near a path."""
    known = {of for section in sections for key in section.keys for of in (key.path, key.address)}
    known |= {section.address for section in sections} - {""}
    last = wanted.rpartition(".")[2]
    named = sorted(each for each in known if each.rpartition(".")[2] == last)
    close = dict.fromkeys([*difflib.get_close_matches(wanted, sorted(known), n=3), *named[:3]])
    close.pop(above := wanted.rpartition(".")[0], None)
    near = f"near it are {', '.join(list(close)[:4])}; " if close else ""
    return f"{near}`crossfeed keys{f' {above}' if above in known else ''}` prints all"
