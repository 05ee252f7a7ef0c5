"""Parts of a model folder that do not fit each other, or the texts: each is named before anything is trained.

transformers reads such folders without a word: a folder without a tokenizer gives one that knows no token, an adapter's
folder gives the model that it was made for, and token ids beyond the embeddings break off in the first step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from crossfeed.cache import expanded
from crossfeed.errors import DataUnavailable, InvalidInput

__all__ = ["check_files", "check_tokenizer", "notes_on_texts"]

_TOKENIZERS: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "added_tokens.json",  # all that tokenizers of bytes have
)
_MAPPINGS: Final = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json")
_WRITTEN: Final = "give a folder that save_pretrained wrote"
_COMPARED: Final = 500  # texts whose ids are compared


def check_files(folder: Path) -> None:
    """Refuse a folder that is no whole model.

    Args:
        folder: A local folder that is given as a base.

    Raises:
        DataUnavailable: It holds an adapter, no configuration, or no tokenizer; or one of their files is none.
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
    for name in _MAPPINGS:
        if (folder / name).is_file():
            _check_mapping(folder / name)
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise DataUnavailable(
            f"{folder} has no tokenizer ({', '.join(_TOKENIZERS[:3])}, ...), so every text would be empty; save the "
            "tokenizer beside the model: tokenizer.save_pretrained(FOLDER)"
        )


def broken_part(folder: Path) -> str:
    """Return the file of a model's folder that is most likely at fault, after reading the folder failed.

    Args:
        folder: The folder.

    Returns:
        The file's name.
    """
    from safetensors import safe_open
    from tokenizers import Tokenizer
    from transformers import AutoConfig

    def weights(path: Path) -> None:
        with safe_open(path, framework="numpy") as opened:
            opened.keys()

    readers: list[tuple[Path, Callable[[Path], object]]] = [
        (folder / "config.json", lambda _: AutoConfig.from_pretrained(folder, local_files_only=True)),
        (folder / "tokenizer.json", lambda path: Tokenizer.from_file(str(path))),
        *((path, weights) for path in sorted(folder.glob("*.safetensors"))),
    ]
    for path, read in readers:
        try:
            if path.exists():
                read(path)
        except Exception:  # of any type, as libraries raise for files that are none
            return path.name
    return "config.json or tokenizer_config.json"


def check_tokenizer(name: str, tokenizer: Any, embeddings: int, texts: Sequence[str]) -> None:
    """Refuse a tokenizer that does not fit its model, on the texts that a run has.

    Args:
        name: The base, for messages.
        tokenizer: Its tokenizer.
        embeddings: The number of tokens that the model has embeddings for.
        texts: The texts of all tasks.

    Raises:
        InvalidInput: It gives no tokens, or ids beyond the embeddings.
    """
    sample = [text for text in texts[:: max(1, len(texts) // _COMPARED)] if text.strip()]
    rows = tokenizer(sample, return_attention_mask=False)["input_ids"] if sample else []
    if sample and not any(set(row) - set(tokenizer.all_special_ids) for row in rows):
        raise InvalidInput(f"the tokenizer of {name} gives no tokens for the texts; it lacks its vocabulary")
    if len(tokenizer) > embeddings:
        _check_ids(name, tokenizer, embeddings, texts)


def notes_on_texts(tokenizer: Any, texts: Sequence[str]) -> Iterator[str]:
    """Note where a tokenizer reads texts in a way that their writer may not expect.

    Args:
        tokenizer: A tokenizer of transformers.
        texts: The texts of all tasks.

    Yields:
        A sentence for each special token that texts hold, and one if the tokenizer is not that of its own file.
    """
    for token in dict.fromkeys(tokenizer.all_special_tokens):
        count = sum(token in text for text in texts)
        if count:
            yield f"{count:,} of {len(texts):,} texts hold {token}, which the tokenizer reads as its special token"
    yield from _unlike_own_file(tokenizer, texts)


def _check_ids(name: str, tokenizer: Any, embeddings: int, texts: Sequence[str]) -> None:
    """Refuse ids beyond the embeddings; those of added tokens that no text has do no harm."""
    rows = tokenizer(list(texts), return_attention_mask=False)["input_ids"] if texts else []
    used = {number for row in rows for number in row if number >= embeddings}
    used |= {number for number in (tokenizer.eos_token_id, tokenizer.bos_token_id) if (number or 0) >= embeddings}
    if used:
        listed = ", ".join(f"{tokenizer.convert_ids_to_tokens(number)} ({number})" for number in sorted(used)[:3])
        raise InvalidInput(
            f"{name} has embeddings for {embeddings:,} tokens, and its tokenizer gives ids beyond them: {listed}; "
            "resize the embeddings (model.resize_token_embeddings(len(tokenizer))), save both, and give that folder"
        )


def _unlike_own_file(tokenizer: Any, texts: Sequence[str]) -> Iterator[str]:
    """Compare a tokenizer with its file: the class that its configuration names may build another one."""
    file = expanded(str(tokenizer.name_or_path)) / "tokenizer.json"
    sample = texts[:: max(1, len(texts) // _COMPARED)]
    if not file.is_file() or not sample:
        return
    from tokenizers import Tokenizer

    own, special = Tokenizer.from_file(str(file)), set(tokenizer.all_special_ids)
    own.no_padding()
    own.no_truncation()
    rows = zip(tokenizer(list(sample))["input_ids"], own.encode_batch(list(sample)), strict=True)
    unlike = sum(
        [number for number in row if number not in special] != [number for number in bare.ids if number not in special]
        for row, bare in rows
    )
    if unlike:
        yield (
            f"the tokenizer that is loaded, {type(tokenizer).__name__}, gives other tokens than its tokenizer.json for "
            f"{unlike:,} of {len(sample):,} texts; if the file is right, set tokenizer_class: PreTrainedTokenizerFast "
            "in tokenizer_config.json"
        )


def _check_mapping(path: Path) -> None:
    content = _json(path)
    longest = content.get("model_max_length", 1)
    if path.name == "tokenizer_config.json" and not isinstance(longest, int | float):
        raise DataUnavailable(f"{path}: model_max_length is {longest!r}, not a number; {_WRITTEN}")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataUnavailable(f"{path} is no JSON that can be read ({str(error).splitlines()[0]})") from error
    if not isinstance(value, dict):
        raise DataUnavailable(f"{path} holds {type(value).__name__}, not a mapping; {_WRITTEN}")
    return value
