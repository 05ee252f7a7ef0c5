"""The JSON Schema of a description: of its YAML as it may be written, short forms included, in draft 7.

Types, limits and defaults are pydantic's, meanings those of the docstrings. Where a validator takes more forms than
its field's type says, it declares them itself (`json_schema_input_type`); what is chosen by name is marked with
`crossfeed.schema_rules.CHOSEN` and filled in here from the registry. A schema sees one value at a time: whether the
parts of a description agree with each other, only `Experiment.from_yaml` knows.

The schema of crossfeed's own kinds is a file of the package, beside the presets, so that reading it loads none of
their settings and an editor finds it without a program. Kinds of other packages are added when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from crossfeed.description.docstrings import field_meanings, text_of
from crossfeed.description.many_entities import MOST
from crossfeed.description.registry import built_in_names, plugin_names, settings_of
from crossfeed.description.schema_choices import GROUPS, Schema, reference, write_choices
from crossfeed.description.schema_conditions import conditions
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC
from crossfeed.schema_rules import CHOSEN

__all__ = ["FILE", "built_in_schema", "description_schema"]

FILE: Final = "crossfeed.schema.json"
"""Name of the file beside the presets."""

# The definitions of what is chosen, and their forms in words.
_CHOICES: Final = {
    "learner": "mapping with a kind",
    "own_learner": "mapping",
    "task": "name of a source, or mapping with a source",
    "metrics": "metrics by name, each with a mapping of its settings, true or false",
    "filters": "filters by name, each with a mapping of its settings, true or false",
    "rewards": "name of a reward, or rewards by name, each with a mapping of its settings, true or false",
    "network": "name of a graph, or matrix, or mapping with graph, edges, communities or file, or null",
}


class _Described(GenerateJsonSchema):
    """Pydantic's schemas with meanings from docstrings, and without what only repeats a name."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        """Return a settings class's schema."""
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        meanings = field_meanings(model)
        found["description"] = text_of(model)
        found.pop("title", None)
        for name, field in model.model_fields.items():
            own = found["properties"][field.alias or name]
            if meanings.get(name):
                own["description"] = meanings[name]
            if not field.is_required():
                value = field.get_default(call_default_factory=True)
                if isinstance(value, BaseModel) or value in ({}, ()):
                    own["default"] = [] if value == () else {}
                own.setdefault("default", None)  # of another package, and nothing that JSON has
        return found

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        """Let anything pass where a type of another package has no JSON Schema."""
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing of defaults that JSON does not have."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave titles out: they would be the names again."""
        return False

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        """Keep the order of the fields."""
        return value


def description_schema() -> Schema:
    """Return the JSON Schema of the YAML of an experiment, with the kinds of all installed packages.

    Returns:
        A schema of draft 7, as plain data. Kinds of packages that cannot be imported are left out.
    """
    text = (resources.files("crossfeed") / "presets" / FILE).read_text(encoding="utf-8")
    document: Schema = json.loads(text)
    plugins = {group: plugin_names(group) for group in GROUPS}
    if any(plugins.values()):
        _add_kinds(document, plugins)
    return document


def built_in_schema() -> Schema:
    """Return the JSON Schema of crossfeed's own kinds, from their settings: what the package's file holds."""
    from crossfeed.description.experiment import Experiment

    document: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "crossfeed experiment",
        **_schema_of(Experiment, ""),
        "definitions": {},
    }
    document["definitions"] |= document.pop("$defs")
    # What these, and the experiment itself, need may be given by the grid.
    for name in ("Ecosystem", "Entity", "Access", "Preference"):
        del document["definitions"][name]["required"]
    del document["required"]
    for name in ("learner", "public"):
        del document["properties"][name]["allOf"]
    document["properties"]["tasks"] |= {"title": "tasks by name, each with a source", "additionalProperties": True}
    _allow_many(document["definitions"]["Ecosystem"]["properties"]["entities"])
    tasks, entity = document["properties"]["tasks"], document["definitions"]["Entity"]["properties"]["name"]
    for names in (tasks["propertyNames"], entity):
        names["not"] = {"enum": [PRIVATE, PUBLIC, FRESH]}
    _add_kinds(document, {group: built_in_names(group) for group in GROUPS})
    return document


def _add_kinds(document: Schema, names: Mapping[str, Iterable[str]]) -> None:
    """Add registered kinds, and write anew what depends on which kinds there are.

    Args:
        document: The schema; a kind's definition is ``GROUP.NAME``, one of what it holds ``GROUP.NAME.CLASS``.
        names: The kinds' names by group.
    """
    for group, known in names.items():
        for name in known:
            try:
                schema = _schema_of(settings_of(group, name), f"{group}.{name}.")
            except ValueError:  # a package that cannot be used; whoever names the kind is told why
                continue
            document["definitions"] |= {f"{group}.{name}": schema, **schema.pop("$defs")}
    write_choices(document)
    document["allOf"] = conditions(document["definitions"])


def _schema_of(model: type[BaseModel], prefix: str) -> Schema:
    """Return a class's schema; ``$defs`` are those of the classes within, their names behind a prefix."""
    schema = model.model_json_schema(
        mode="validation", schema_generator=_Described, ref_template=f"#/definitions/{prefix}{{model}}"
    )
    inner = {f"{prefix}{name}": each for name, each in schema.pop("$defs", {}).items()}
    found: Schema = _in_draft_7(schema) | {"$defs": _in_draft_7(inner)}
    return found


_LIMITS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _in_draft_7(schema: Any) -> Any:
    """Return a schema with what pydantic leaves open put right, in the words of draft 7, which every editor knows.

    Limits behind a validator that runs first stay in pydantic's own words; so does the least length of a list. What is
    beside a reference would be ignored, and a mapping whose names match no pattern taken.
    """
    if isinstance(schema, list):
        return [_in_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    given = {key: value if key in ("default", "enum", "const") else _in_draft_7(value) for key, value in schema.items()}
    if CHOSEN in given:
        name = given.pop(CHOSEN)
        given |= {"title": _CHOICES[name], "allOf": [reference(name)]}
    if isinstance(given.get("$ref"), str) and len(given) > 1:
        given["allOf"] = [{"$ref": given.pop("$ref")}]
    for ours, theirs in _LIMITS.items():
        if isinstance(given.get(ours), int | float):
            given[theirs] = given.pop(ours)
    counted = {"array": "Items", "object": "Properties"}.get(str(given.get("type")))
    for end in ("min", "max"):
        if counted and f"{end}Length" in given:
            given[end + counted] = given.pop(f"{end}Length")
    if "exclusiveMinimum" in given and given.get("minimum", 1) == 0:
        del given["minimum"]
    if isinstance(given.get("patternProperties"), dict) and "properties" not in given:
        ((pattern, values),) = given.pop("patternProperties").items()
        given |= {"propertyNames": {"pattern": pattern}, "additionalProperties": values}
    return given


def _allow_many(entities: Schema) -> None:
    """Allow a number of entities in place of their list, see `crossfeed.description.many_entities`."""
    listed = {key: entities.pop(key) for key in ("type", "minItems", "items")}
    entities["anyOf"] = [listed, {"type": "integer", "minimum": 1, "maximum": MOST}]
