"""The paper's architectures with random weights, as folders laid out like those of the Hugging Face Hub.

Where there is no hub, such a folder takes the model's place: the same configuration, files and tensor names, read by
the same code. It has the costs of the published model and knows nothing.

    python examples/architectures.py opt-350m FOLDER --data-root DATA

The tokenizer is byte-level BPE like the published one, trained on the texts at hand; where they are too few for its
number of tokens, OPT's stays smaller and Llama's is filled up with tokens that no text has.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

__all__ = ["CONFIGS", "texts_of", "write"]

_LLAMA: Final = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}

CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "opt-350m": {
        "model_type": "opt",
        "architectures": ["OPTForCausalLM"],
        "activation_dropout": 0.0,
        "activation_function": "relu",
        "attention_dropout": 0.0,
        "bos_token_id": 2,
        "do_layer_norm_before": False,
        "dropout": 0.1,
        "eos_token_id": 2,
        "ffn_dim": 4096,
        "hidden_size": 1024,
        "init_std": 0.02,
        "layerdrop": 0.0,
        "max_position_embeddings": 2048,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "pad_token_id": 1,
        "prefix": "</s>",
        "torch_dtype": "float16",
        "vocab_size": 50272,
        "word_embed_proj_dim": 512,
    },
    "llama-3.2-1b": _LLAMA | {"head_dim": 64, "hidden_size": 2048, "num_attention_heads": 32, "num_hidden_layers": 16},
    "llama-3.2-3b": _LLAMA | {"head_dim": 128, "hidden_size": 3072, "num_attention_heads": 24, "num_hidden_layers": 28},
}
"""The published ``config.json`` of facebook/opt-350m, meta-llama/Llama-3.2-1B and meta-llama/Llama-3.2-3B."""

_ROLES: Final = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
_TOKEN: Final = {"lstrip": False, "normalized": True, "rstrip": False}
_LLAMA_SPECIAL: Final = 256
_LLAMA_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write(folder: Path, config: dict[str, Any], texts: Sequence[str]) -> Path:
    """Write a model with random weights and its tokenizer.

    Args:
        folder: Where; it is made if need be.
        config: One of `CONFIGS`, or one of its kind with other sizes.
        texts: What the tokenizer is trained on.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _opt_tokenizer if config["model_type"] == "opt" else _llama_tokenizer
    tokenizer(folder, config, texts)
    _weights(folder, config)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return folder


def texts_of(data_root: Path) -> list[str]:
    """Every string of every training split under a data root."""
    found = []
    for path in sorted(data_root.glob("*/train.parquet")):
        table = pq.read_table(path)
        columns = [table.column(field.name).to_pylist() for field in table.schema if str(field.type) == "string"]
        found += [text for column in columns for text in column if text]
    return found


def _weights(folder: Path, config: dict[str, Any]) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "config.json").write_text(json.dumps(config))
        described = AutoConfig.from_pretrained(place)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(described, dtype=getattr(torch, config["torch_dtype"]))
    model.save_pretrained(folder, max_shard_size="5GB")


def _opt_tokenizer(folder: Path, config: dict[str, Any], texts: Sequence[str]) -> None:
    """``vocab.json`` and ``merges.txt`` with GPT-2's pre-tokenizer; the model's last seven places are no tokens."""
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    made.train_from_iterator(texts, config["vocab_size"] - 7, special_tokens=special, show_progress=False)
    made.save_model(str(folder))
    roles = {role: _TOKEN | {"content": word} for role, word in _ROLES.items()}
    more = {"errors": "replace", "add_prefix_space": False, "add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"}
    typed = {role: token | {"__type": "AddedToken"} for role, token in roles.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(typed | more, indent=2))
    (folder / "special_tokens_map.json").write_text(json.dumps(roles, indent=2))


def _llama_tokenizer(folder: Path, config: dict[str, Any], texts: Sequence[str]) -> None:
    """``tokenizer.json`` with 256 special tokens at the vocabulary's end, and a start token before every text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from tokenizers.pre_tokenizers import ByteLevel

    start, words = config["bos_token_id"], config["vocab_size"] - _LLAMA_SPECIAL
    made = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(_regex(_LLAMA_WORDS), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(ByteLevel.alphabet())
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=words, initial_alphabet=alphabet, show_progress=False)
    )
    filler = [f"<|unused_{place}|>" for place in range(made.get_vocab_size(), words)]
    ends = ["<|begin_of_text|>", "<|end_of_text|>"]
    reserved = [f"<|reserved_special_token_{place}|>" for place in range(_LLAMA_SPECIAL - len(ends))]
    made.add_special_tokens([AddedToken(word, special=True) for word in filler + ends + reserved])
    made.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single=f"{ends[0]} $A", special_tokens=[(ends[0], start)]),
        ]
    )
    made.save(str(folder / "tokenizer.json"))
    roles = {"bos_token": ends[0], "eos_token": ends[1]}
    more = {"clean_up_tokenization_spaces": True, "model_max_length": config["max_position_embeddings"]}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(roles | more | {"tokenizer_class": "PreTrainedTokenizerFast"}, indent=2)
    )
    (folder / "special_tokens_map.json").write_text(json.dumps(roles, indent=2))


def _regex(pattern: str) -> Any:
    from tokenizers import Regex

    return Regex(pattern)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architecture", choices=sorted(CONFIGS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--layers", type=int, help="fewer layers than published, where memory is short")
    given = parser.parse_args()
    config = CONFIGS[given.architecture]
    layers = given.layers or config["num_hidden_layers"]
    write(given.folder, config | {"num_hidden_layers": layers}, texts_of(given.data_root))
    print(f"{given.folder}: {sum(file.stat().st_size for file in given.folder.iterdir()) / 1e9:.2f} GB")


if __name__ == "__main__":
    _main()
