"""YAML written by people, read strictly: plain data only, of bounded size.

PyYAML's safe loader is made stricter: a key given twice is an error, only tags of plain data are known, aliases that
expand to too large a document are refused before it is built, and ``1e-3`` is a number and a date is text, as in YAML
1.2.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any, Final

import yaml

from crossfeed.display.formatting import shown, word
from crossfeed.errors import InvalidDescription

__all__ = ["DEEPEST", "MOST_CHARACTERS", "dump_yaml", "load_yaml", "parse_yaml"]

MOST_CHARACTERS: Final = 1_000_000
DEEPEST: Final = 50
_MOST_VALUES: Final = 100_000
_LARGEST: Final = 2**63  # what numpy and pyarrow count with
_TOO_MUCH: Final = (
    f"a description has at most {_MOST_VALUES:,} values, nested at most {DEEPEST} deep; this one has more (aliases "
    "that refer to each other or to themselves?)"
)
_MERGE: Final = "tag:yaml.org,2002:merge"
_PLAIN: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map"))


class _Loader(yaml.SafeLoader):
    """Safe YAML of bounded size, without duplicate keys and with floats such as 1e-3."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, and refuse a document as soon as it is too large."""
        self._depth += 1
        self._count(1, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge mappings, counting values first: merges of merges grow as fast as aliases of aliases."""
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                bases = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for base in bases:
                    if isinstance(base, yaml.MappingNode):
                        self.flatten_mapping(base)
                        self._count(len(base.value), value_node.start_mark)
        super().flatten_mapping(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == _MERGE:  # `<<: *base`: what follows may differ from the base
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise InvalidDescription(f"line {key_node.start_mark.line + 1}: the key {shown(key)} is not a word")
            if key in seen:
                raise InvalidDescription(f"line {key_node.start_mark.line + 1}: the key {shown(key)} is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Read a scalar; JSON spells a character beyond 16 bits as two halves, which are joined."""
        value = super().construct_scalar(node)
        return (
            value
            if _is_text(value)
            else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        )

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Read an object; refuse a value that its tag does not fit."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, OverflowError) as error:
            if isinstance(error, InvalidDescription):
                raise
            raise InvalidDescription(
                f"line {node.start_mark.line + 1}: {shown(node.value)} is no {node.tag.rpartition(':')[2]}"
            ) from error

    def _count(self, values: int, mark: yaml.Mark) -> None:
        self._values += values
        if self._values > _MOST_VALUES or self._depth > DEEPEST:
            raise InvalidDescription(f"line {mark.line + 1}: {_TOO_MUCH}")


_LINE_ENDS: Final = frozenset("\x85\u2028\u2029")


class _Dumper(yaml.SafeDumper):
    """Safe YAML that quotes what `_Loader` would read as a number, or as the end of a line."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escape line ends that are single characters of Unicode, which a reader would take for spaces."""
        style = '"' if _LINE_ENDS & set(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)

for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )
_Loader.yaml_constructors = {tag: make for tag, make in _Loader.yaml_constructors.items() if tag in _PLAIN | {None}}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag in _PLAIN | {_MERGE}]
    for first, known in _Loader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str) -> dict[str, Any]:
    """Read a YAML mapping.

    Args:
        text: YAML.

    Returns:
        The mapping as plain data.

    Raises:
        InvalidDescription: It is not YAML, not a mapping, or has a key twice.
    """
    data = load_yaml(text)
    if not isinstance(data, dict):
        raise InvalidDescription(f"a description is a mapping of keys to values; received {shown(data)}")
    return data


def dump_yaml(data: Mapping[str, Any]) -> str:
    """Write plain data as YAML that `parse_yaml` reads back equal."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def load_yaml(text: str) -> Any:
    """Read any plain YAML value.

    Args:
        text: YAML.

    Returns:
        The value as plain data.

    Raises:
        InvalidDescription: It is not plain YAML, has a key twice, or is too large.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidDescription(f"a description has at most {MOST_CHARACTERS:,} characters; this one has more")
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InvalidDescription(f"this is not YAML that can be read: {where}{problem}") from error
    except RecursionError as error:
        raise InvalidDescription("this is not YAML that can be read: something in it is merged into itself") from error
    _bound(data)
    return data


def _bound(data: Any) -> None:
    """Refuse values that no run can keep: too many (counted at every reference), and impossible numbers and texts."""
    count = 0
    waiting: list[tuple[Any, tuple[object, ...]]] = [(data, ())]
    while waiting:
        value, path = waiting.pop()
        count += 1
        if count > _MOST_VALUES or len(path) > DEEPEST:
            raise InvalidDescription(f"{_dotted(path[:1])}{_TOO_MUCH}")
        if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            raise InvalidDescription(f"{_dotted(path)}a whole number beyond 64 bits; give a smaller one")
        if isinstance(value, str) and not _is_text(value):
            raise InvalidDescription(
                f"{_dotted(path)}holds half a character (a surrogate alone), which no file can keep; received "
                f"{shown(value)}"
            )
        if isinstance(value, dict):
            waiting += [(item, (*path, key)) for key, item in value.items()]
            waiting += [(key, path) for key in value if not _is_text(key)]
        elif isinstance(value, list):
            waiting += [(item, (*path, place)) for place, item in enumerate(value)]


def _dotted(path: tuple[object, ...]) -> str:
    return f"{'.'.join(map(word, path))}: " if path else ""


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)
