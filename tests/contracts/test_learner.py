"""What every learner keeps to; add new ones to `LEARNERS`: an experiment that is small enough for tests."""

from __future__ import annotations

import pytest
from tests.tiny import ADAPTED, CATEGORICAL, GLM, LINEAR, NGRAM, TINY, UNEQUAL

from crossfeed.description.reading import read_description
from crossfeed.testing import LearnerContract

LEARNERS = {
    "fake": read_description("fake"),
    "per-entity": read_description("fake").replace("private: cold}", "private: cold, learner: {reads_at_most: 90}}"),
    "per-entity-language": UNEQUAL,
    "language": TINY,
    "language-adapter": ADAPTED,
    "linear": LINEAR,
    "linear-draws": LINEAR.replace("{kind: linear}", "{kind: linear, reads: draws}") + "n: 30\n",
    "categorical": CATEGORICAL,
    "categorical-tempered": CATEGORICAL.replace("prior: 0.5", "prior: 0.1, temperature: 0.8"),
    "categorical-everything": CATEGORICAL.replace("prior: 0.5", "prior: 0.5, reads: everything").replace("n: 40\n", ""),
    "categorical-per-entity": CATEGORICAL.replace("private: q}", "private: q, learner: {prior: 2}}"),
    "ngram": NGRAM,
    "ngram-characters": NGRAM.replace("order: 2", "order: 4, unit: characters"),
    "ngram-order-one": NGRAM.replace("order: 2, prior: 20", "order: 1, prior: 300"),
    "logistic": GLM.replace("FAMILY", "logistic"),
    "poisson": GLM.replace("FAMILY", "poisson"),
}


class TestLearner(LearnerContract):
    @pytest.fixture(scope="class", params=sorted(LEARNERS))
    @classmethod
    def described(cls, request):
        if "language" in request.param:
            pytest.importorskip("torch", reason="the language learner needs the lm extra")
        return LEARNERS[request.param]
