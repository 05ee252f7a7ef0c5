"""Numbers of repetition against the packages that define them, and where ours are meant to differ."""

from __future__ import annotations

import gzip
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from tests.texts import Written, made_up, measured

from crossfeed.metrics.completions import words_of
from crossfeed.metrics.homogenisation import HomogenisationSettings, homogenisation
from crossfeed.metrics.length import LengthSettings
from crossfeed.metrics.longest_common import rouge_l
from crossfeed.metrics.repetition import (
    RepetitionSettings,
    compression_ratio,
    mtld,
    ngram_diversity,
    self_repetition,
)
from crossfeed.metrics.self_bleu import mean_bleu

SEEDS = pytest.mark.parametrize("seed", range(5))


@pytest.fixture
def of_diversity() -> Callable[[str], ModuleType]:
    """Loads a module of the package diversity by its file: as a whole it wants transformers below 5, and spacy."""
    spec = importlib.util.find_spec("diversity")
    if spec is None or spec.origin is None:
        pytest.skip("the package diversity is not installed (pip install --no-deps diversity==0.3.1)")

    def load(name: str) -> ModuleType:
        place = Path(str(spec.origin)).with_name(f"{name}.py")
        within = importlib.util.spec_from_file_location(f"of_diversity_{name}", place)
        module = importlib.util.module_from_spec(within)
        within.loader.exec_module(module)
        return module

    return load


def texts_of(seed: int, texts: int = 25) -> list[str]:
    random = np.random.default_rng(seed)
    return made_up(random, texts, words=int(random.integers(2, 21)))


