"""Facts and word problems in several languages: the same facts, in words of their own, that agree with each other."""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from importlib.resources import files

import pytest
from pydantic import ValidationError

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.reading import read_preset
from crossfeed.description.registry import task_settings
from crossfeed.tasks.facts import asked_facts
from crossfeed.tasks.languages import LANGUAGES, names
from crossfeed.tasks.word_problems import problems

OTHERS = [language for language in LANGUAGES if language != "en"]
SPLITS = ("train", "validation", "test")
# Written down independently of the package's tables.
TRUTHS = {
    "fr": {
        "Quelle est la capitale de l'Allemagne ?": "Berlin",
        "Quelle est la capitale du Maroc ?": "Rabat",
        "Quelle est la capitale des États-Unis ?": "Washington",
        "Quelle est la capitale d'Haïti ?": "Port-au-Prince",
        "Quel pays a pour capitale Le Caire ?": "l'Égypte",
        "Sur quel continent se trouvent les Pays-Bas ?": "Europe",
        "Quel est le symbole chimique du fer ?": "Fe",
        "Quel est le symbole chimique de l'or ?": "Au",
        "Combien de protons y a-t-il dans le noyau d'un atome d'azote ?": "7",
        "À température ambiante, le mercure est-il solide, liquide ou gazeux ?": "liquide",
        "Quelle planète est la numéro 3 en partant du Soleil ?": "la Terre",
        "Comment s'appelle la lettre grecque ω ?": "oméga",
    },
    "de": {
        "Was ist die Hauptstadt von Österreich?": "Wien",
        "Was ist die Hauptstadt vom Libanon?": "Beirut",
        "Was ist die Hauptstadt von den Niederlanden?": "Amsterdam",
        "Was ist die Hauptstadt von der Dominikanischen Republik?": "Santo Domingo",
        "Welches Land hat die Hauptstadt Bern?": "die Schweiz",
        "Auf welchem Kontinent liegen die Philippinen?": "Asien",
        "Welches chemische Symbol hat Kalium?": "K",
        "Wie viele Protonen enthält der Kern eines Kohlenstoffatoms?": "6",
        "Ist Brom bei Raumtemperatur fest, flüssig oder gasförmig?": "flüssig",
        "Welches Element hat die Ordnungszahl 1?": "Wasserstoff",
        "Was für ein Planet ist Jupiter?": "ein Gasriese",
        "Wie heißt der griechische Buchstabe μ?": "My",
    },
    "es": {
        "¿Cuál es la capital de Suecia?": "Estocolmo",
        "¿Cuál es la capital del Reino Unido?": "Londres",
        "¿Cuál es la capital de El Salvador?": "San Salvador",
        "¿Qué país tiene como capital La Habana?": "Cuba",
        "¿En qué continente están los Países Bajos?": "Europa",
        "¿En qué continente está el Líbano?": "Asia",
        "¿Cuál es el símbolo químico de la plata?": "Ag",
        "¿Cuál es el símbolo químico del hierro?": "Fe",
        "¿Cuántos protones hay en el núcleo de un átomo de plomo?": "82",
        "¿A qué familia de elementos pertenece el neón?": "gases nobles",
        "¿Qué planeta es el número 5 contando desde el Sol?": "Júpiter",
        "¿Cómo se llama la letra griega λ?": "lambda",
    },
}
# Words that only English has.
ENGLISH = (
    *("the", "of", "is", "which", "what", "how", "many", "and", "has", "with", "each", "are", "does", "stands", "its"),
    *("capital city", "period table", "question:", "answer:", "group", "element number", "gas giant", "noble", "solid"),
    *("after", "then", "together", "left", "cost", "costs", "dollars", "years", "week", "times", "hours", "gift"),
)


@lru_cache
def build(source, language, **fields):
    return task_settings(source)(source=source, language=language, **fields).build("mine", None)


def every(task):
    return [row for split in SPLITS for row in getattr(task, split).to_pylist()]


