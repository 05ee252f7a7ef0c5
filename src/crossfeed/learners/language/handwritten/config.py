"""Conditions under which a module has a handwritten twin, and the sizes that the twin needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

__all__ = ["HandwrittenConfig", "handwritten_config"]

_OUTER = frozenset({"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"})
_INNER = frozenset(
    {
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
        "self_attn.q_proj.weight",
        "self_attn.k_proj.weight",
        "self_attn.v_proj.weight",
        "self_attn.o_proj.weight",
        "mlp.gate_proj.weight",
        "mlp.up_proj.weight",
        "mlp.down_proj.weight",
    }
)

_LARGEST: Final = 30_000_000
"""Parameters up to which passes are handwritten. Products take nearly all of a larger model's time, and the fused
matrices would take as much memory as the model has."""


@dataclass(frozen=True)
class HandwrittenConfig:
    """A Llama's sizes.

    Attributes:
        layers: Number of layers.
        heads: Query heads (H).
        kv_heads: Heads of keys and values (G), each shared by H / G query heads.
        head_dim: Width of a head (D).
        epsilon: Added to mean squares by RMS norms.
        tied: True if the head's matrix is the embedding.
        padding: A token whose embedding gets no gradient from being read, or None.
        frequencies: ``(D / 2,)`` angles by which rotary embeddings rotate a head's pairs from one position to the next.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    epsilon: float
    tied: bool
    padding: int | None
    frequencies: Tensor


def handwritten_config(module: Any) -> HandwrittenConfig | None:
    """Return a module's configuration if it is a small plain Llama in fp32 on a CPU with eager attention, else None.

    Args:
        module: A causal model of transformers.
    """
    from transformers import LlamaForCausalLM

    if type(module) is not LlamaForCausalLM or not _is_plain(module.config):
        return None
    parameters = dict(module.named_parameters())
    if any(p.dtype != torch.float32 or p.device.type != "cpu" for p in parameters.values()):
        return None
    if sum(p.numel() for p in parameters.values()) > _LARGEST:
        return None
    config, tied = module.config, "lm_head.weight" not in parameters
    layers = config.num_hidden_layers
    expected = {f"model.layers.{layer}.{name}" for layer in range(layers) for name in _INNER} | _OUTER
    if parameters.keys() != expected - ({"lm_head.weight"} if tied else set()):
        return None
    return HandwrittenConfig(
        layers=layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=parameters["model.layers.0.self_attn.q_proj.weight"].shape[0] // config.num_attention_heads,
        epsilon=config.rms_norm_eps,
        tied=tied,
        padding=module.model.embed_tokens.padding_idx,
        frequencies=module.model.rotary_emb.inv_freq,
    )


def _is_plain(config: Any) -> bool:
    return bool(
        config.hidden_act == "silu"
        and config.attention_dropout == 0.0
        and config.rope_parameters["rope_type"] == "default"
        and config._attn_implementation == "eager"  # chosen where texts are short (`attention_implementation`)
        and config.num_hidden_layers > 0
    )
