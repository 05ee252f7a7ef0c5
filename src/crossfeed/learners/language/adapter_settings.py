"""The description of an adapter: the numbers that are trained on top of a base that stays as it is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from crossfeed.settings import Count, Frozen, Number, Rate, Sequence_

__all__ = ["AdapterSettings"]


class AdapterSettings(Frozen):
    """A low-rank adapter (LoRA; Hu et al., 2022): a target matrix is that of the base plus alpha / rank times B A.

    The base is shared by all entities and never changes; an entity's state is its A and B alone.

    Attributes:
        kind: ``lora``.
        rank: The rank r: A has r rows, B has r columns.
        alpha: The factor of the product is alpha / rank.
        targets: Names of the linear layers that are adapted, or the ends of names: ``[q_proj, v_proj]``,
            ``[layers.0.mlp.up_proj]``; None is every linear layer except the head.
        dropout: Probability with which a coordinate of an adapter's input is left out in training.
    """

    always_told = frozenset({"kind"})

    kind: Literal["lora"] = "lora"
    rank: Count = 16
    alpha: Rate = 32.0
    targets: Annotated[Sequence_[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    dropout: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0

    @field_validator("targets")
    @classmethod
    def _in_one_order(cls, targets: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Sort and deduplicate: the order of targets changes nothing, so it is not part of a content id."""
        return None if targets is None else tuple(sorted(set(targets)))

    @property
    def scaling(self) -> float:
        """The factor of the product of B and A."""
        return self.alpha / self.rank
