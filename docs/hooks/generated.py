"""Reference pages filled from the program when the site is built, so that they cannot go stale.

In the repository each has its first sentences alone. The command line comes from Typer's own documentation command;
keys of descriptions from their JSON Schema, as those that `crossfeed keys` prints.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

import crossfeed.cli
from crossfeed.description.experiment import Experiment
from crossfeed.description.json_schema import built_in_schema
from crossfeed.description.key_reference import Key, Section, sections_of, type_words
from crossfeed.description.reading import preset_names, read_preset
from crossfeed.description.schema_choices import GROUPS


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Add what is generated to the pages that stand in the repository without it."""
    name = page.file.src_uri.removeprefix("reference/").removesuffix(".md")
    return (
        f"{markdown}\n\n{_pages()[name]}"
        if page.file.src_uri == f"reference/{name}.md" and name in _pages()
        else markdown
    )


@cache
def _pages() -> dict[str, str]:
    return {
        "command-line": _command_line(),
        "experiment": _keys(""),
        "learners": _keys("learner"),
        "tasks": _keys("task"),
        "metrics": _keys("metric"),
        "filters": _keys("filter"),
        "rewards": _keys("reward"),
        "presets": _presets(),
    }


def _command_line() -> str:
    """Return all commands."""
    command = [sys.executable, "-m", "typer", "crossfeed.cli", "utils", "docs", "--name", "crossfeed"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own
    _, _, commands = printed.partition("\n")
    commands = commands.replace("\n* `--help`: Show this message and exit.", "")
    commands = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", commands)  # cut short, and beside the table of contents
    codes = (crossfeed.cli.__doc__ or "").split("\n\n", 1)[1]
    return "\n\n".join([" ".join(codes.split()), commands])


def _presets() -> str:
    """Return the purpose of each preset, and its file."""
    lines = []
    for name in preset_names():
        text = read_preset(name)
        shown = "\n".join(f"    {line}".rstrip() for line in ["```yaml", *text.rstrip().splitlines(), "```"])
        lines += [f"## {name}", Experiment.from_yaml(text).description, f'??? note "{name}.yaml"\n\n{shown}']
    return "\n\n".join(lines) + "\n"


def _keys(group: str) -> str:
    """Return the sections of a group's kinds; of no group, those of the description's own parts."""
    lines = []
    for section in sections_of(built_in_schema()):
        of, _, kind = section.definition.partition(".")
        if (of if kind else "") != group or section.definition in GROUPS:
            continue
        if not section.definition or (kind and "." not in kind):
            lines.append(f"## {kind or 'The experiment'}")
        else:
            lines.append(f"### {section.path} {{#{_anchor(section)}}}")
        lines += [section.text, "\n".join(map(_entry, section.keys)) or "No settings of its own."]
    return "\n\n".join(lines) + "\n"


def _anchor(section: Section) -> str:
    """Return the anchor of a section: of a part ``experiment-PATH``, within a kind ``KIND-PATH``."""
    kind = section.definition.split(".")[1] if "." in section.definition else "experiment"
    parts = section.path.split(".")
    within = {"curation": 3, "preference": 4}
    depth = {"learner": 1, "tasks": 2, "metrics": 2}.get(parts[0], next(map(within.get, within.keys() & {*parts}), 0))
    return "-".join([kind, *parts[depth if "." in section.definition else 0 :]])


def _entry(key: Key) -> str:
    """Return a key as an entry of a definition list."""
    kind = key.type if key.below.count(".") == 1 else type_words(key.schema, "`{}`".format)
    default = "**Has to be given.**" if key.required else f"Default `{key.default}`."
    return f"`{key.path.rpartition('.')[2]}`\n:   {kind}{_link(key)}. {default}  \n    {key.meaning}\n"


def _link(key: Key) -> str:
    """Return a link to the keys below a key, in parentheses; empty if there are none."""
    pages = {"learner": "learners", "tasks": "tasks", "public": "tasks", "metrics": "metrics"}
    pages |= {"ecosystem.curation": "filters", "ecosystem.preference.reward": "rewards"}
    if key.path in pages:
        return f" (see [{pages[key.path]}]({pages[key.path]}.md))"
    if not key.below:
        return ""
    group, _, kind = key.below.partition(".")
    if kind and "." not in kind:
        return f" (see [{kind}]({group}s.md#{kind}))"
    return f" (see [{key.path}](#{_anchor(Section(key.path, key.kind, key.below, '', ()))}))"
