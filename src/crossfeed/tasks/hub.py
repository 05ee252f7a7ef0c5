"""Published data sets with the formatting of the paper, and any other one by hub id or from a local folder.

Each named set is read from ``<data root>/<source>/<split>.parquet`` if a data root is given, else from the Hugging
Face Hub; either way the rows pass through the same formatting. A set without a validation or test split gets one of 5 %
cut from a shuffled train. Questions in two splits of the published data are removed from train (or from validation,
if they are in test), and repeated texts of a split are kept once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from crossfeed.cache import expanded
from crossfeed.display.formatting import shown
from crossfeed.errors import DataUnavailable
from crossfeed.settings import Frozen, Name
from crossfeed.tasks.choice_problems import listed
from crossfeed.tasks.fields import Fields, Formatted, rows_of
from crossfeed.tasks.grading import REGEX
from crossfeed.tasks.reading.folders import from_place
from crossfeed.tasks.reading.hub import from_hub
from crossfeed.tasks.reading.values import Table
from crossfeed.tasks.splits import SPLITS, TextSettings, assemble
from crossfeed.tasks.text import Answers, TextTask

__all__ = [
    "ArcChallengeSettings",
    "ArcEasySettings",
    "BookcorpusSettings",
    "FilesSettings",
    "Gsm8kSettings",
    "HubSettings",
    "SciqSettings",
    "Splits",
]

_SHORTEST_SUPPORT: Final = 40
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?")
"""The comparison of answers without choices."""
_REPOSITORIES: Final[dict[str, Any]] = {"type": "string", "pattern": rf"^(?!.*\.\.){_REPOSITORY.pattern}$"}
Prepare = Callable[[dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class _Published:
    """A named data set: its place on the hub and the templates of its items.

    Attributes:
        repository: Its id on the hub.
        fields: Templates over its columns and those that `prepare` adds.
        config: Its configuration.
        revision: The branch to read, if not the main one.
        prepare: Adds columns to a row, or leaves it out (None).
        needs: Columns that `prepare` reads; rows in which one is empty (null) are left out.
        answers: The grading of answers.
        folders: Its folders under a data root, of which the first that exists is read.
    """

    repository: str
    fields: Fields
    config: str | None = None
    revision: str | None = None
    prepare: Prepare | None = None
    needs: tuple[str, ...] = ()
    answers: Answers | None = None
    folders: tuple[str, ...] = ()


class _NamedSettings(TextSettings):
    """Settings of a published data set."""

    published: ClassVar[_Published]

    @property
    def repository(self) -> str:
        """The id on the hub."""
        return self.published.repository

    def build(self, name: str, data_root: Path | None) -> TextTask:
        """Read from the data root if there is one, else from the hub."""
        published, where = self.published, f"{name} ({self.source})"
        names: dict[str, str | None] = dict.fromkeys(SPLITS)
        folders = published.folders or (self.source,)
        if data_root is not None:
            tables = from_place(where, _folder(where, data_root, folders), names, published.config)
        else:
            tables = self._from_hub(where, names)
        return _task(name, where, tables, self, published.fields, published.answers, published)

    def _from_hub(self, where: str, names: Mapping[str, str | None]) -> dict[str, Table]:
        published = self.published
        return from_hub(where, published.repository, names, published.config, published.revision, local=self.source)


def _supported(row: dict[str, Any]) -> dict[str, Any] | None:
    """Trim a row of SciQ, and leave it out if its support is too short."""
    row = {column: value.strip() if isinstance(value, str) else value for column, value in row.items()}
    return row if len(row["support"]) > _SHORTEST_SUPPORT else None


def _worked(row: dict[str, Any]) -> dict[str, Any]:
    """Add to a row of GSM8K the solution without calculator marks and its final number."""
    solution = re.sub(r"<<[^>]*>>", "", row["answer"]).strip()
    return {**row, "solution": solution, "result": solution.rpartition("####")[2].strip().replace(",", "")}


def _options_listed(row: dict[str, Any]) -> dict[str, Any]:
    """Add to a row of ARC the prompt of the question with its options; labels are letters or digits, as published."""
    choices = row["choices"]
    return {**row, "listed": listed(row["question"].strip(), choices["label"], choices["text"])}


class SciqSettings(_NamedSettings):
    """SciQ (Welbl, Liu and Gardner, 2017): a science question, the answer, and the supporting text.

    Rows whose support has at most 40 characters are left out. Choices are the right answer and the three distractors.
    """

    source: Literal["sciq"] = "sciq"
    licence: ClassVar[str] = "cc-by-nc-3.0"
    published: ClassVar[_Published] = _Published(
        "allenai/sciq",
        Fields(
            prompt="Question: {question}\nAnswer:",
            completion=" {right_choice}. {support}",
            answer="{correct_answer}",
            choices=("{distractor3}", "{distractor1}", "{distractor2}", "{correct_answer}"),
            key="{question}",
        ),
        prepare=_supported,
        needs=("support",),
        answers="choice",
    )


class Gsm8kSettings(_NamedSettings):
    """GSM8K (Cobbe et al., 2021): a word problem and its worked solution, without the calculator marks."""

    source: Literal["gsm8k"] = "gsm8k"
    licence: ClassVar[str] = "mit"
    published: ClassVar[_Published] = _Published(
        "openai/gsm8k",
        Fields(
            prompt="Question: {question}\nAnswer:",
            completion=" {solution}",
            answer="{result}",
            key="{question}",
        ),
        config="main",
        prepare=_worked,
        needs=("answer",),
        answers="number",
    )


_ARC_FIELDS: Final = Fields(
    prompt="{listed}",
    completion=" {right_choice}",
    answer="{answerKey}",
    choices="{choices.text}",
    labels="{choices.label}",
    key="{question}",
)


class ArcChallengeSettings(_NamedSettings):
    """ARC-Challenge (Clark et al., 2018): a question with its options; the completion is the right option's text."""

    source: Literal["arc_challenge"] = "arc_challenge"
    licence: ClassVar[str] = "cc-by-sa-4.0"
    published: ClassVar[_Published] = _Published(
        "allenai/ai2_arc",
        _ARC_FIELDS,
        config="ARC-Challenge",
        prepare=_options_listed,
        needs=("question", "choices"),
        answers="choice",
    )


