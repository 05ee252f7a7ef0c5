"""Questions about real facts, from the tables in the folder ``tables``.

The tables hold elements, countries, US states, planets, units of measurement and Greek letters.

A fact is a row and a relation (the capital of Peru). Every fact has a question in each wording of its relation, and an
item is one such question; its completion gives the answer and then one sentence about the row. Cells are empty where
the truth is disputed, changing, or not known, and have no questions.

Questions are in one of several languages (`crossfeed.tasks.languages`). Languages other than English have questions
about elements, countries (except their currency), planets and Greek letters; a name without a settled spelling in a
language is left out there. Every question of a language has an English counterpart.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from string import Formatter
from typing import Final

from crossfeed.keys import generator
from crossfeed.tasks.languages import Language, names, templates
from crossfeed.tasks.splits import Row

__all__ = ["Fact", "asked_facts", "facts"]

# Cells that are the same in every language.
_NUMBERS: Final = frozenset({"number", "symbol", "group", "period", "weight", "order", "size", "lower"})


@dataclass(frozen=True)
class Fact:
    """An item, and the table, relation and row of its question.

    Attributes:
        row: The item.
        table: The table's name.
        relation: The position of the relation among the table's relations.
        place: The position of the row in the table.
    """

    row: Row
    table: str
    relation: int
    place: int


@dataclass(frozen=True)
class Relation:
    """A relation that questions are about.

    Attributes:
        answer: Template of the answer.
        questions: Templates of the question, one for each wording.
    """

    answer: str
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A table, the relations of its questions, and sentences that can follow any of the answers."""

    table: str
    relations: tuple[Relation, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Wording:
    """The wording of questions in one language.

    Attributes:
        prompt: Template of a prompt, which holds the ``question``.
        words: Translations of cells, by column; a cell without a translation has no questions.
        subjects: The tables and their relations.
    """

    prompt: str
    words: Mapping[str, Mapping[str, str]]
    subjects: tuple[Subject, ...]


def facts(
    seed: int,
    relation: tuple[str, int] | None = None,
    language: Language = "en",
    part: tuple[int, int] | None = None,
) -> tuple[Row, ...]:
    """Return items in the order of the tables.

    Args:
        seed: Seed of the choice of the sentence that follows each answer.
        relation: Keep the questions of one relation only: its table, and its position among the table's relations.
        language: The language.
        part: ``(i, m)``: keep questions about every m-th row of the tables only, from the i-th on, the same in every
            language; parts of one m have no fact in common.

    Returns:
        The rows.
    """
    return tuple(
        fact.row
        for fact in asked_facts(seed, language)
        if (relation is None or (fact.table, fact.relation) == relation)
        and (part is None or fact.place % part[1] == part[0] - 1)
    )


@lru_cache(maxsize=8)
def asked_facts(seed: int, language: Language) -> tuple[Fact, ...]:
    """Return all items, each with the table, relation and row of its question; see `facts`."""
    wording = _wording(language)
    kept: dict[str, Fact] = {}
    for subject in wording.subjects:
        random = generator(seed, "tasks", "facts", subject.table)
        for place, cells in _table(subject.table, language, wording.words):
            for relation, question, answer in _asked(subject, cells):
                sentences = _fitting(subject, cells, answer)
                sentence = sentences[random.integers(len(sentences))]
                # The key is the question: a fact may have another wording elsewhere.
                row = _row(wording.prompt, question, answer, sentence)
                kept.setdefault(question, Fact(row, subject.table, relation, place))
    return tuple(kept.values())


@cache
def _wording(language: Language) -> Wording:
    read = templates(language, "facts")
    subjects = tuple(
        Subject(
            each["table"],
            tuple(Relation(one["answer"], tuple(one["questions"])) for one in each["relations"]),
            tuple(each["sentences"]),
        )
        for each in read["subjects"]
    )
    return Wording(read["prompt"], read.get("words", {}), subjects)


def _asked(subject: Subject, cells: Mapping[str, str]) -> Iterator[tuple[int, str, str]]:
    for place, relation in enumerate(subject.relations):
        for question in relation.questions:
            if _filled(relation.answer + question, cells):
                yield place, _capital(question.format_map(cells)), relation.answer.format_map(cells)


def _fitting(subject: Subject, cells: Mapping[str, str], answer: str) -> list[str]:
    """Return the sentences about a row that name the answer, so that they support it."""
    every = [text.format_map(cells) for text in subject.sentences if _filled(text, cells)]
    return [text for text in every if _says(text, answer)] or every


def _says(text: str, answer: str) -> bool:
    """Return True if a text contains the answer as whole words."""
    text, answer = f" {text.lower()} ", answer.lower()
    at = text.find(answer)
    while at >= 0:
        if not (_in_word(text[at - 1]) or _in_word(text[at + len(answer)])):
            return True
        at = text.find(answer, at + 1)
    return False


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _row(prompt: str, question: str, answer: str, sentence: str) -> Row:
    stop = "" if answer.endswith(".") else "."
    completion = f" {answer}{stop} {_capital(sentence)}"
    return Row(prompt.format(question=question), completion, answer=answer, key=question)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _filled(template: str, cells: Mapping[str, str]) -> bool:
    """Return True if the row has every cell that a template names."""
    return all(cells.get(name) for name in _named(template))


@cache
def _named(template: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def _table(
    name: str, language: Language, words: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table in a language, each with its position in the table."""
    text = files("crossfeed.tasks").joinpath("tables", f"{name}.csv").read_text("utf-8")
    for place, english in enumerate(csv.DictReader(text.splitlines())):
        cells = english
        if language != "en":
            forms = names(language, name).get(english["name"], {})
            translated = {column: known.get(english.get(column, ""), "") for column, known in words.items()}
            cells = {column: cell for column, cell in english.items() if column in _NUMBERS} | translated | forms
        cells["Name"] = _capital(cells.get("name", ""))
        if cells.get("family"):
            cells["families"] = cells["family"].removesuffix("s") + ("ses" if cells["family"][-1] == "s" else "s")
        if cells.get("weight"):
            cells["mass"] = str(round(float(cells["weight"])))
        yield place, cells
