"""Reference pages generated from the program when the site is built, so that they cannot go stale.

The command line comes from Typer's own documentation command; keys of descriptions from their settings classes: type,
limits and default from pydantic, the meaning from the docstring.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import NoneType
from typing import Any, get_args

from griffe import Docstring, DocstringSectionKind
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import crossfeed.cli
from crossfeed.description import registry
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import preset_names, read_preset
from crossfeed.description.strict_yaml import dump_yaml
from crossfeed.settings import FilterSettings, LearnerSettings, MetricSettings, TaskSettings

_LIMITS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}
_PLAIN = {
    "boolean": "`true` or `false`",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "null": "`null`",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, made in _pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=made))
    return files


@cache
def _pages() -> dict[str, str]:
    return {
        "command-line": _command_line(),
        "experiment": _experiment(),
        "learners": _registered("learners", registry._LEARNERS, registry.learner_settings, "learner"),
        "tasks": _registered("tasks", registry._TASKS, registry.task_settings, "tasks.NAME"),
        "metrics": _registered("metrics", registry._METRICS, registry.metric_settings, "metrics.{}"),
        "filters": _registered("filters", registry._FILTERS, registry.filter_settings, "ecosystem.curation.{}"),
        "presets": _presets(),
    }


def _command_line() -> str:
    """Return the page of all commands."""
    command = [sys.executable, "-m", "typer", "crossfeed.cli", "utils", "docs", "--name", "crossfeed"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own
    _, _, commands = printed.partition("\n")
    commands = commands.replace("\n* `--help`: Show this message and exit.", "")
    commands = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", commands)  # cut short, and beside the table of contents
    codes = (crossfeed.cli.__doc__ or "").split("\n\n", 1)[1]
    first = "All commands, their arguments and their exit codes. `crossfeed COMMAND --help` prints the same."
    return "\n\n".join(["# Command line", first, " ".join(codes.split()), commands])


def _experiment() -> str:
    """Return the page of the keys of a description, its ecosystem and its entities."""
    lines = [
        "# Keys of an experiment",
        "All keys of the YAML file of an experiment, with their types, limits, defaults and meaning. Each can be "
        "set by `--set PATH.TO.KEY=VALUE`, and varied under `grid`. Unknown keys are errors.",
        "The keys under `learner`, `tasks` and `public`, `metrics` and `curation` depend on the kind that is chosen "
        "there: [learners](learners.md), [tasks](tasks.md), [metrics](metrics.md), [filters](filters.md).",
        "## The experiment",
        *_keys(Experiment, "", "experiment"),
    ]
    return "\n\n".join(lines) + "\n"


_FIRST = {
    "learners": "All kinds of model (`learner.kind`), and every setting of each.",
    "tasks": "All sources of data (`source` of a task, or of `public`), and every setting of each. A source "
    "may be given by its name alone where its defaults will do: `facts: facts`.",
    "metrics": "All metrics (`metrics`), and every setting of each. `loss: {}` takes the defaults, "
    "`accuracy: false` leaves one out.",
    "filters": "All filters of the pool (`ecosystem.curation`), and every setting of each.",
}


def _registered(what: str, table: Mapping[str, str], settings: Callable[[str], Any], path: str) -> str:
    """Return the page of everything of one kind in the registry."""
    lines = [f"# {what.capitalize()}", _FIRST[what]]
    for name in table:
        model = settings(name)
        lines += [f"## {name}", _text(model), *_keys(model, path.format(name), name)]
    return "\n\n".join(lines) + "\n"


def _presets() -> str:
    """Return the page of presets: the purpose of each, and its file."""
    lines = [
        "# Presets",
        "The experiments that come with crossfeed, with files to start from: `crossfeed presets NAME > mine.yaml`. "
        "Their results are under [claims](../claims.md).",
    ]
    for name in preset_names():
        text = read_preset(name)
        shown = "\n".join(f"    {line}".rstrip() for line in ["```yaml", *text.rstrip().splitlines(), "```"])
        lines += [f"## {name}", Experiment.from_yaml(text).description, f'??? note "{name}.yaml"\n\n{shown}']
    return "\n\n".join(lines) + "\n"


def _keys(model: type[BaseModel], path: str, anchor: str) -> Iterator[str]:
    """Return a model's fields as a definition list, and those of the models within it, each below its own path."""
    meanings = _meanings(model)
    within: dict[str, tuple[str, type[BaseModel]]] = {}
    lines = []
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        schema = _schema(model)["properties"][name]
        if "const" in schema:  # the name of its kind, which its heading says
            continue
        place = f"{path}.{name}" if path else name
        kind, below = _words(schema), _model_in(field.annotation)
        if below is not None:
            page = _page_of(below)
            if not page:
                within[place] = (f"{anchor}-{name}", below)
                page = f"[{place}](#{anchor}-{name})"
            kind = re.sub("mappings?", rf"\g<0> (see {page})", kind, count=1)
        lines.append(f"`{name}`\n:   {kind}. {_default(field)}  \n    {meanings.get(attribute, '')}\n")
    if lines:
        yield "\n".join(lines)
    elif path:
        yield "No settings of its own."
    for place, (mark, below) in within.items():
        yield f"### {place} {{#{mark}}}"
        yield _text(below)
        yield from _keys(below, place, mark)


