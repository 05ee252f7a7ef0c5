"""Descriptions of generators of images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from crossfeed.learners.neural.settings import Betas, check_free_fields, free_fields
from crossfeed.settings import Count, Frozen, LearnerSettings, NonNegative, Pilot, Rate, Share, identity

__all__ = ["FlowTrainingSettings", "ImagesSettings", "SamplingSettings", "ScoringSettings"]

_PILOT_STEPS = 4
_OWN_KEYS = ("sample_size", "in_channels", "out_channels", "num_class_embeds", "class_embed_type")


class FlowTrainingSettings(Frozen):
    """One entity's update in one generation; AdamW starts anew in each.

    Attributes:
        steps: Optimizer steps in each generation t >= 1; None is one pass over the drawn images.
        initial_steps: The same for generation 0.
        batch_size: Images in a step.
        learning_rate: The peak rate.
        warmup: Steps over which the rate rises to its peak.
        flat: Share of the steps, warmup included, after which the rate falls linearly to zero.
        weight_decay: AdamW's decay; vectors are not decayed.
        betas: AdamW's decay rates of the moments.
        clipping: Largest norm of a gradient; None does not clip.
    """

    steps: Count | None = None
    initial_steps: Count | None = None
    batch_size: Count = 32
    learning_rate: Rate = 2e-3
    warmup: Annotated[int, Field(ge=0)] = 10
    flat: Share = 0.3
    weight_decay: NonNegative = 0.01
    betas: Betas = (0.9, 0.99)
    clipping: Rate | None = 1.0

    def steps_at(self, generation: int) -> int | None:
        """Return the steps of one generation's update; None is one pass.

        Args:
            generation: The generation t.
        """
        return self.initial_steps if generation == 0 else self.steps


class SamplingSettings(Frozen):
    """Sampling of images.

    Attributes:
        steps: Steps of the midpoint rule from noise to image, two evaluations of the network each.
        batch_size: Images drawn at once; it changes no result beyond rounding.
    """

    no_effect: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    steps: Count = 8
    batch_size: Count = 64


class ScoringSettings(Frozen):
    """Scoring of images.

    Attributes:
        draws: Noises, each at its own time, that the loss of an image is averaged over.
    """

    draws: Count = 4


class ImagesSettings(LearnerSettings):
    """Generators of images, prompted with the name of a class.

    Attributes:
        network: Fields of `diffusers.UNet2DModel`'s configuration (channels, layers, attention, ...), over the
            defaults here: two levels of 16 and 32 channels, one layer each, no attention.
        training: Training of a state.
        sampling: Sampling of images.
        scoring: Scoring of images.
        seed: Seed of the initial weights; None takes the cell's seed.
        device: ``auto`` (cuda, then mps, then cpu), ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        threads: CPU threads of one model's computing. Another number rounds otherwise.
    """

    no_effect: ClassVar[frozenset[str]] = frozenset({"device", "threads"})
    shared: ClassVar[frozenset[str]] = frozenset({"threads"})
    builder: ClassVar[str] = "crossfeed.learners.images.learner:ImagesLearner"
    missing: ClassVar[str] = "generators of images need the package {package!r}: pip install 'crossfeed[images]'"
    loss_unit: ClassVar[str] = "squared error/image"

    kind: Literal["images"] = "images"
    network: dict[str, Any] = Field(default_factory=dict, json_schema_extra=free_fields(_OWN_KEYS))
    training: FlowTrainingSettings = FlowTrainingSettings()
    sampling: SamplingSettings = SamplingSettings()
    scoring: ScoringSettings = ScoringSettings()
    seed: Annotated[int, Field(ge=0)] | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    threads: Count = 1

    @field_validator("network")
    @classmethod
    def _leaves_the_data_alone(cls, network: dict[str, Any]) -> dict[str, Any]:
        return check_free_fields(network, _OWN_KEYS, "set from the data; leave it out")

    def start_identity(self) -> Any:
        """Return the fields that affect generation 0: neither later steps, nor sampling and scoring of images."""
        return identity(self, without=("training.steps", "sampling", "scoring"))

    @property
    def restarts(self) -> bool:
        """True: a new network has initial weights of its own."""
        return True

    def pilot(self, initial_n: int, n: int) -> Pilot:
        """Return the same generators after a few steps of training.

        Args:
            initial_n: Size of the training sets of generation 0.
            n: Size of the training sets of later generations.
        """
        training = self.training
        whole = [training.steps_at(t) or -(-size // training.batch_size) for t, size in enumerate((initial_n, n))]
        short = training.model_copy(update={"steps": _PILOT_STEPS, "initial_steps": _PILOT_STEPS})
        initial, later = (steps / _PILOT_STEPS for steps in whole)
        return Pilot(self.model_copy(update={"training": short}), initial=initial, later=later)

    def workers(self, cores: int) -> tuple[int, int]:
        """Return one process for each set of threads; an accelerator has one process.

        Args:
            cores: Cores of this machine.
        """
        return (max(1, cores // self.threads), self.threads) if self.device in ("auto", "cpu") else (1, self.threads)