def words(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


@SEEDS
def test_self_bleu_is_nltks(seed):
    bleu = pytest.importorskip("nltk.translate.bleu_score", reason="nltk is in the dev extra")
    texts = [text for text in words(texts_of(seed)) if len(text) > 3]
    smooth = bleu.SmoothingFunction().method1
    each = [
        bleu.sentence_bleu(texts[:i] + texts[i + 1 :], text, smoothing_function=smooth) for i, text in enumerate(texts)
    ]
    assert mean_bleu(texts) == pytest.approx(float(np.mean(each)), abs=1e-9)


def test_self_bleu_of_copies_and_of_nothing_in_common():
    assert mean_bleu([list("abcdef")] * 3) == pytest.approx(1.0)
    assert mean_bleu([list("abcdef"), list("ghijkl")]) == 0.0


def test_texts_without_4_grams_are_out_of_self_bleu_which_would_call_copies_different():
    bleu = pytest.importorskip("nltk.translate.bleu_score", reason="nltk is in the dev extra")
    smooth = bleu.SmoothingFunction().method1
    assert bleu.sentence_bleu([["yes"]], ["yes"], smoothing_function=smooth) == pytest.approx(0.1**0.75)
    short, long = ["yes", "yes", "no way"], ["one two three four", "one two three five"]
    found = measured(RepetitionSettings(), Written({"x": [short, short + long]}))
    assert ("a", "x", "self_bleu") not in found
    assert ("a", "x", "ngram_diversity") not in found
    assert found["b", "x", "self_bleu"] == mean_bleu(words(long))


@SEEDS
def test_rouge_l_is_rouge_scores(seed):
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is in the dev extra")
    rouge = scorer.RougeScorer(["rougeL"])
    texts = texts_of(seed)
    expected = [[rouge.score(one, other)["rougeL"].fmeasure for other in texts] for one in texts]
    np.testing.assert_allclose(rouge_l(words(texts)), expected, atol=1e-9)


def test_rouge_l_of_long_texts_and_single_words():
    one, other = ["w"] * 200 + ["x"], ["x"] + ["w"] * 130
    np.testing.assert_allclose(
        rouge_l([one, ["x"], other]), [[1, 2 / 202, 260 / 332], [2 / 202, 1, 2 / 132], [260 / 332, 2 / 132, 1]]
    )


def test_letters_beyond_a_to_z_are_words_unlike_in_rouge_score():
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is in the dev extra")
    text = "все счастливые семьи"
    assert scorer.RougeScorer(["rougeL"]).score(text, text)["rougeL"].fmeasure == 0
    assert homogenisation([words_of(text)] * 2) == 1


@SEEDS
def test_homogenisation_is_that_of_diversity(seed, of_diversity):
    pytest.importorskip("evaluate", reason="evaluate comes with the eval extra")
    texts = texts_of(seed)
    theirs = of_diversity("homogenization").homogenization_score(texts, verbose=False)
    assert round(homogenisation(words(texts)), 3) == pytest.approx(theirs, abs=0.00101)


def test_texts_without_a_common_word_are_not_alike_unlike_in_diversity(of_diversity):
    pytest.importorskip("evaluate", reason="evaluate comes with the eval extra")
    apart = ["one two", "three four"]
    assert of_diversity("homogenization").homogenization_score(apart, verbose=False) == 1
    assert homogenisation(words(apart)) == 0


def test_homogenisation_within_a_model_and_between_models():
    texts = {"x": [["one two", "one two", "one three"], ["one two", "four", ""], ["", "five", "three"]]}
    found = measured(HomogenisationSettings(), Written(texts, ("a", "b", "c")))
    assert found == {
        ("a", "x", "homogenisation"): pytest.approx((1 + 0.5 + 0.5) / 3),
        ("b", "x", "homogenisation"): 0.0,
        ("c", "x", "homogenisation"): 0.0,
        ("a+b", "x", "homogenisation_between"): pytest.approx((1 + 0) / 2),  # the third prompt has no text of b
        ("a+c", "x", "homogenisation_between"): pytest.approx((0 + 2 / 3) / 2),
        ("b+c", "x", "homogenisation_between"): 0.0,
    }


def test_silent_models_are_not_alike():
    texts = {"x": [["", " \n"], ["...", "?"]], "y": [["one", ""], ["", "one"]]}
    snapshot = Written(texts)
    assert measured(HomogenisationSettings(), snapshot) == {}
    assert {key[1:] for key in measured(RepetitionSettings(), snapshot)} == {
        ("y", "compression_ratio"), ("y", "self_repetition"),
    }  # fmt: skip
    assert measured(LengthSettings(), snapshot)["a", "x", "output_words"] == 0


@SEEDS
def test_mtld_is_lexicalrichness(seed):
    richness = pytest.importorskip("lexicalrichness", reason="lexicalrichness is in the dev extra")
    text = " ".join(texts_of(seed)).split()
    theirs = richness.LexicalRichness(text, preprocessor=None, tokenizer=None).mtld()
    assert mtld(text) == pytest.approx(theirs, abs=1e-9)


def test_mtld_by_hand():
    # Of six words five are different, then four: a factor. The three words left are different, both ways.
    text = ["of", "the", "people", "by", "the", "people", "for", "the", "people"]
    assert mtld(text[:6]) == pytest.approx((6 / 1 + 6 / 1) / 2)
    assert mtld(text) == pytest.approx((9 / 1 + 9 / 1) / 2)
    assert mtld(["w"] * 60) == 2
    assert mtld(["a", "b", "c", "a"]) == pytest.approx(4 / (0.25 / 0.28))


def test_mtld_of_different_words_is_no_number():
    assert mtld([]) is None
    assert mtld(list("abcdefgh")) is None
    assert ("a", "x", "mtld") not in measured(RepetitionSettings(), Written({"x": [["a b c", "d e"]] * 2}))


@SEEDS
def test_self_repetition_is_that_of_diversity(seed, of_diversity):
    texts = texts_of(seed)
    theirs = of_diversity("self_repetition").self_repetition_score(texts, verbose=False)
    assert self_repetition(words(texts)) == pytest.approx(theirs, abs=1e-9)


def test_self_repetition_by_hand():
    texts = words(["a b c d e", "a b c d", "b c d e", "a"])
    # The first repeats both others once each, the others the first.
    assert self_repetition(texts) == pytest.approx((math.log(3) + 2 * math.log(2) + 0) / 4)


@SEEDS
def test_ngram_diversity_is_that_of_diversity_within_a_text(seed, of_diversity):
    texts = [text for text in texts_of(seed) if len(text.split()) > 3]
    module = of_diversity("ngram_diversity")
    for text in texts:
        assert ngram_diversity([text.split()]) == pytest.approx(module.ngram_diversity_score([text]), abs=0.00051)
    joined = ngram_diversity([" ".join(texts).split()])
    assert joined == pytest.approx(module.ngram_diversity_score(texts), abs=0.00051)


def test_ngrams_do_not_cross_texts_unlike_in_diversity():
    texts = ["a b c d"] * 2
    assert ngram_diversity(words(texts)) == pytest.approx(4 / 8 + 3 / 6 + 2 / 4 + 1 / 2)
    assert ngram_diversity([" ".join(texts).split()]) == pytest.approx(4 / 8 + 4 / 7 + 4 / 6 + 4 / 5)


@SEEDS
def test_compression_is_that_of_diversity_before_it_compresses_again(seed, of_diversity):
    texts = texts_of(seed, 80)
    raw = " ".join(texts).encode()
    once = gzip.compress(raw)
    assert compression_ratio(texts) == len(raw) / len(once)
    # The file's name is within, too.
    twice = len(gzip.compress(once)) + len(b"compressed\0")
    assert of_diversity("compression").compression_ratio(texts) == pytest.approx(len(raw) / twice, abs=0.00051)


def test_compression_grows_with_the_number_of_copies():
    one, many, more = (compression_ratio(["The lights were on, and nobody was at home."] * n) for n in (1, 100, 1000))
    assert one < 1 < 10 < many < more


def test_length_and_ends():
    def table(texts, finished):
        return pa.table({"completion": texts, "finished": finished})

    written = table(["one two", "", "One, two; three"], [True, False, True])
    unknown = table(["one", "one", "one"], pa.array([None] * 3, pa.bool_()))
    nothing = pa.table({"x": [1.0]})
    snapshot = Written({"x": [written, unknown], "y": [["one"], nothing]})
    assert measured(LengthSettings(), snapshot) == {
        ("a", "x", "output_words"): pytest.approx(5 / 3),
        ("a", "x", "stop_rate"): pytest.approx(2 / 3),
        ("b", "x", "output_words"): 1.0,
        ("a", "y", "output_words"): 1.0,
    }
    assert measured(LengthSettings(items=1), snapshot)["a", "x", "output_words"] == 2


@pytest.mark.parametrize("settings", [RepetitionSettings, HomogenisationSettings, LengthSettings])
def test_items_without_text_give_no_number(settings):
    tables = [pa.table({"x": [1.0, 2.0]}), pa.table({"completion": [b"png", b"png"]})]
    assert measured(settings(), Written({"x": tables})) == {}


@pytest.mark.parametrize("settings", [RepetitionSettings, HomogenisationSettings, LengthSettings])
def test_numbers_do_not_depend_on_the_order_of_entities(settings):
    one, other = texts_of(1), texts_of(2)
    there = measured(settings(), Written({"x": [one, other]}, ("a", "b")))
    back = measured(settings(), Written({"x": [other, one]}, ("b", "a")))
    assert {(model if "+" not in model else "a+b", *rest): value for (model, *rest), value in back.items()} == there