@lru_cache
def texts(language):
    """All facts and many word problems of a language."""
    rows = [fact.row for fact in asked_facts(0, language)]
    made = problems(0, {"train": 3000, "validation": 1, "test": 1}, language=language)
    return [row.prompt + row.completion for row in (*rows, *made["train"])]


@pytest.mark.parametrize("language", OTHERS)
def test_known_truths(language):
    answers = {question(fact.row): fact.row.answer for fact in asked_facts(0, language)}
    for asked, answer in TRUTHS[language].items():
        assert answers[asked] == answer


def question(row):
    return re.sub(r"\s", " ", row.key)


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_asked_is_asked_in_english_and_has_the_same_answer(language):
    english = {(fact.table, fact.relation, fact.place): fact.row.answer for fact in asked_facts(0, "en")}
    found = {(fact.table, fact.relation, fact.place): fact.row.answer for fact in asked_facts(0, language)}
    assert found.keys() <= english.keys()
    assert len(found) > 1500
    numbers = {("elements", 0), ("elements", 2), ("elements", 8), ("planets", 1), ("greek", 1), ("greek", 2)}
    for place, answer in found.items():
        if place[:2] in numbers:
            assert answer == english[place]
        if place[:2] in {("elements", 4), ("elements", 5)}:
            assert answer.split()[1] == english[place].split()[1]
    # Names are translated, one to one within a relation that asks for names.
    for relation in (("elements", 1), ("countries", 1), ("planets", 0), ("greek", 0)):
        pairs = {(english[place], found[place]) for place in found if place[:2] == relation}
        assert len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)


@pytest.mark.parametrize("language", OTHERS)
def test_categories_are_translated_one_to_one(language):
    english = {(fact.table, fact.relation, fact.place): fact.row.answer for fact in asked_facts(0, "en")}
    for relation in (("countries", 2), ("elements", 6), ("elements", 7), ("planets", 2)):
        pairs = {
            (english[fact.table, fact.relation, fact.place], fact.row.answer)
            for fact in asked_facts(0, language)
            if (fact.table, fact.relation) == relation
        }
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}) > 2


