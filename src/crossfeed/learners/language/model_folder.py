"""Parts of a model folder that do not fit each other, or the texts: each is named before anything is trained.

transformers reads such folders without a word: a folder without a tokenizer gives one that knows no token, an adapter's
folder gives the model that it was made for, and token ids beyond the embeddings break off in the first step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from crossfeed.errors import DataUnavailable, InvalidInput

__all__ = ["check_files", "check_tokenizer", "notes_on_texts"]

_TOKENIZERS: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_WRITTEN: Final = "give a folder that save_pretrained wrote"
_COMPARED: Final = 500  # texts whose ids are compared


def check_files(folder: Path) -> None:
    """Refuse a folder that is no whole model.

    Args:
        folder: A local folder that is given as a base.

    Raises:
        DataUnavailable: It holds an adapter, no configuration, or no tokenizer.
    """
    if (folder / "adapter_config.json").is_file():
        base = _json(folder / "adapter_config.json").get("base_model_name_or_path", "its base")
        raise DataUnavailable(
            f"{folder} holds an adapter, not a model; merge it into {base} (peft: model.merge_and_unload()."
            "save_pretrained(FOLDER)) and give that folder"
        )
    if not (folder / "config.json").is_file():
        raise DataUnavailable(f"{folder} has no config.json, so it is no model's folder; {_WRITTEN}")
    config = _json(folder / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise DataUnavailable(f"{folder / 'config.json'} names no model_type; {_WRITTEN}")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise DataUnavailable(
            f"{folder} has no tokenizer ({', '.join(_TOKENIZERS[:3])}, ...), so every text would be empty; save the "
            "tokenizer beside the model: tokenizer.save_pretrained(FOLDER)"
        )


def check_tokenizer(name: str, tokenizer: Any, embeddings: int, texts: Sequence[str]) -> None:
    """Refuse a tokenizer that does not fit its model or its own file, on the texts that a run has.

    Args:
        name: The base, for messages.
        tokenizer: Its tokenizer.
        embeddings: How many tokens the model has embeddings for.
        texts: The texts of all tasks.

    Raises:
        InvalidInput: It gives no tokens, ids beyond the embeddings, or other ids than its tokenizer.json.
    """
    sample = [text for text in texts[:: max(1, len(texts) // _COMPARED)] if text.strip()]
    ids = tokenizer(sample, return_attention_mask=False)["input_ids"] if sample else []
    if sample and not any(set(row) - set(tokenizer.all_special_ids) for row in ids):
        raise InvalidInput(f"the tokenizer of {name} gives no tokens for the texts; it lacks its vocabulary")
    if len(tokenizer) > embeddings:
        _check_ids(name, tokenizer, embeddings, texts)
    _check_own_file(name, tokenizer, sample, ids)


def notes_on_texts(tokenizer: Any, texts: Sequence[str]) -> Iterator[str]:
    """Say what a tokenizer makes of texts that their writer may not expect: texts that hold its special tokens.

    Args:
        tokenizer: A tokenizer.
        texts: The texts of all tasks.
    """
    for token in tokenizer.all_special_tokens:
        count = sum(token in text for text in texts)
        if count:
            yield f"{count:,} of {len(texts):,} texts hold {token}, which the tokenizer reads as its special token"


def _check_ids(name: str, tokenizer: Any, embeddings: int, texts: Sequence[str]) -> None:
    """Ids of added tokens can lie beyond the embeddings; what matters is whether a text has one."""
    ends = {tokenizer.eos_token: tokenizer.eos_token_id, tokenizer.bos_token: tokenizer.bos_token_id}
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= embeddings}
    used = {token for token in ends if token in beyond} | {
        token for token in beyond if any(token in text for text in texts)
    }
    for row in tokenizer(list(texts), return_attention_mask=False)["input_ids"] if texts else []:
        if max(row, default=0) >= embeddings:
            used.add(tokenizer.convert_ids_to_tokens(max(row)))
    if used:
        listed = ", ".join(f"{token} ({beyond.get(token, '?')})" for token in sorted(used)[:3])
        raise InvalidInput(
            f"{name} has embeddings for {embeddings:,} tokens, and its tokenizer gives ids beyond them: {listed}; "
            "resize the embeddings (model.resize_token_embeddings(len(tokenizer))), save both, and give that folder"
        )


def _check_own_file(name: str, tokenizer: Any, sample: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
    """The class that a tokenizer's configuration names may build another tokenizer than the file beside it."""
    file = Path(str(tokenizer.name_or_path)).expanduser() / "tokenizer.json"
    if not file.is_file():
        return
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(file))
    own.no_padding()
    own.no_truncation()
    for text, row in zip(sample, ids, strict=True):
        bare = own.encode(text, add_special_tokens=False).ids
        given = [number for number in row if number not in tokenizer.all_special_ids or number in bare]
        if given != bare:
            place = next(
                (at for at, pair in enumerate(zip(given, bare, strict=False)) if pair[0] != pair[1]), len(bare)
            )
            raise InvalidInput(
                f"the tokenizer of {name} is not the one of its tokenizer.json: {text[:60]!r} gives {len(given)} and "
                f"{len(bare)} tokens, other ones from token {place + 1} on; the class that tokenizer_config.json names "
                f"({type(tokenizer).__name__}) builds its own: set tokenizer_class to PreTrainedTokenizerFast there"
            )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataUnavailable(f"{path} is no JSON that can be read ({str(error).splitlines()[0]})") from error
    if not isinstance(value, dict):
        raise DataUnavailable(f"{path} holds {type(value).__name__}, not a mapping; {_WRITTEN}")
    return value