class ArcEasySettings(_NamedSettings):
    """ARC-Easy (Clark et al., 2018), formatted like ARC-Challenge."""

    source: Literal["arc_easy"] = "arc_easy"
    licence: ClassVar[str] = "cc-by-sa-4.0"
    published: ClassVar[_Published] = _Published(
        "allenai/ai2_arc",
        _ARC_FIELDS,
        config="ARC-Easy",
        prepare=_options_listed,
        needs=("question", "choices"),
        answers="choice",
    )


class BookcorpusSettings(_NamedSettings):
    """Prose of books (BookCorpus; Zhu et al., 2015); under a data root the folder may be called ``books``.

    Consecutive rows are joined until they have 34 words: BookCorpus has a sentence a row. The first 24 words are the
    prompt.

    Attributes:
        rows: Number of rows of each split that are streamed from the hub, which has 74 million; a local copy is read
            whole.
    """

    source: Literal["bookcorpus"] = "bookcorpus"
    rows: Annotated[int, Field(ge=1000)] = 100_000
    published: ClassVar[_Published] = _Published(
        "bookcorpus/bookcorpus",
        Fields(text="{text}"),
        # The main branch holds a loading script; this one holds the same data as Parquet.
        revision="refs/convert/parquet",
        folders=("bookcorpus", "books"),
    )

    def _from_hub(self, where: str, names: Mapping[str, str | None]) -> dict[str, Table]:
        published = self.published
        return from_hub(
            where,
            published.repository,
            names,
            revision=published.revision,
            rows=self.rows,
            local=self.source,
        )