def _page_of(model: type[BaseModel]) -> str:
    """Return a link to the description of a registered class; empty for any other."""
    if issubclass(model, LearnerSettings) and model is not LearnerSettings:
        kind = model.model_fields["kind"].default
        return f"[{kind}](learners.md#{kind})"
    pages = {LearnerSettings: "learners", TaskSettings: "tasks", MetricSettings: "metrics", FilterSettings: "filters"}
    return f"[{pages[model]}]({pages[model]}.md)" if model in pages else ""


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="validation")


def _words(schema: dict[str, Any]) -> str:
    """Describe a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_words, schema["anyOf"])))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_several(schema)}"
    if kind == "object" or "$ref" in schema:
        inner = schema.get("additionalProperties")
        return f"names, each with a {_words(inner)}" if isinstance(inner, dict) and inner else "mapping"
    limits = [how.format(f"{schema[limit]:,}") for limit, how in _LIMITS.items() if limit in schema]
    return " ".join([_PLAIN.get(kind, "anything"), *limits])


def _several(schema: dict[str, Any]) -> str:
    """Describe the items of a list in words."""
    if "prefixItems" in schema:
        return f"{len(schema['prefixItems'])}: {', '.join(map(_words, schema['prefixItems']))}"
    return re.sub(r"^(whole number|number|mapping)\b", r"\1s", _words(schema.get("items", {})))


def _default(field: FieldInfo) -> str:
    """Describe the default of a field."""
    if field.is_required():
        return "**Has to be given.**"
    value = field.get_default(call_default_factory=True)
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    if isinstance(plain, tuple):
        plain = list(plain)
    text = dump_yaml({"x": plain}).partition(":")[2].strip()
    return f"Default `{text}`." if "\n" not in text and text else "Default: all of its defaults."


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field holds, by itself, as a choice or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(each) for each in get_args(annotation) if each is not NoneType)
    return next((each for each in inner if each is not None), None)


def _text(model: type[BaseModel]) -> str:
    """Return the text of a settings class's docstring."""
    return "\n\n".join(section.value for section in _sections(model) if section.kind is DocstringSectionKind.text)


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the meaning of every field, inherited ones included."""
    meanings: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not (isinstance(each, type) and issubclass(each, BaseModel) and each.__doc__):
            continue
        for section in _sections(each):
            if section.kind is DocstringSectionKind.attributes:
                meanings |= {found.name: " ".join(found.description.split()) for found in section.value}
    return meanings


def _sections(model: type[BaseModel]) -> list[Any]:
    text = re.sub(r"\n    ", "\n", model.__dict__.get("__doc__") or "")
    return Docstring(text).parse("google", warnings=False)
