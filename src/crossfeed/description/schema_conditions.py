"""Conditions on the whole of a description in its JSON Schema: what has to be given, and what the grid may give."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from crossfeed.description.schema_choices import GROUPS, Schema, is_needed, kinds_of, only, reference

__all__ = ["conditions"]


def conditions(definitions: Schema) -> list[Schema]:
    """Return conditions that hold of a whole description.

    Args:
        definitions: The schema's definitions.
    """
    return [*_required(definitions), *_many_entities(), *_own_fields(definitions)]


def _required(definitions: Schema) -> Iterable[Schema]:
    """Yield conditions: what has to be given, unless the grid gives it or something within it."""
    led = {"ecosystem": r"(\.entities(\..*)?)?", "learner": r"(\.kind)?", "public": r"(\.source)?"}
    for name in ("ecosystem", "learner", "tasks", "public", "generations"):
        yield _unless_on_grid(name, {"required": [name]}, led.get(name, r"(\..*)?"))
    yield _unless_on_grid(r"ecosystem\.entities", _within("ecosystem", {"required": ["entities"]}))
    given = {"required": ["alpha"], "properties": {"alpha": {"not": {"type": "null"}}}}
    others = [
        {"properties": {"update": {"enum": ["replace", "accumulate"]}}, "required": ["update"]},
        {"properties": {"entities": {"type": "array", "items": given}}},
    ]
    alpha = {"if": {"not": {"anyOf": others}}, "then": given}
    yield _unless_on_grid(r"ecosystem\.(alpha|update|entities)", _within("ecosystem", alpha))
    for name in ("name", "private"):
        entities = {"entities": {"items": {"required": [name]}}}
        path = rf"ecosystem\.entities\.[A-Za-z0-9_-]+\.{name}"
        yield _unless_on_grid(path, _within("ecosystem", {"properties": entities}))
    rank = {"properties": {"access": {"if": {"type": "object"}, "then": {"required": ["rank"]}}}}
    yield _unless_on_grid(r"ecosystem\.access\.rank", _within("ecosystem", rank))
    for name, group in (("learner", "learner"), ("public", "task")):
        yield _whole(name, group, definitions, partial(_within, name))
    yield _whole(r"tasks\.[A-Za-z0-9_-]+", "task", definitions, _in_every_task)


def _in_every_task(part: Schema) -> Schema:
    return _within("tasks", {"additionalProperties": part, "properties": {"each": True}})


def _whole(path: str, group: str, definitions: Schema, place: Callable[[Schema], Schema]) -> Schema:
    """Return a condition: a part is whole, or, where the grid gives what such parts need, perhaps incomplete.

    Args:
        path: The part's path on the grid, as a regular expression.
        group: Its group.
        definitions: The schema's definitions.
        place: Puts a part's schema where the part is in a description.
    """
    whole, incomplete = place(reference(group)), place(_incomplete(group, definitions))
    needed = {name for kind in kinds_of(group, definitions).values() for name in kind.get("required", [])}
    names = "|".join(sorted({GROUPS[group], *needed}))
    return _unless_on_grid(rf"{path}\.({names})", whole) | {"else": {"anyOf": [whole, incomplete]}}


def _incomplete(group: str, definitions: Schema) -> Schema:
    """Return the schema of a part that lacks something: its kind, or what that kind needs."""
    field = GROUPS[group]
    lacking = [
        {"properties": {field: {"const": name}}, "not": {"required": kind["required"]}}
        for name, kind in kinds_of(group, definitions).items()
        if "required" in kind
    ]
    return {"type": "object", "anyOf": [{"not": {"required": [field]}}, *lacking]}


def _within(name: str, schema: Schema) -> Schema:
    return {"properties": {name: schema}}


def _unless_on_grid(path: str, schema: Schema, further: str = r"(\..*)?") -> Schema:
    """Return a schema that holds unless the grid has a path, or one that leads further."""
    names = {"not": {"pattern": rf"^{path}{further}$"}}
    on_grid = {"required": ["grid"], "properties": {"grid": {"not": {"propertyNames": names}}}}
    return {"if": {"not": on_grid}, "then": schema}


def _many_entities() -> Iterable[Schema]:
    """Yield the condition of entities that are given by their number, each with a task made from ``tasks.each``."""
    number = {"properties": {"ecosystem": {"properties": {"entities": {"type": "integer"}}, "required": ["entities"]}}}
    many = {"properties": {"tasks": {"required": ["each"], "properties": {"each": reference("task_of_many")}}}}
    yield {
        "if": number | {"required": ["ecosystem"]},
        "then": many,
        "else": {"properties": {"tasks": {"properties": {"each": reference("task")}}}},
    }


def _own_fields(definitions: Schema) -> Iterable[Schema]:
    """Yield conditions: an entity's learner without a kind has fields of the common one, laid over it."""
    for name, kind in kinds_of("learner", definitions).items():
        places = {field: f"#/definitions/learner.{name}/properties/{field}" for field in kind["properties"]}
        # What has to hold of a whole part need not hold of its changes.
        fields = {
            field: {"type": "object"} if _has_rules(kind["properties"][field], definitions) else {"$ref": place}
            for field, place in places.items()
        }
        own = {"if": {"type": "object", "not": {"required": ["kind"]}}, "then": only(fields)}
        entities = {"if": {"type": "array"}, "then": {"items": _within("learner", own)}}
        then = _within("ecosystem", _within("entities", entities))
        common = {"properties": {"learner": {"properties": {"kind": {"const": name}}, "required": ["kind"]}}}
        yield {"if": common | {"required": ["learner"]}, "then": _unless_on_grid(r"learner\.kind", then)}


def _has_rules(schema: Schema, definitions: Schema) -> bool:
    """Return True if a field holds settings of which some have to be given."""
    choices = [*schema.get("allOf", ()), *schema.get("anyOf", ())]
    return any(is_needed(definitions[each["$ref"].rpartition("/")[2]]) for each in choices if "$ref" in each)
