"""Traces of a machine: its folders and the names of its user and its own, found in texts, and taken out.

In documents (descriptions, failures, notes, environments) all of them are taken out, and so is every absolute path. In
tables, which hold what models wrote, only this machine's folders are: a user's name may be a word there, and texts in
which words were replaced would no longer be the data that models were trained on.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crossfeed.display.addresses import masked

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["REMOVED", "Traces"]

REMOVED: Final = "[removed]"
"""The text in the place of what was taken out; no id on a hub can hold it, so that nobody can offer that there."""

_PART: Final = r"[\w.@+=%~-]+"
_ABSOLUTE: Final = re.compile(
    rf"(?:file://(?:localhost)?|(?<![\w./:~\]<>*-]))/(?:(?:{_PART}/)+(?:{_PART})?|[\w.@+=%~-]{{2,}})"
    r"|(?<![A-Za-z0-9])[A-Za-z]:\\+(?:[^\\\s\"'<>|]+\\+)*[^\\\s\"'<>|]*"
)
_BELOW: Final = re.compile(re.escape(REMOVED) + r"(?:[/\\]+[^\s\"'/\\<>|:,;]+)*[/\\]+([^\s\"'/\\<>|:,;]+)")
_WHOLE: Final = re.compile(r"(?:file://)?/\S.*|[A-Za-z]:[\\/].*|\\\\.+", re.DOTALL)
# Names that many machines have, and that say nothing of anybody.
_NOBODYS: Final = frozenset(
    {
        *("admin", "administrator", "app", "build", "ci", "debian", "default", "docker", "ec2-user", "fedora", "guest"),
        *("home", "jenkins", "jovyan", "localhost", "nobody", "root", "runner", "test", "ubuntu", "user", "vagrant"),
    }
)
_SHORTEST: Final = 2
_LONG: Final = 5
_ABOVE_HOMES: Final = frozenset({"home", "homes", "users"})


class Traces:
    """The traces of one machine.

    Args:
        folders: Absolute paths of folders.
        names: Names of users and of machines.
    """

    def __init__(self, folders: Iterable[str], names: Iterable[str]) -> None:
        # The longest first: a folder within another one is then replaced as a whole.
        self.folders = sorted({each.rstrip("/\\") for each in folders} - {""}, key=lambda each: (-len(each), each))
        kept = {each for each in names if len(each) >= _SHORTEST and each.lower() not in _NOBODYS}
        self.names = sorted(kept, key=lambda each: (-len(each), each))
        self._folder = _pattern(self.folders, r"(?<![\w.-])", r"(?![\w-])")
        self._name = _pattern(self.names, r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])", re.IGNORECASE)

    @classmethod
    def of_this_machine(cls, *places: Path) -> Traces:
        """Return those of the machine and the user that this process has.

        Args:
            places: Folders that are known besides: those of the run and of the current folder's parents, say.
        """
        folders = {str(form) for place in (*_homes(), Path.cwd(), *places) for form in (place, place.resolve())}
        return cls((each for each in folders if len(Path(each).parts) > 1), _names())

    def text(self, text: str) -> str:
        """Return a text without folders, absolute paths and names; of a path its last part stays.

        Args:
            text: A text of a document.
        """
        text = masked(text)
        if self._folder is not None:
            text = self._folder.sub(REMOVED, text)
        text = _ABSOLUTE.sub(_last, text)
        text = _BELOW.sub(rf"{REMOVED}/\1", text)
        return text if self._name is None else self._name.sub(REMOVED, text)

    def value(self, value: Any) -> Any:
        """Return plain data whose texts are without traces; keys stay.

        Args:
            value: Plain data.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list | tuple) else value

    def description(self, data: Any, path: str = "") -> tuple[Any, list[str]]:
        """Return a description without traces: its prose, and values that are absolute paths or lie in a folder.

        Names that its author gave to entities, tasks and the experiment stay: other values refer to them.

        Args:
            data: The description as plain data, or a part of it.
            path: Where the part is, dotted.

        Returns:
            The description, and the paths of the fields that were changed, apart from the prose.
        """
        if isinstance(data, Mapping):
            parts = {key: self.description(item, f"{path}.{key}".lstrip(".")) for key, item in data.items()}
            changed = [each for _, found in parts.values() for each in found]
            return {key: item for key, (item, _) in parts.items()}, changed
        if isinstance(data, list | tuple):
            items = [self.description(item, path) for item in data]
            return [item for item, _ in items], list(dict.fromkeys(each for _, found in items for each in found))
        cleaned = self._described(data, path == "description") if isinstance(data, str) else data
        return cleaned, [] if cleaned == data or path == "description" else [path]

    def _described(self, value: str, prose: bool) -> str:
        text = masked(value)
        if not prose and _WHOLE.fullmatch(text):  # also a path of an unusual form, with blanks in it say
            return self.text(f"{REMOVED}/{_last_part(text)}")
        is_traced = prose or text != value or self.in_folder(text) or ("/" in text and self._named(text))
        return self.text(text) if is_traced else value

    def in_folder(self, text: str) -> bool:
        """Return True if a text names one of the machine's folders.

        Args:
            text: Any text.
        """
        return self._folder is not None and self._folder.search(text) is not None

    def in_bytes(self, content: bytes) -> str | None:
        """Return a folder of the machine, with something below it, that stands in a file; None if there is none.

        Args:
            content: The bytes of the file, or a part of them.
        """
        long = (each for each in self.folders if len(each) >= _LONG)  # numbers look like short ones by chance
        return next((each for each in long if f"{each}/".encode() in content), None)

    def table(self, table: pa.Table) -> tuple[pa.Table, int]:
        """Return a table in whose texts the machine's folders are replaced.

        Args:
            table: Any table.

        Returns:
            The table, and the number of texts that were changed.
        """
        changed = 0
        for place, field in enumerate(table.schema):
            if not _holds_text(field.type):
                continue
            column, count = self._column(table.column(place))
            if count:
                table = table.set_column(place, field, column)
                changed += count
        return table, changed

    def named(self, table: pa.Table) -> int:
        """Return the number of texts in a table that hold the name of a user or of the machine as a word.

        Args:
            table: Any table.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        words = "|".join(map(re.escape, self.names))
        if not words:
            return 0
        found = 0
        for column in table.columns:
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                at = pc.match_substring_regex(column, rf"(^|[^A-Za-z0-9])({words})([^A-Za-z0-9]|$)", ignore_case=True)
                found += pc.sum(at).as_py() or 0
        return found

    def _column(self, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            # Few rows hold one, and a substring is found quickly.
            maybe = [pc.match_substring(column, each) for each in self.folders]
            if not any(pc.any(each).as_py() for each in maybe):
                return column, 0
        before = column.to_pylist()
        after = [self._without_folders(each) for each in before]
        changed = sum(one != other for one, other in zip(before, after, strict=True))
        return pa.chunked_array([pa.array(after, column.type)]), changed

    def _without_folders(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if self._folder is None else self._folder.sub(REMOVED, value)
        if isinstance(value, dict):
            return {key: self._without_folders(item) for key, item in value.items()}
        return [self._without_folders(item) for item in value] if isinstance(value, list) else value

    def _named(self, text: str) -> bool:
        return self._name is not None and self._name.search(text) is not None


def _pattern(words: list[str], before: str, after: str, flags: int = 0) -> re.Pattern[str] | None:
    return re.compile(f"{before}(?:{'|'.join(map(re.escape, words))}){after}", flags) if words else None


def _last(match: re.Match[str]) -> str:
    last = _last_part(match[0])
    return f"{REMOVED}/{last}" if last else match[0]


def _last_part(path: str) -> str:
    return re.split(r"[/\\]+", path.rstrip("/\\"))[-1]


def _holds_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    return pa.types.is_nested(kind) and any(_holds_text(kind.field(place).type) for place in range(kind.num_fields))


def _homes() -> list[Path]:
    given = [os.environ.get(name) for name in ("HOME", "USERPROFILE")]
    found = [Path(each) for each in given if each and Path(each).is_absolute()]
    try:
        found.append(Path.home())
    except RuntimeError:  # this user has none
        return found
    return found


def _names() -> set[str]:
    given = {os.environ.get(name) for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER", "HOSTNAME", "COMPUTERNAME")}
    found = {each for each in given if each} | {
        each.name for each in _homes() if each.parent.name.lower() in _ABOVE_HOMES
    }
    with suppress(OSError, KeyError):  # a number without a name, as in some containers
        found.add(getpass.getuser())
    host = platform.node()
    return found | {host, host.partition(".")[0]}