class Splits(Frozen):
    """The names of the splits in the original data.

    Attributes:
        train: Default: ``train``.
        validation: Default: ``validation`` if there is one, else 5 % of train.
        test: Default: ``test`` if there is one, else 5 % of train.
    """

    train: Name = "train"
    validation: Name | None = None
    test: Name | None = None

    @property
    def names(self) -> dict[str, str | None]:
        """The names by split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def _repository(value: str) -> str:
    if not _REPOSITORY.fullmatch(value) or ".." in value:
        raise ValueError(f"{value!r} is not the id of a data set; write owner/name, such as allenai/sciq")
    return value


def _compiles(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression ({error}); give one as Python's re has them") from error
    return value


class Pattern(Frozen):
    """A regular expression that finds the answer in a completion.

    Attributes:
        regex: Its first group, or the whole match, is held against the answer.
    """

    regex: Annotated[str, Field(min_length=1), AfterValidator(_compiles)]


Grading = Literal["text", "number", "letter", "exact"] | Pattern


class HubSettings(TextSettings):
    """Any data set on the Hugging Face Hub; under a data root ``<owner>/<name>`` or ``<name>`` is read instead.

    Attributes:
        id: Its id, ``owner/name``.
        config: Its configuration, where it has several.
        revision: A branch, tag or commit; default: the main branch.
        splits: What its splits are called.
        fields: How a row becomes an item (see `Fields`).
        grading: How `answer` is compared where there are no choices: as ``text``, ``number``, ``letter`` or ``exact``,
            or by ``{regex: ...}``, whose first group in a completion is to be the answer.
    """

    source: Literal["hub"] = "hub"
    id: Annotated[str, AfterValidator(_repository), WithJsonSchema(_REPOSITORIES)]
    config: Name | None = None
    revision: str | None = None
    splits: Splits = Splits()
    fields: Fields
    grading: Grading = "text"

    @property
    def repository(self) -> str:
        """The id on the hub."""
        return self.id

    def build(self, name: str, data_root: Path | None) -> TextTask:
        """Read from the data root if there is one, else from the hub."""
        where = f"{name} ({self.id})"
        if data_root is None:
            tables = from_hub(where, self.id, self.splits.names, self.config, self.revision)
        else:
            folders = (self.id, self.id.rpartition("/")[2])
            tables = from_place(where, _folder(where, data_root, folders), self.splits.names, self.config)
        return _task(name, where, tables, self, self.fields, _answers(self.fields, self.grading))


class FilesSettings(TextSettings):
    """Your own data: a file, a folder with a file for each split, or a copy of a hub repository.

    Files are Parquet, JSON (``.json``, ``.jsonl``, ``.ndjson``), ``.csv``, ``.tsv`` or ``.txt``, also with ``.gz`` or
    ``.zst`` behind.

    Attributes:
        path: The file or folder; ``~`` is the home folder, and a relative path starts where the command is run.
        config: Which configuration of a repository that has several.
        splits: What the files, or a repository's splits, are called.
        fields: How a row becomes an item (see `Fields`).
        grading: How `answer` is compared where there are no choices: as ``text``, ``number``, ``letter`` or ``exact``,
            or by ``{regex: ...}``, whose first group in a completion is to be the answer.
    """

    source: Literal["files"] = "files"
    path: Annotated[str, Field(min_length=1)]
    config: Name | None = None
    splits: Splits = Splits()
    fields: Fields
    grading: Grading = "text"

    def build(self, name: str, data_root: Path | None) -> TextTask:
        """Read the file or folder; `data_root` is not read."""
        where = f"{name} ({self.path})"
        tables = from_place(where, expanded(self.path), self.splits.names, self.config)
        return _task(name, where, tables, self, self.fields, _answers(self.fields, self.grading))


def _answers(fields: Fields, grading: Grading) -> Answers | None:
    if fields.choices is not None:
        return "choice"
    if fields.answer is None:
        return None
    return grading if isinstance(grading, str) else f"{REGEX}{grading.regex}"


def _folder(where: str, data_root: Path, names: tuple[str, ...]) -> Path:
    """Return a data set's first folder that exists; names are constants or checked ids, so none leaves the root."""
    for name in names:
        if (data_root / name).is_dir():
            return data_root / name
    tried = " or ".join(str(data_root / name) for name in dict.fromkeys(names))
    raise DataUnavailable(
        f"{where}: there is no folder {tried}; put train.parquet, validation.parquet and test.parquet into it, or "
        "leave --data-root out to read from the Hugging Face Hub"
    )


def _task(
    name: str,
    where: str,
    tables: Mapping[str, Table],
    settings: TextSettings,
    fields: Fields,
    answers: Answers | None,
    published: _Published | None = None,
) -> TextTask:
    """The one way from tables to a task, wherever they were read."""
    rows, notes = {}, []
    for split, table in tables.items():
        place = f"{where}: {split}"
        prepared = table if published is None else _prepared(place, table, published)
        items = rows_of(place, prepared, fields)
        rows[split] = items.rows
        notes += _notes(split, len(table), items) if published is None else []
    return assemble(name, rows, settings, answers, notes=notes)


def _notes(split: str, rows: int, items: Formatted) -> list[str]:
    """Rows of a user's own data that gave no item; a published set's are known."""
    if items.nothing:
        return [f"{split}: {items.nothing}"]
    return [f"{split}: {count:,} of {rows:,} rows left out, {why}" for why, count in items.left_out.items()]


def _prepared(where: str, table: Table, published: _Published) -> Table:
    if published.prepare is None:
        return table
    rows = []
    for number, row in enumerate(table):
        for column in published.needs:
            if column not in row:
                there = ", ".join(row)
                raise DataUnavailable(
                    f"{where}: there is no column {column!r}, as in {published.repository}; there are {there}"
                )
        try:
            rows.append(published.prepare(row) if all(row[name] is not None for name in published.needs) else None)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DataUnavailable(f"{where}: row {number} is not as in {published.repository}: {shown(row)}") from error
    return [row for row in rows if row is not None]
