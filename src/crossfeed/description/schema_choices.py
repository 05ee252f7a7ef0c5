"""Parts that are chosen by name, and the grid, in the JSON Schema of a description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["GROUPS", "Schema", "is_needed", "kinds_of", "only", "reference", "write_choices"]

Schema = dict[str, Any]

GROUPS: Final = {"learner": "kind", "task": "source", "metric": "", "filter": "", "reward": ""}
"""Groups of the registry, and the field in which a part says its name; empty where its key does."""

_PATH: Final = r"(\.[A-Za-z0-9_-]+)*"
# What the grid does not vary is refused by its path; the rest of these fields have parts of any name below them.
_FIXED: Final = ("grid", "seeds", "name", "description", "checkpoints")
_NAMED: Final = ("ecosystem", "learner", "tasks", "public", "metrics")

_WEIGHT: Final = {"type": "number", "minimum": 0}
_SELF: Final = {"type": "number", "minimum": 0, "maximum": 1}


def write_choices(document: Schema) -> None:
    """Write the definitions of the choices by name, and the grid.

    Args:
        document: The schema, with the definitions of all kinds; it is changed.
    """
    definitions = document["definitions"]
    kinds = {group: kinds_of(group, definitions) for group in GROUPS}
    definitions |= {
        "learner": _by_field("learner", kinds["learner"]),
        "own_learner": _own_learner(),
        "task": _task(kinds["task"]),
        "metrics": _by_key("metric", kinds["metric"]),
        "filters": _by_key("filter", kinds["filter"]),
        "rewards": _rewards(kinds["reward"]),
        "network": _network(),
        "task_of_many": _task_of_many(kinds["task"]),
    }
    properties = document["properties"]
    properties["grid"] = _grid(document) | {"description": properties["grid"]["description"]}


def kinds_of(group: str, definitions: Schema) -> dict[str, Schema]:
    """Return the schemas of the settings of a group's kinds, by name.

    Args:
        group: One of `GROUPS`.
        definitions: The schema's definitions.
    """
    places = {place: place.partition(".") for place in definitions}
    return {
        name: definitions[place] for place, (of, _, name) in places.items() if of == group and name and "." not in name
    }


def reference(name: str) -> Schema:
    """Return a reference to a definition.

    Args:
        name: The definition's name.
    """
    return {"$ref": f"#/definitions/{name}"}


def _by_field(group: str, kinds: Mapping[str, Schema]) -> Schema:
    """Return the schema of a mapping that says by one of its fields what it is."""
    field = GROUPS[group]
    choices = [
        {"if": {"properties": {field: {"const": name}}, "required": [field]}, "then": reference(f"{group}.{name}")}
        for name in kinds
    ]
    named = {"description": f"The {field} of the {group}, on which its other keys depend.", "enum": list(kinds)}
    return {"type": "object", "required": [field], "properties": {field: named}, "allOf": choices}


def _task(kinds: Mapping[str, Schema]) -> Schema:
    """Return the schema of a task: a source's name alone where it has to be given nothing, or a mapping."""
    alone = [name for name, schema in kinds.items() if not is_needed(schema)]
    return {"if": {"type": "string"}, "then": {"enum": alone}, "else": _by_field("task", kinds)}


def is_needed(schema: Schema) -> bool:
    """Return True if settings cannot be left out: some of their fields have to be given.

    Args:
        schema: The settings' schema.
    """
    return any(key in schema for key in ("required", "oneOf"))