@pytest.mark.parametrize("source", ["facts", "math"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_item_grades_its_own_answer_right_and_another_wrong(source, language):
    task = build(source, language)
    for split in SPLITS:
        items = getattr(task, split)
        said, answers = (items.column(name).to_pylist() for name in ("completion", "answer"))
        assert task.grade(items, said).all()
        others = [(said[k:] + said, answers[k:] + answers) for k in range(len(said))]
        wrong = [
            next(text for text, answer in zip(*other, strict=True) if answer != own)
            for own, other in zip(answers, others, strict=True)
        ]
        assert not task.grade(items, wrong).any()


@pytest.mark.parametrize("language", OTHERS)
def test_no_english_is_left(language):
    english = re.compile(rf"(?<![\w'’-])({'|'.join(ENGLISH)})(?![\w'’-])", re.IGNORECASE)
    for text in (text.replace("Port of Spain", "Port-Spain") for text in texts(language)):
        assert not english.search(text), text
        assert "{" not in text
        assert "  " not in text


def test_languages_differ_in_their_words():
    words = {
        language: {w for text in texts(language) for w in re.findall(r"[^\W\d]{4,}", text)} for language in LANGUAGES
    }
    for one in LANGUAGES:
        for other in LANGUAGES:
            if one < other:
                assert len(words[one] & words[other]) < 0.45 * min(len(words[one]), len(words[other]))


def test_french_elides_contracts_and_spaces():
    vowel = "(?:[aeiouéèêîôàâAEIOUÉÎ]|hydro|héli|holm|Ha[iï])"
    wrong = re.compile(
        rf"\b(?:de|le|la|que|se|ne) {vowel}"  # de l'or, not du or
        r"|\b(?:de|à) les?\b"  # du, des, au, aux
        r"|[^\xa0][?:](?!\w)"  # what stands before these is a space that does not break
    )
    for text in texts("fr"):
        assert not wrong.search(text), text


def test_german_names_stand_in_the_dative_after_von():
    wrong = re.compile(r"\bvon (?:die|das|dem)\b|\b(?:die|den) (?:Schweiz|Türkei|Ukraine) (?:liegen|haben)\b")
    for text in texts("de"):
        assert not wrong.search(text), text
    for forms in names("de", "countries").values():
        article, of = forms["name"].split()[0], forms["of"]
        expected = {"der": "vom ", "das": "vom ", "die": ("von der ", "von den ")}.get(article, "von ")
        assert of.startswith(expected), forms
        assert (forms["lies"] == "liegen") == of.startswith("von den ")


def test_spanish_contracts_and_opens_its_questions():
    for text in texts("es"):
        assert not re.search(r"\b(?:de|a) el\b|\by [Ii]", text), text
        assert text.count("¿") == text.count("?") == 1, text


@pytest.mark.parametrize("language", OTHERS)
def test_tables_of_names_are_whole(language):
    for table in ("countries", "elements", "planets", "greek"):
        text = files("crossfeed.tasks").joinpath("tables", f"{table}.csv").read_text("utf-8")
        known = {row["name"] for row in csv.DictReader(text.splitlines())}
        found = names(language, table)
        assert found.keys() <= known
        assert table == "countries" or found.keys() == known
        for forms in found.values():
            assert all(value for form, value in forms.items() if form != "capital"), forms
            assert None not in forms


@pytest.mark.parametrize("language", OTHERS)
def test_word_problems_have_the_same_numbers_in_every_language(language):
    for one, other in zip(every(build("math", "en", seed=2)), every(build("math", language, seed=2)), strict=True):
        assert one["answer"] == other["answer"]
        for column, pattern in (("completion", r"\d+ [-+*/] \d+ = \d+"), ("prompt", r"\d+")):
            assert sorted(re.findall(pattern, one[column])) == sorted(re.findall(pattern, other[column]))


@pytest.mark.parametrize("language", OTHERS)
def test_one_thing_is_not_many(language):
    ones = [text for text in texts(language) if "####" in text and re.search(r"= 1\b", text)]
    assert len(ones) > 10
    invariable = {"Euro", "Liter", "davon"}
    for text in ones:
        assert not set(re.findall(r"= 1 (\w+)", text)) - invariable, text


def test_parts_share_no_fact_and_are_the_same_in_every_language():
    def asked(language, part):
        prompts = {
            row["prompt"] for row in every(build("facts", language, part=part, train=350, test=50, validation=0))
        }
        return {(f.table, f.place) for f in asked_facts(0, language) if f.row.prompt in prompts}

    for language in ("en", "fr"):
        parts = [asked(language, f"{number}/5") for number in range(1, 6)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert all(place % 5 == number for number, part in enumerate(parts) for _, place in part)


def test_the_preset_gives_every_entity_facts_of_its_own_in_a_language_of_its_own():
    small = (
        "learner={kind: fake}",
        "n=20",
        "initial_n=20",
        "generations=1",
        "ecosystem.alpha=0.5",
        "metrics={loss: {}}",
    )
    experiment = Experiment.from_yaml(read_preset("languages"), (*small, "public={source: fake}"))
    assert not run(experiment, MemoryStore()).failures
    owned = [experiment.tasks[entity.private] for entity in experiment.ecosystem.entities]
    assert {task.language for task in owned} == set(LANGUAGES)
    assert len({task.part for task in owned} | {experiment.tasks["none-in-en"].part}) == 5
    for asked in ("fr-in-en", "en-in-fr"):  # in one entity's language, what another one knows
        knows, _, language = asked.partition("-in-")
        probe, nobody = experiment.tasks[asked], experiment.tasks[f"none-in-{language}"]
        assert probe.language == nobody.language == language
        assert probe.part == experiment.tasks[knows].part


@pytest.mark.parametrize("field", [{"language": "it"}, {"part": "0/4"}, {"part": "5/4"}, {"part": "1"}, {"part": 1}])
def test_what_there_is_not_is_refused(field):
    with pytest.raises(ValidationError, match=r"'en', 'fr', 'de' or 'es'|such as 2/4|valid string"):
        task_settings("facts")(source="facts", **field)
