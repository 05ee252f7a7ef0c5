"""Descriptions of writers of captions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

from crossfeed.learners.language.settings import LanguageSettings
from crossfeed.protocols import OutsideModel
from crossfeed.settings import LearnerSettings, Pilot

__all__ = ["CaptionsSettings"]


class CaptionsSettings(LearnerSettings):
    """Causal language models that complete an image, spelled as text, by its caption.

    Attributes:
        language: The model, its training and its sampling. An image takes a token for each pixel and one for its
            end: `max_length` and `max_prompt_tokens` must leave room for it and for the caption.
    """

    builder: ClassVar[str] = "crossfeed.learners.captions.learner:build"
    loss_unit: ClassVar[str] = "nats/token"

    kind: Literal["captions"] = "captions"
    language: LanguageSettings

    def start_identity(self) -> Any:
        """Return the language model's fields that affect generation 0."""
        return {"kind": self.kind, "language": self.language.start_identity()}

    @property
    def restarts(self) -> bool:
        """True if the language model's base is made from scratch."""
        return self.language.restarts

    def workers(self, cores: int) -> tuple[int, int]:
        """Return the language model's number of processes and threads.

        Args:
            cores: Cores of this machine.
        """
        return self.language.workers(cores)

    def models(self) -> list[OutsideModel]:
        """Return the language model's base and sentence encoder."""
        return self.language.models()

    def pilot(self, initial_n: int, n: int) -> Pilot:
        """Return the same writers after a few steps of training.

        Args:
            initial_n: Size of the training sets of generation 0.
            n: Size of the training sets of later generations.
        """
        pilot = self.language.pilot(initial_n, n)
        return replace(pilot, settings=self.model_copy(update={"language": pilot.settings}))