def _by_key(group: str, kinds: Mapping[str, Schema]) -> Schema:
    """Return the schema of parts by name: settings, ``true`` or nothing for the defaults, ``false`` for none."""
    properties = {
        name: {
            "description": schema["description"],
            "if": {"type": "object"},
            "then": reference(f"{group}.{name}"),
            "else": {"enum": [False] if is_needed(schema) else [True, False, None]},
        }
        for name, schema in kinds.items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _rewards(kinds: Mapping[str, Schema]) -> Schema:
    """Return the schema of rewards: the name of one that has to be given nothing, or some by name."""
    alone = [name for name, schema in kinds.items() if not is_needed(schema)]
    named = _by_key("reward", kinds) | {"minProperties": 1}
    return {"if": {"type": "string"}, "then": {"enum": alone}, "else": named}


def _own_learner() -> Schema:
    """Return the schema of an entity's learner: a whole one with a kind, or some fields of the common one."""
    return {"type": "object", "if": {"required": ["kind"]}, "then": reference("learner")}


def _network() -> Schema:
    """Return the schema of who reads whom, see `crossfeed.description.networks.read_network`."""
    rows = {"type": "array", "items": {"type": "array", "minItems": 1, "items": _WEIGHT}}
    edge = {"type": "array", "minItems": 2, "items": [{"type": "string"}] * 2 + [_WEIGHT], "additionalItems": False}
    members = {"type": "array", "items": {"type": "string"}}
    graph = {
        "properties": {"graph": {"type": "string"}, "self": _SELF},
        "if": {"properties": {"graph": {"enum": ["ring", "path", "star", "complete"]}}},
        "then": {"propertyNames": {"enum": ["graph", "self"]}},
    }
    forms = {
        "graph": graph,
        "communities": only(
            {"communities": {"type": "object", "minProperties": 1, "additionalProperties": members}}
            | {"within": _SELF, "self": _SELF}
        )
        | {"required": ["within"]},
        "edges": only({"edges": {"type": "array", "items": edge}, "self": _SELF}),
        "file": only({"file": {"type": "string", "pattern": r"\.(csv|graphml)$"}, "self": _SELF}),
    }
    named = [{"if": {"required": [form]}, "then": schema} for form, schema in forms.items()]
    mapping = {"type": "object", "oneOf": [{"required": [form]} for form in forms], "allOf": named}
    return {"anyOf": [{"type": "null"}, {"type": "string"}, {**rows, "minItems": 1}, mapping]}


def only(properties: Schema) -> Schema:
    """Return the schema of a mapping with some properties and no others.

    Args:
        properties: Schemas by name.
    """
    return {"properties": properties, "additionalProperties": False}


def _task_of_many(kinds: Mapping[str, Schema]) -> Schema:
    """Return the schema of ``tasks.each``: values within it may stand for the entity's number."""
    number = {"anyOf": [{"type": ["object", "array"]}, {"type": "string", "pattern": r"^\{k\}(/(\{K\}|[0-9]+))?$"}]}
    choices = []
    for name, kind in kinds.items():
        place = f"#/definitions/task.{name}/properties"
        fields = {field: {"if": number, "else": {"$ref": f"{place}/{field}"}} for field in kind["properties"]}
        then = only(fields) | {"required": kind.get("required", [])}
        choices.append({"if": {"properties": {"source": {"const": name}}}, "then": then})
    mapping = {"type": "object", "required": ["source"], "properties": {"source": {"enum": list(kinds)}}}
    return {"if": {"type": "string"}, "then": reference("task"), "else": mapping | {"allOf": choices}}


def _grid(document: Schema) -> Schema:
    """Return the schema of the grid: lists of values by path, each value as at its path where that is known."""
    own = document["definitions"]["Ecosystem"]["properties"]
    fields = {name: f"#/properties/{name}" for name in document["properties"] if name not in (*_FIXED, *_NAMED)}
    fields |= {f"ecosystem.{name}": f"#/definitions/Ecosystem/properties/{name}" for name in own}
    learners = document["definitions"]["learner"]["properties"]["kind"]["enum"]
    within = dict.fromkeys(key for kind in learners for key in document["definitions"][f"learner.{kind}"]["properties"])
    named = {
        "learner": _one_of(within),
        "tasks": "[A-Za-z0-9_-]+",
        "public": "[A-Za-z0-9_-]+",
        "metrics": _one_of(document["definitions"]["metrics"]["properties"]),
    }
    patterns = [rf"^{name}(\.({known}){_PATH})?$" for name, known in named.items()]
    patterns += ["^ecosystem$", rf"^({_one_of(fields)})\.[A-Za-z0-9_-]+{_PATH}$"]
    return {
        "title": "lists of values by dotted path",
        "type": "object",
        "default": {},
        "maxProperties": 50,
        "properties": {path: _values({"$ref": place}) for path, place in fields.items()}
        | {"learner.kind": _values({"enum": learners})},
        "patternProperties": dict.fromkeys(patterns, _values(True)),
        "additionalProperties": False,
    }


def _one_of(names: Iterable[str]) -> str:
    """Return a regular expression, of the kind that JSON Schema has, that matches one of some names."""
    return "|".join(name.replace(".", r"\.") for name in names)


def _values(each: Any) -> Schema:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": each}
